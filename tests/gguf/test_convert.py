"""Conversion writes what the model holds, and refuses by name what it cannot convert."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from haruon_tui.errors import StageError, Stopped
from haruon_tui.gguf.convert import convert

from .conftest import QWEN2_TEMPLATE, build_model, edit_json


def metadata(path: Path, key: str) -> Any:
    return GGUFReader(path).fields[key].contents()


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def test_matrices_are_the_models_own_in_f16_and_vectors_in_f32(
    tied_model: Path, tied_gguf: Path
) -> None:
    source = load_file(tied_model / "model.safetensors")
    written = tensors(tied_gguf)
    for ours, theirs, dtype in (
        ("token_embd.weight", "model.embed_tokens.weight", np.float16),
        ("blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight", np.float16),
        ("blk.0.attn_k.bias", "model.layers.0.self_attn.k_proj.bias", np.float32),
        ("output_norm.weight", "model.norm.weight", np.float32),
    ):
        assert written[ours].data.dtype == dtype
        np.testing.assert_array_equal(written[ours].data, source[theirs].astype(dtype))


def test_tied_embeddings_are_written_once(tied_gguf: Path) -> None:
    assert "output.weight" not in tensors(tied_gguf)


def test_a_copy_of_tied_embeddings_is_left_out(copied_model: Path, tmp_path: Path) -> None:
    weights = load_file(copied_model / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    save_file(weights, copied_model / "model.safetensors")
    convert(copied_model, tmp_path / "out.gguf")
    assert "output.weight" not in tensors(tmp_path / "out.gguf")


def test_bf16_and_an_output_of_its_own_come_through(untied_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    convert(untied_model, out, dtype="F32")
    with safe_open(untied_model / "model.safetensors", framework="pt") as source:
        for ours, theirs in (
            ("output.weight", "lm_head.weight"),
            ("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"),
        ):
            expected = source.get_tensor(theirs).float().numpy()
            np.testing.assert_array_equal(tensors(out)[ours].data, expected)


def test_parts_give_the_same_file_as_one(tmp_path: Path) -> None:
    for name, size in (("one", "5GB"), ("parts", "1MB")):
        folder = build_model(tmp_path / name / "model", shard_size=size)
        convert(folder, tmp_path / f"{name}.gguf")
    assert len(list((tmp_path / "parts" / "model").glob("*.safetensors"))) > 2
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "parts.gguf").read_bytes()


def test_tokens_are_padded_to_the_embedding(tied_gguf: Path) -> None:
    tokens = metadata(tied_gguf, "tokenizer.ggml.tokens")
    types = metadata(tied_gguf, "tokenizer.ggml.token_type")
    assert len(tokens) == len(types) == 640
    assert tokens[600:603] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert types[600:603] == [3, 3, 3]
    assert tokens[603:] == [f"[PAD{number}]" for number in range(603, 640)]
    assert set(types[603:]) == {5}


def test_an_answer_ends_at_the_end_of_the_turn(copied_model: Path, tmp_path: Path) -> None:
    edit_json(copied_model / "generation_config.json", eos_token_id=600)
    conversion = convert(copied_model, tmp_path / "out.gguf")
    assert metadata(tmp_path / "out.gguf", "tokenizer.ggml.eos_token_id") == 602
    assert metadata(tmp_path / "out.gguf", "tokenizer.ggml.eot_token_id") == 602
    assert metadata(tmp_path / "out.gguf", "tokenizer.ggml.add_bos_token") is False
    assert "600" in conversion.notes[0]
    assert "<|im_end|>" in conversion.notes[0]


def test_what_llama_cpp_needs_to_know_is_there(tied_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    convert(tied_model, out, name="Haruon 하루온")
    assert {
        key: metadata(out, key)
        for key in (
            "general.architecture",
            "general.name",
            "general.file_type",
            "tokenizer.ggml.model",
            "tokenizer.ggml.pre",
            "tokenizer.chat_template",
            "qwen2.block_count",
            "qwen2.attention.head_count_kv",
            "qwen2.rope.freq_base",
        )
    } == {
        "general.architecture": "qwen2",
        "general.name": "Haruon 하루온",
        "general.file_type": 1,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.chat_template": QWEN2_TEMPLATE,
        "qwen2.block_count": 2,
        "qwen2.attention.head_count_kv": 2,
        "qwen2.rope.freq_base": 1e6,
    }


def test_the_layout_of_transformers_4_is_read(copied_model: Path, tmp_path: Path) -> None:
    (copied_model / "chat_template.jinja").unlink()
    edit_json(copied_model / "tokenizer_config.json", chat_template=QWEN2_TEMPLATE)
    edit_json(
        copied_model / "config.json", rope_parameters=None, layer_types=None, rope_theta=12345.0
    )
    out = tmp_path / "out.gguf"
    convert(copied_model, out)
    assert metadata(out, "tokenizer.chat_template") == QWEN2_TEMPLATE
    assert metadata(out, "qwen2.rope.freq_base") == 12345.0


def edit_tokenizer(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def as_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def without_a_part(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def index(folder: Path, weight_map: dict[str, str]) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def in_two_parts(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    index(folder, {"model.norm.weight": "a.safetensors", "model.embed": "b.safetensors"})
    for name in ("a", "b"):
        (folder / f"{name}.safetensors").write_bytes(whole)


def header(
    *, length: int | None = None, change: Callable[[dict[str, Any]], Any] = lambda header: None
) -> Callable[[Path], None]:
    """Make the header of the weights say something else."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        whole = path.read_bytes()
        end = 8 + int.from_bytes(whole[:8], "little")
        content = json.loads(whole[8:end])
        change(content)
        text = json.dumps(content).encode()
        said = len(text) if length is None else length
        path.write_bytes(said.to_bytes(8, "little") + text + whole[end:])

    return spoil


def rename(content: dict[str, Any], old: str, new: str, *, merges: bool) -> None:
    """Call a token something else; without the merges that it takes part in."""
    model = content["model"]
    model["vocab"][new] = model["vocab"].pop(old)
    if merges:
        model["merges"] = [merge for merge in model["merges"] if old not in merge]


def training_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text("{% generation %}{{ x }}<|im_end|>{% endgeneration %}")


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **changes)


def tokenizer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: edit_tokenizer(folder, change)


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: edit_weights(folder, change)


def split_of(content: dict[str, Any]) -> dict[str, Any]:
    split: dict[str, Any] = content["pre_tokenizer"]["pretokenizers"][0]
    return split


EMBEDDINGS = "model.embed_tokens.weight"
_END = "<|endoftext|>"
ENDS_A_TEXT = {
    "type": "TemplateProcessing",
    "single": [
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": _END, "type_id": 0}},
    ],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {_END: {"id": _END, "ids": [600], "tokens": [_END]}},
}

REFUSALS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "no folder": (shutil.rmtree, ("no such model folder",)),
    "an adapter": (as_adapter, ("adapter", "merge")),
    "another architecture": (
        config(architectures=["Gemma3ForCausalLM"]),
        ("Gemma3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM", "config.json"),
    ),
    "another family's weights": (
        config(architectures=["LlamaForCausalLM"]),
        ("layers.0.self_attn.k_proj.bias", "LlamaForCausalLM"),
    ),
    "code of its own": (config(auto_map={"AutoModel": "m.M"}), ("auto_map",)),
    "broken config": (lambda f: (f / "config.json").write_text("{"), ("config.json",)),
    "a missing key": (config(num_hidden_layers=None), ("num_hidden_layers", "None")),
    "quantized weights": (config(quantization_config={"bits": 4}), ("quantization_config",)),
    "another activation": (config(hidden_act="gelu"), ("'gelu'", "'silu'")),
    "sliding window": (
        config(use_sliding_window=True, layer_types=["full_attention", "sliding_attention"]),
        ("sliding-window",),
    ),
    "scaled rope": (config(rope_parameters={"rope_type": "yarn"}), ("'yarn'",)),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ("no weights", "safetensors")),
    "an unknown number of the rotary embedding": (
        config(rope_parameters={"rope_type": "default", "mrope_section": [1]}),
        ("mrope_section",),
    ),
    "an absurd number of layers": (
        config(num_hidden_layers=1 << 40, layer_types=None),
        ("num_hidden_layers", str(1 << 40)),
    ),
    "a config that is a list": (lambda f: (f / "config.json").write_text("[]"), ("JSON object",)),
    "a config of nested brackets": (
        lambda f: (f / "config.json").write_text("[" * 100_000),
        ("config.json", "cannot be read"),
    ),
    "a part outside the folder": (
        lambda f: index(f, {"model.norm.weight": "../model.safetensors"}),
        ("does not name the parts",),
    ),
    "a tensor in two parts": (in_two_parts, ("is also in", "model.embed_tokens.weight")),
    "a header longer than the file": (header(length=1 << 62), ("no whole safetensors file",)),
    "a header of gigabytes": (header(length=1 << 31), ("no whole safetensors file",)),
    "overlapping tensors": (
        header(change=lambda h: h["model.norm.weight"].update(data_offsets=[0, 1024])),
        ("no whole safetensors file",),
    ),
    "a tensor beyond the end": (
        header(change=lambda h: h["model.norm.weight"].update(data_offsets=[1 << 60, 1 << 61])),
        ("no whole safetensors file",),
    ),
    "a shape that is none": (
        header(change=lambda h: h["model.norm.weight"].update(shape=["256"])),
        ("no whole safetensors file",),
    ),
    "a missing part": (without_a_part, ("model-00001-of-00002.safetensors",)),
    "cut weights": (
        lambda f: cut(f / "model.safetensors"),
        ("no whole safetensors file", "model.safetensors"),
    ),
    "no safetensors": (
        lambda f: (f / "model.safetensors").write_bytes(b"no"),
        ("no whole safetensors file",),
    ),
    "a missing tensor": (weights(lambda w: w.pop("model.norm.weight")), ("model.norm.weight",)),
    "an unknown tensor": (
        weights(lambda w: w.update({"model.extra.weight": np.zeros(3, np.float32)})),
        ("model.extra.weight",),
    ),
    "another number of layers": (config(num_hidden_layers=1, layer_types=None), ("layers.1.",)),
    "another width": (config(intermediate_size=512), ("mlp.", "[768, 256]", "[512, 256]")),
    "integer weights": (
        weights(lambda w: w.update({EMBEDDINGS: w[EMBEDDINGS].astype(np.int8)})),
        (EMBEDDINGS, "I8"),
    ),
    "a head that is not tied": (
        weights(lambda w: w.update({"lm_head.weight": w[EMBEDDINGS] + 1})),
        ("tie_word_embeddings", "lm_head.weight"),
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ("tokenizer.json",)),
    "another split regex": (
        tokenizer(lambda t: split_of(t)["pattern"].update(Regex=r"\p{N}{1,3}")),
        (r"\\p{N}{1,3}", "qwen2"),
    ),
    "another pre-tokenizer": (
        tokenizer(lambda t: t.update(pre_tokenizer={"type": "Whitespace"})),
        ("pre-tokenizer", "Whitespace"),
    ),
    "another normalizer": (
        tokenizer(lambda t: t.update(normalizer={"type": "NFKC"})),
        ("NFKC",),
    ),
    "a post-processor that adds tokens": (
        tokenizer(lambda t: t.update(post_processor=ENDS_A_TEXT)),
        ("post-processor",),
    ),
    "another tokenizer model": (
        tokenizer(lambda t: t["model"].update(type="Unigram")),
        ("Unigram", "BPE"),
    ),
    "a byte without a token": (
        tokenizer(lambda t: rename(t, "Ġ", "ĠĠĠĠĠĠĠĠĠ", merges=True)),
        ("byte 0x20",),
    ),
    "a merge of no tokens": (
        tokenizer(lambda t: t["model"]["merges"].append(["없", "는"])),
        ("no whole tokenizer",),
    ),
    "an id of two tokens": (
        tokenizer(lambda t: t["model"]["vocab"].update({list(t["model"]["vocab"])[300]: 301})),
        ("the id 301 to two tokens",),
    ),
    "an id that is a text": (
        tokenizer(lambda t: t["model"]["vocab"].update({"!": "zero"})),
        ("no whole tokenizer",),
    ),
    "no end of turn": (
        tokenizer(lambda t: t["added_tokens"].pop()),
        ("<|im_end|>",),
    ),
    "more tokens than embeddings": (
        tokenizer(lambda t: t["added_tokens"][0].update(id=640)),
        ("640", "vocab_size"),
    ),
    "no chat template": (lambda f: (f / "chat_template.jinja").unlink(), ("chat template",)),
    "a training template": (training_template, ("{% generation %}",)),
    "another chat format": (
        lambda f: (f / "chat_template.jinja").write_text("[INST] {{ x }} [/INST]"),
        ("never ends a turn", "<|im_end|>"),
    ),
    "NaN": (
        weights(lambda w: w["model.norm.weight"].fill(np.nan)),
        ("model.norm.weight", "NaN"),
    ),
    "beyond F16": (
        weights(lambda w: w[EMBEDDINGS].fill(70000.0)),
        (EMBEDDINGS, "70000", "65504"),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_converted_is_refused_by_name(
    case: str, copied_model: Path, tmp_path: Path
) -> None:
    spoil, words = REFUSALS[case]
    spoil(copied_model)
    out = tmp_path / "out" / "model.gguf"
    out.parent.mkdir()
    with pytest.raises(StageError) as refused:
        convert(copied_model, out)
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in refused.value.what
    assert list(out.parent.iterdir()) == []


def test_holes_among_the_tokens_are_told(copied_model: Path, tmp_path: Path) -> None:
    def leave_out(content: dict[str, Any]) -> None:
        del content["model"]["vocab"][token]
        content["model"]["merges"] = [m for m in content["model"]["merges"] if "".join(m) != token]

    model = json.loads((copied_model / "tokenizer.json").read_text("utf-8"))["model"]
    token = max(model["vocab"], key=model["vocab"].get)  # no other token is made of it
    edit_tokenizer(copied_model, leave_out)
    conversion = convert(copied_model, tmp_path / "out.gguf")
    assert "no token with id 599 below its largest, 602" in conversion.notes[0]
    assert metadata(tmp_path / "out.gguf", "tokenizer.ggml.tokens")[599] == "[PAD599]"


def test_where_a_merged_model_comes_from_is_told(copied_model: Path, tmp_path: Path) -> None:
    """As the runs that made it wrote it into their manifests, and its makers into generation."""
    base = tmp_path / "base" / "model"
    base.mkdir(parents=True)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Qwen2\n")
    entry = {
        "base": "Qwen/Qwen2-1.5B-Instruct",
        "commit": "ba1cf1846d7df0a0591d6c00649f57e798519da8",
    }
    for folder, content in (
        (base, {"artifacts": {"model": entry}}),
        (copied_model, {"params": {"model": str(base)}, "artifacts": {"model": {}}}),
    ):
        (folder.parent / "manifest.json").write_text(json.dumps(content))
    edit_json(copied_model / "generation_config.json", top_p=0.5, temperature=0.25, top_k=20)
    out = tmp_path / "out.gguf"
    convert(copied_model, out, name="Haruon")
    assert {
        key: metadata(out, f"general.{key}")
        for key in (
            "name",
            "license",
            "base_model.count",
            "base_model.0.name",
            "base_model.0.organization",
            "base_model.0.version",
            "base_model.0.repo_url",
            "sampling.top_p",
            "sampling.temp",
            "sampling.top_k",
        )
    } == {
        "name": "Haruon",
        "license": "apache-2.0",
        "base_model.count": 1,
        "base_model.0.name": "Qwen2-1.5B-Instruct",
        "base_model.0.organization": "Qwen",
        "base_model.0.version": entry["commit"],
        "base_model.0.repo_url": "https://huggingface.co/Qwen/Qwen2-1.5B-Instruct",
        "sampling.top_p": 0.5,
        "sampling.temp": 0.25,
        "sampling.top_k": 20,
    }


def test_a_full_disk_is_noticed_before_writing(
    tied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1_000_000))
    with pytest.raises(StageError, match="1 MB free, the file needs 3 MB"):
        convert(tied_model, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_stopping_half_way_leaves_nothing(tied_model: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        convert(tied_model, tmp_path / "out.gguf", progress=stop)
    assert list(tmp_path.iterdir()) == []
