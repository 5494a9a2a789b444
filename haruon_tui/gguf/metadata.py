"""The key-value part of a GGUF file, with the keys that llama.cpp's own converter writes."""

from __future__ import annotations

import gguf

from haruon_tui.gguf.encoding import DataType
from haruon_tui.gguf.model_config import Config
from haruon_tui.gguf.provenance import Provenance
from haruon_tui.gguf.vocabulary import Vocabulary

_FILE_TYPES: dict[DataType, gguf.LlamaFileType] = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_HUB = "https://huggingface.co"


def add_general(
    writer: gguf.GGUFWriter, origin: Provenance, dtype: DataType, parameters: int
) -> None:
    """general.*: what the file is and where it comes from."""
    writer.add_type("model")
    for key, value in origin.sampling.items():
        number = int(value) if key == "top_k" else float(value)
        getattr(writer, f"add_sampling_{key}")(number)
    writer.add_name(origin.name)
    writer.add_size_label(gguf.size_label(parameters, parameters, 0, 0))
    if origin.license:
        writer.add_license(origin.license)
    if origin.base:
        organization, _, base = origin.base.rpartition("/")
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base)
        if organization:
            writer.add_base_model_organization(0, organization)
            writer.add_base_model_repo_url(0, f"{_HUB}/{origin.base}")
        if origin.commit:
            writer.add_base_model_version(0, origin.commit)
    writer.add_file_type(_FILE_TYPES[dtype])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_architecture(writer: gguf.GGUFWriter, config: Config) -> None:
    """<architecture>.*: the shape of the model."""
    writer.add_block_count(config.layers)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.hidden)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    if config.family.own_head_size:
        writer.add_key_length(config.head_size)
        writer.add_value_length(config.head_size)
    if config.family.pairs_neighbours:
        writer.add_rope_dimension_count(config.head_size)
        writer.add_vocab_size(config.vocabulary)


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """tokenizer.*: tokens, merges, what ends a turn, and the chat template."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_eot_token_id(vocabulary.eos)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(False)
    writer.add_chat_template(vocabulary.chat_template)
