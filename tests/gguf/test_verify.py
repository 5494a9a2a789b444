"""The proof holds for a faithful GGUF, and names what differs in any other."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from haruon_tui.errors import StageError
from haruon_tui.gguf import convert_stage, probes
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.quantize import quantize
from haruon_tui.gguf.verify import Check, mean_kl, verify
from haruon_tui.jobs.context import JobContext

from .conftest import QWEN2_TEMPLATE, build_model, edit_json, set_number

LINES = [
    "loads in llama.cpp",
    "vocabulary size",
    "stop token",
    "token ids",
    "chat template",
    "prompts",
    "logits",
]


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.ok]


def kl_of(checks: list[Check]) -> float:
    return float(checks[-1].detail.split()[2])


@pytest.mark.parametrize("model", ["tied_model", "untied_model"])
def test_a_faithful_gguf_passes_every_line(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(model)
    convert(folder, tmp_path / "out.gguf")
    checks = verify(tmp_path / "out.gguf", folder)
    assert [check.name for check in checks] == LINES
    assert failed(checks) == []
    assert kl_of(checks) < 1e-4


def test_text_is_split_as_the_model_splits_it(tmp_path: Path) -> None:
    """With a token for every piece of every probe, each difference in splitting would show."""
    folder = build_model(
        tmp_path / "model", sentences=list(probes.TOKENS.values()), vocabulary=5000
    )
    convert(folder, tmp_path / "out.gguf")
    assert failed(verify(tmp_path / "out.gguf", folder)) == []


def test_probes_are_composed() -> None:
    for text in (*probes.TOKENS.values(), probes.LOGITS):
        assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("key", "value", "lines"),
    [
        ("tokenizer.ggml.eos_token_id", 600, ["stop token"]),
        ("tokenizer.ggml.add_bos_token", True, ["stop token", "token ids", "prompts"]),
        ("qwen2.rope.freq_base", 1e4, ["logits"]),
        ("qwen2.attention.layer_norm_rms_epsilon", 1.0, ["logits"]),
    ],
)
def test_wrong_metadata_is_found(
    key: str, value: float, lines: list[str], copied_gguf: Path, tied_model: Path
) -> None:
    set_number(copied_gguf, key, value)
    assert failed(verify(copied_gguf, tied_model)) == lines


def test_other_merges_are_found(copied_model: Path, tied_model: Path, tmp_path: Path) -> None:
    path = copied_model / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    del content["model"]["merges"][40:80]
    path.write_text(json.dumps(content), encoding="utf-8")
    convert(copied_model, tmp_path / "out.gguf")
    checks = verify(tmp_path / "out.gguf", tied_model)
    assert failed(checks) == ["token ids", "prompts"]
    assert "Korean" in checks[3].detail


def test_another_template_is_found(copied_model: Path, tied_model: Path, tmp_path: Path) -> None:
    template = QWEN2_TEMPLATE.replace("assistant\n", "assistant:\n")
    (copied_model / "chat_template.jinja").write_text(template, encoding="utf-8")
    convert(copied_model, tmp_path / "out.gguf")
    assert failed(verify(tmp_path / "out.gguf", tied_model)) == ["chat template", "prompts"]


def test_other_weights_are_found(tied_gguf: Path, untied_model: Path) -> None:
    assert failed(verify(tied_gguf, untied_model)) == ["logits"]


def test_another_vocabulary_is_found(tied_gguf: Path, copied_model: Path) -> None:
    edit_json(copied_model / "config.json", vocab_size=704)
    assert failed(verify(tied_gguf, copied_model)) == ["vocabulary size"]


def test_the_divergence_of_a_quantized_file_is_told(
    tied_gguf: Path, tied_model: Path, tmp_path: Path
) -> None:
    quantize(tied_gguf, tmp_path / "out.gguf", "Q4_0")
    checks = verify(tmp_path / "out.gguf", tied_model)
    assert failed(checks) == []
    assert kl_of(checks) > 1e-3
    assert "no bar for Q4_0" in checks[-1].detail


def test_a_cut_file_does_not_load(copied_gguf: Path, tied_model: Path) -> None:
    copied_gguf.write_bytes(copied_gguf.read_bytes()[:2_000_000])
    (check,) = verify(copied_gguf, tied_model)
    assert not check.ok
    assert "not within the file bounds" in check.detail


def test_an_unknown_architecture_does_not_load(copied_gguf: Path, tied_model: Path) -> None:
    content = copied_gguf.read_bytes()
    copied_gguf.write_bytes(content.replace(b"qwen2", b"qwenX", 1))
    (check,) = verify(copied_gguf, tied_model)
    assert not check.ok
    assert "qwenX" in check.detail


def test_a_crash_of_llama_cpp_is_a_failed_line(copied_gguf: Path, tied_model: Path) -> None:
    set_number(copied_gguf, "qwen2.block_count", 0)
    (check,) = verify(copied_gguf, tied_model)
    assert not check.ok
    assert "SIGABRT" in check.detail
    assert "n_layer" in check.detail


def test_a_missing_model_folder_is_an_error(tied_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"tokenizer\.json"):
        verify(tied_gguf, tmp_path)


def test_mean_kl_is_in_nats_per_row() -> None:
    p = np.log(np.array([[0.6, 0.4], [0.9, 0.1]], np.float32))
    q = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    by_hand = (0.6 * np.log(0.6 / 0.25) + 0.4 * np.log(0.4 / 0.75)) / 2
    divergence, same_likeliest = mean_kl(p + 7, q - 3)
    assert divergence == pytest.approx(by_hand, rel=1e-5)
    assert same_likeliest == 0.5
    assert mean_kl(p, p) == (0.0, 1.0)


def test_the_stage_leaves_a_proven_gguf(tied_model: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    result = convert_stage.run(convert_stage.Params(model=tied_model, name="Haruon tiny"), job)
    assert [check.name for check in result.checks] == LINES
    assert (job.artifacts / "model.F16.gguf").stat().st_size == result.bytes
    proof = json.loads((job.artifacts / "proof.json").read_text("utf-8"))
    assert proof == [check.model_dump() for check in result.checks]


def test_the_stage_keeps_no_gguf_that_fails_its_proof(copied_model: Path, tmp_path: Path) -> None:
    """llama.cpp's own formatter takes this for plain ChatML and would leave the greeting out."""
    template = "안녕! " + QWEN2_TEMPLATE
    (copied_model / "chat_template.jinja").write_text(template, encoding="utf-8")
    job = JobContext.local(tmp_path / "run")
    with pytest.raises(StageError) as error:
        convert_stage.run(convert_stage.Params(model=copied_model, name="Haruon tiny"), job)
    assert "prompts" in error.value.what
    assert "built in" in error.value.what
    kept = {path.name for path in job.artifacts.iterdir()}
    assert kept == {"proof.json", "manifest.json"}
