"""Quantized files work, and no interruption leaves one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psutil
import pytest

from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.gguf import isolated, quantize_stage
from haruon_tui.gguf.convert import convert
from haruon_tui.gguf.importance import measure as measure_importance
from haruon_tui.gguf.quantize import FILE_TYPES, plan, quantize
from haruon_tui.jobs import events
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import Quantization, build

from .conftest import build_model

ALL: list[Quantization] = list(get_args(Quantization))


def params(source: Path, types: list[Quantization] = ALL) -> quantize_stage.Params:
    return quantize_stage.Params(source=source, types=types)


def test_every_type_of_the_settings_is_known() -> None:
    assert set(FILE_TYPES) == set(get_args(Quantization))


def test_every_type_loads_and_writes(tied_gguf: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    result = quantize_stage.run(params(tied_gguf), job)
    assert [file.type for file in result.files] == ALL
    names = {"Q4_0": "Q4_0", "Q4_1": "Q4_1", "Q4_K_M": "Q4_K - Medium", "Q6_K": "Q6_K"}
    told = [event.get("text") for event in events.EventReader(job.folder / "events.jsonl").read()]
    for file in result.files:
        path = job.artifacts / file.file
        assert file.file == f"model.{file.type}.gguf"
        assert file.bytes == path.stat().st_size < tied_gguf.stat().st_size
        assert file.fallbacks == []
        bits = f"{file.bits_per_weight:.2f} bits per weight"
        assert f"{file.type} will be {file.bytes:,} bytes ({bits})" in told
        looked = isolated.call(
            "haruon_tui.gguf.witness:look",
            {"gguf": str(path), "probe": [1, 2, 3], "logits": str(tmp_path / "logits.npy")},
        )
        assert len(looked["continued"]) == 16
        assert looked["file_type"] == names.get(file.type, looked["file_type"])
    by_type = {file.type: file.bits_per_weight for file in result.files}
    assert by_type["Q4_0"] < by_type["Q4_1"] < by_type["Q8_0"]
    assert by_type["Q4_K_M"] < by_type["Q5_K_M"] < by_type["Q8_0"]


def test_progress_counts_every_tensor(tied_gguf: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    quantize(
        tied_gguf,
        tmp_path / "out",
        "Q8_0",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, 26) for number in range(1, 27)]


def test_a_fallback_is_a_warning_that_names_the_tensor(tmp_path: Path) -> None:
    narrow = build_model(tmp_path / "model", hidden=128)
    convert(narrow, tmp_path / "narrow.gguf")
    job = JobContext.local(tmp_path / "run")
    result = quantize_stage.run(params(tmp_path / "narrow.gguf", ["Q4_K_M"]), job)
    warnings = [
        event["text"]
        for event in events.EventReader(job.folder / "events.jsonl").read()
        if event.get("level") == "warning"
    ]
    assert (
        "Q4_K_M: ffn_gate: Q5_0 instead of Q4_K because 128 is no multiple of 256, in 2 layers"
        in warnings
    )
    assert warnings == [f"Q4_K_M: {text}" for text in result.files[0].fallbacks]


def test_the_exact_size_is_known_before(tmp_path: Path) -> None:
    narrow = build_model(tmp_path / "model", hidden=128, tied=False, dtype="bfloat16")
    convert(narrow, tmp_path / "narrow.gguf", dtype="BF16")
    before = sorted(path.name for path in tmp_path.iterdir())
    planned = plan(tmp_path / "narrow.gguf", ALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for entry in planned:
        made = quantize(tmp_path / "narrow.gguf", tmp_path / "out.gguf", entry.type)
        assert (entry.bytes, entry.bits_per_weight, entry.fallbacks) == (
            made.bytes,
            made.bits_per_weight,
            made.fallbacks,
        )
        assert bool(entry.fallbacks) == (entry.type != "Q8_0")


def test_importance_is_the_mean_square_of_what_enters_a_layer(
    tied_model: Path, tied_gguf: Path, tmp_path: Path
) -> None:
    """Embeddings enter the first layer's projections by way of its norm, which can be counted."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chat = [
        {"role": "user", "content": "안녕하세요"},
        {"role": "assistant", "content": "반가워요"},
    ]
    tokens = measure_importance(tied_model, [chat], tmp_path / "importance.npz", 1000)
    model = AutoModelForCausalLM.from_pretrained(tied_model)
    tokenizer = AutoTokenizer.from_pretrained(tied_model)
    ids = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False))["input_ids"]
    assert tokens == len(ids)
    with torch.no_grad():
        embedded = model.model.embed_tokens(torch.tensor(ids))
        expected = model.model.layers[0].input_layernorm(embedded).square().mean(0)
    with np.load(tmp_path / "importance.npz") as measured:
        assert len(measured.files) == 14
        np.testing.assert_allclose(measured["blk.0.attn_k.weight"], expected, rtol=1e-5)
        np.testing.assert_array_equal(
            measured["blk.0.attn_k.weight"], measured["blk.0.attn_v.weight"]
        )
        assert measured["blk.1.ffn_down.weight"].shape == (768,)


def test_importance_changes_the_files(tied_model: Path, tied_gguf: Path, tmp_path: Path) -> None:
    record = {"messages": [{"role": "user", "content": "안녕하세요, 오늘은 날씨가 좋네요."}]}
    text = tmp_path / "train.jsonl"
    text.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    job = JobContext.local(tmp_path / "run")
    asked = params(tied_gguf, ["Q4_K_M", "IQ4_XS"]).model_copy(
        update={"importance_tokens": 64, "model": tied_model, "text": text}
    )
    result = quantize_stage.run(asked, job)
    for file in result.files:
        quantize(tied_gguf, tmp_path / "plain.gguf", file.type)
        made = (job.artifacts / file.file).read_bytes()
        plain = (tmp_path / "plain.gguf").read_bytes()
        assert len(made) == len(plain)
        assert made != plain


def test_importance_needs_a_text(tied_model: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no conversation"):
        measure_importance(tied_model, [], tmp_path / "importance.npz", 1000)


class StopsAt(JobContext):
    """A job that is asked to stop when it reports progress on `type`."""

    type: str

    def progress(self, done: float, total: float, *, phase: str = "", unit: str = "") -> None:
        super().progress(done, total, phase=phase, unit=unit)
        if phase == self.type:
            self.stop.set()


def test_a_stopped_job_goes_on_with_the_next_file(tied_gguf: Path, tmp_path: Path) -> None:
    job = StopsAt.local(tmp_path / "run")
    assert isinstance(job, StopsAt)
    job.type = "Q4_K_M"
    types: list[Quantization] = ["Q4_0", "Q4_1", "Q4_K_M", "Q8_0"]
    with pytest.raises(Stopped):
        quantize_stage.run(params(tied_gguf, types), job)
    left = {path.name for path in job.artifacts.iterdir()}
    assert left == {"manifest.json", "model.Q4_0.gguf", "model.Q4_1.gguf"}
    before = {name: (job.artifacts / name).stat().st_mtime_ns for name in left}

    job.type = "none"
    job.stop.clear()
    result = quantize_stage.run(params(tied_gguf, types), job)
    assert [file.type for file in result.files] == types
    for name in ("model.Q4_0.gguf", "model.Q4_1.gguf"):
        assert (job.artifacts / name).stat().st_mtime_ns == before[name]


def test_a_finished_file_that_was_changed_is_made_again(tied_gguf: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    quantize_stage.run(params(tied_gguf, ["Q8_0"]), job)
    path = job.artifacts / "model.Q8_0.gguf"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    quantize_stage.run(params(tied_gguf, ["Q8_0"]), job)
    assert path.read_bytes() == whole


KILLED_IN_THE_MIDDLE = """
import sys
from pathlib import Path
import psutil
from haruon_tui.gguf import quantize_stage
from haruon_tui.jobs.context import JobContext

class Waits(JobContext):
    def progress(self, done, total, *, phase="", unit=""):
        if phase == "Q8_0":
            print(psutil.Process().children()[0].pid, flush=True)
            sys.stdin.read()

job = Waits.local(Path(sys.argv[1]))
quantize_stage.run(quantize_stage.Params(source=sys.argv[2], types=["Q4_0", "Q8_0"]), job)
"""


def test_kill_9_leaves_no_half_file(tied_gguf: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(tmp_path / "run"), str(tied_gguf)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as stage:
        assert stage.stdout
        worker = psutil.Process(int(stage.stdout.readline()))
        stage.kill()
    worker.wait(timeout=10)
    artifacts = tmp_path / "run" / "artifacts"
    finished = sorted(path.name for path in artifacts.glob("[!.]*"))
    assert finished == ["manifest.json", "model.Q4_0.gguf"]

    job = JobContext.local(tmp_path / "run")
    result = quantize_stage.run(params(tied_gguf, ["Q4_0", "Q8_0"]), job)
    assert [file.bytes for file in result.files] == [
        (artifacts / f"model.{name}.gguf").stat().st_size for name in ("Q4_0", "Q8_0")
    ]


def test_a_source_that_is_no_gguf_is_named(tmp_path: Path) -> None:
    source = tmp_path / "model.F16.gguf"
    source.write_bytes(b"not a GGUF at all")
    job = JobContext.local(tmp_path / "run")
    with pytest.raises(StageError) as error:
        quantize_stage.run(params(source), job)
    assert str(source) in str(error.value)
    assert "failed to quantize" in error.value.what
    assert not list(job.artifacts.glob("*.gguf"))


def test_a_disk_that_fills_up_is_an_error(tied_gguf: Path) -> None:
    with pytest.raises(StageError, match="could not quantize it to Q8_0"):
        quantize(tied_gguf, Path("/dev/full"), "Q8_0")


def test_the_settings_say_which_files() -> None:
    class Inputs:
        def artifact(self, stage: str, name: str) -> Path:
            return Path("/runs") / stage / name

    settings = build({"profile": "tiny", "gguf": {"quantize": ["Q8_0", "Q4_0"]}})
    made = quantize_stage.configure(settings, Inputs())
    assert made.source == Path("/runs/convert/model.F16.gguf")
    assert made.types == ["Q8_0", "Q4_0"]
    with pytest.raises(ConfigurationError, match=r"gguf\.quantize"):
        quantize_stage.configure(build({"profile": "tiny", "gguf": {"quantize": []}}), Inputs())


def test_the_manifest_says_what_was_made(tied_gguf: Path, tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    result = quantize_stage.run(params(tied_gguf, ["Q4_0"]), job)
    manifest: dict[str, Any] = json.loads((job.artifacts / "manifest.json").read_text("utf-8"))
    entry = manifest["artifacts"]["model.Q4_0.gguf"]
    assert entry["quantized"] == result.files[0].model_dump()
