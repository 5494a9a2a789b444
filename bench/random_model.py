"""A base model of any sizes with random weights, as Hugging Face saves one."""

from __future__ import annotations

from pathlib import Path

from haruon_tui.dataset import golden
from haruon_tui.hardware.architecture import Architecture
from haruon_tui.model import tiny


def build(architecture: Architecture, folder: Path) -> Path:
    """Save the model in bf16, with a small tokenizer of Qwen2's kind, in `folder`.

    The weights are made on the GPU where there is one, as 1.5 billion of them take a CPU minutes.
    """
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    texts = golden.reports_file().read_text("utf-8").splitlines()
    tokenizer = tiny.train_tokenizer(tiny.RECIPE, texts)
    config = Qwen2Config(
        vocab_size=architecture.vocabulary,
        hidden_size=architecture.hidden,
        intermediate_size=architecture.feed_forward,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.key_value_heads,
        tie_word_embeddings=architecture.tied,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
