"""The embedded base model: a small but real Qwen2, built here once and kept in the cache.

It has Qwen2's architecture, Qwen2's way of splitting text, Qwen2's special tokens and chat
template, and is trained for about a minute and a half on Korean answers with free prose about
them (dataset/composer.py). It can talk about the five traits, and has never seen a report.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui import artifacts
from haruon_tui.dataset import composer
from haruon_tui.model import compute

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase, Qwen2ForCausalLM

    from haruon_tui.jobs.context import JobContext

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
_SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
_IGNORED = -100
_REPORT_EVERY = 5
_LENGTH_STEP = 16


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the base becomes, besides its texts.

    The sizes are multiples of 256, as K-quants need them. `batch_tokens` counts padding.
    """

    seed: int = 7
    vocabulary: int = 2304
    hidden: int = 256
    feed_forward: int = 768
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 2
    context: int = 2048
    steps: int = 300
    batch_tokens: int = 2048
    learning_rate: float = 2e-3
    warmup_steps: int = 20
    weight_decay: float = 0.01


RECIPE = Recipe()


def cached_base(job: JobContext, recipe: Recipe = RECIPE) -> Path:
    """The folder of the base in the cache; it is built first where it is missing.

    The cache is HARUON_CACHE_DIR or the user's cache folder. Raises Stopped between two steps.
    """
    texts = list(composer.base_corpus(recipe.seed))
    folder = cache_root() / f"tiny-base-{fingerprint(recipe, texts)}"
    if folder.is_dir():
        job.log(f"the tiny base is in the cache: {folder}")
        return folder
    job.log(f"building the tiny base, once: {len(texts)} texts, {recipe.steps} steps")
    with artifacts.replacing(folder) as temporary:
        build(recipe, texts, temporary, job)
    job.log(f"the tiny base is built and kept in {folder}")
    return folder


def cache_root() -> Path:
    """Where things are kept that can be made again."""
    if chosen := os.environ.get("HARUON_CACHE_DIR"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("haruon")


def fingerprint(recipe: Recipe, texts: Sequence[str]) -> str:
    """Sixteen hexadecimal digits that change with the recipe, the texts or the template."""
    hasher = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    for text in (qwen2_template(), *texts):
        hasher.update(text.encode() + b"\0")
    return hasher.hexdigest()[:16]


def qwen2_template() -> str:
    """The chat template of Qwen2-Instruct."""
    file = resources.files("haruon_tui.data") / "chat_templates" / "qwen2.jinja"
    return file.read_text(encoding="utf-8").removesuffix("\n")


def build(recipe: Recipe, texts: Sequence[str], folder: Path, job: JobContext) -> None:
    """Train tokenizer and model on `texts` and save both in `folder` as Hugging Face does."""
    compute.use_allowed_cores()
    tokenizer = train_tokenizer(recipe, texts)
    job.raise_if_stopped()
    model = new_model(recipe, tokenizer)
    _train(model, tokenizer, recipe, texts, job)
    folder.mkdir()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(recipe: Recipe, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A byte-level BPE with Qwen2's normalizer and split; special tokens have the last ids."""
    from tokenizers import Tokenizer, models, trainers
    from transformers import Qwen2Tokenizer

    empty = Qwen2Tokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = empty.normalizer
    bpe.pre_tokenizer = empty.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary - len(_SPECIAL_TOKENS),
        initial_alphabet=_byte_alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((_without_special_tokens(text) for text in texts), trainer)
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        additional_special_tokens=[TURN_START, TURN_END],
        chat_template=qwen2_template(),
        model_max_length=recipe.context,
    )
    tokenizer.eos_token = TURN_END
    return tokenizer


def _byte_alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _without_special_tokens(text: str) -> str:
    for token in _SPECIAL_TOKENS:
        text = text.replace(token, "\n")
    return text


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Qwen2ForCausalLM:
    import torch
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    end_of_text, turn_end = tokenizer.convert_tokens_to_ids([END_OF_TEXT, TURN_END])
    torch.manual_seed(recipe.seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=recipe.vocabulary,
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.key_value_heads,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=True,
            bos_token_id=end_of_text,
            eos_token_id=turn_end,
            pad_token_id=end_of_text,
        )
    )
    model.generation_config = GenerationConfig(
        bos_token_id=end_of_text, eos_token_id=[turn_end, end_of_text], pad_token_id=end_of_text
    )
    return model


def _train(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    recipe: Recipe,
    texts: Sequence[str],
    job: JobContext,
) -> None:
    """Next-token training on whole texts, a fixed number of steps."""
    import math
    import time

    import torch
    from torch.nn import functional

    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
    )

    def rate(step: int) -> float:
        if step < recipe.warmup_steps:
            return (step + 1) / recipe.warmup_steps
        done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    dtype = compute.dtype("auto") if compute.device() == "cpu" else torch.float32
    batches = _batches(tokenizer, recipe, texts)
    tokens, since = 0, time.monotonic()
    model.train()
    for step in range(1, recipe.steps + 1):
        job.raise_if_stopped()
        inputs, labels = next(batches)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(input_ids=inputs, use_cache=False).logits
        loss = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=_IGNORED
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tokens += int((labels != _IGNORED).sum())
        job.progress(step, recipe.steps, phase="building the tiny base", unit="steps")
        if step % _REPORT_EVERY == 0 or step == 1:
            now = time.monotonic()
            job.metric(step, loss=loss.item(), tokens_per_second=tokens / (now - since))
            tokens, since = 0, now
    model.eval()


def _batches(
    tokenizer: PreTrainedTokenizerBase, recipe: Recipe, texts: Sequence[str]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of input ids and labels [rows, length] without end, one text a row.

    Texts of like length share a batch, so that little is padded. Padding is on the right, where
    causal attention never looks back at it, and is left out of the labels.
    """
    import torch
    from torch.nn.functional import pad
    from torch.nn.utils.rnn import pad_sequence

    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    rows = [
        torch.tensor([*ids[: recipe.context - 1], end])
        for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    ]
    answer = torch.tensor(tokenizer(f"{TURN_START}assistant\n")["input_ids"])
    chooser = random.Random(recipe.seed)
    while True:
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]) + chooser.random() * 16)
        groups: list[list[torch.Tensor]] = [[]]
        for row in order:
            if (len(groups[-1]) + 1) * len(rows[row]) > recipe.batch_tokens and groups[-1]:
                groups.append([])
            groups[-1].append(rows[row])
        chooser.shuffle(groups)
        for group in groups:
            inputs = pad_sequence(group, batch_first=True, padding_value=end)
            labels = pad_sequence(
                [_labels(row, answer) for row in group],
                batch_first=True,
                padding_value=_IGNORED,
            )
            # Every new shape costs oneDNN a new kernel, in time and in memory.
            room = (0, -inputs.size(1) % _LENGTH_STEP)
            yield pad(inputs, room, value=end), pad(labels, room, value=_IGNORED)


def _labels(row: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    """All of a plain text; of a conversation, what follows `answer`, which opens that turn.

    The user's words are drawn at random: learning them takes steps and teaches nothing.
    """
    starts = (row.unfold(0, len(answer), 1) == answer).all(1).nonzero()
    if not len(starts):
        return row
    labels = row.clone()
    labels[: int(starts[0]) + len(answer)] = _IGNORED
    return labels
