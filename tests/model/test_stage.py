"""Stage "model": what it accepts as a base, what it says when it cannot, what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.jobs.context import JobContext, read_manifest
from haruon_tui.model import stage, tiny
from haruon_tui.settings import default_settings


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "내 모델"))


def params(folder: Path) -> stage.Params:
    return stage.Params(base=folder.name, revision="main", folder=folder)


def test_a_local_folder_is_taken_over_and_speaks(copy: Path, job: JobContext) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"x")
    result = stage.run(params(copy), job)
    made = job.artifacts / "model"
    assert {file.name for file in made.iterdir()} == {file.name for file in copy.iterdir()} - {
        "pytorch_model.bin"
    }
    assert result.tokens_per_second > 0
    assert "새로운 것을 배우는 걸 좋아해요" in result.prompt
    assert result.card.parameters > 60_000
    assert result.card.model_type == "qwen2"
    assert result.commit is None
    manifest = read_manifest(job.artifacts)
    assert manifest is not None
    assert manifest["artifacts"]["model"]["base"] == "내 모델"


def test_weights_are_not_stored_twice(copy: Path, job: JobContext) -> None:
    stage.run(params(copy), job)
    assert (job.artifacts / "model" / "model.safetensors").samefile(copy / "model.safetensors")


def test_the_tiny_base_comes_from_its_cache(
    base: Path, job: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "cached_base", lambda job: base)
    stage.run(stage.Params(base="tiny", revision="main"), job)
    assert (job.artifacts / "model" / "config.json").is_file()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, job: JobContext, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(StageError, match="is missing") as caught:
        stage.run(params(copy), job)
    assert caught.value.where == str(copy / name)
    assert caught.value.do
    assert not (job.artifacts / "model").exists()


def test_pickled_weights_alone_are_refused(copy: Path, job: JobContext) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(StageError, match=r"no \*\.safetensors.*pytorch_model\.bin"):
        stage.run(params(copy), job)


def test_a_missing_shard_is_named(copy: Path, job: JobContext) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StageError) as caught:
        stage.run(params(copy), job)
    assert caught.value.where == str(copy / "model-2.safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '{"peft_type": "LORA"}'])
def test_a_config_that_is_none_is_refused(copy: Path, job: JobContext, text: str) -> None:
    (copy / "config.json").write_text(text)
    with pytest.raises(StageError) as caught:
        stage.run(params(copy), job)
    assert caught.value.where == str(copy / "config.json")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, job: JobContext) -> None:
    with pytest.raises(StageError, match="is no folder"):
        stage.run(params(tmp_path / "nowhere"), job)


def test_a_name_that_cannot_be_fetched_says_what_to_do(
    job: JobContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(StageError) as caught:
        stage.run(stage.Params(base="someone/not-on-this-machine", revision="main"), job)
    assert "someone/not-on-this-machine" in str(caught.value)
    assert "folder" in str(caught.value)


def test_what_the_model_says_is_logged_while_it_says_it(copy: Path, job: JobContext) -> None:
    result = stage.run(params(copy), job)
    events = [json.loads(line) for line in (job.folder / "events.jsonl").read_text().splitlines()]
    pieces = [event["text"] for event in events if event["kind"] == "piece"]
    said = "".join(pieces)
    assert said
    assert result.answer.startswith(said.rstrip("\ufffd"))


def test_a_stop_ends_the_first_answer_at_the_next_token(copy: Path, job: JobContext) -> None:
    written: list[str] = []
    real = job.piece

    def piece(text: str) -> None:
        written.append(text)
        real(text)
        job.stop.set()

    job.piece = piece  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        stage.run(params(copy), job)
    assert len(written) <= 2
    assert (job.artifacts / "model" / "config.json").is_file()


def test_weights_that_are_cut_short_are_refused(copy: Path, job: JobContext) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StageError, match="where its header wants") as caught:
        stage.run(params(copy), job)
    assert caught.value.where == str(weights)


def test_a_folder_with_code_of_its_own_must_be_trusted_by_name(
    copy: Path, job: JobContext
) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Mine"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(StageError, match="Python code of its own"):
        stage.run(params(copy), job)
    settings = default_settings("tiny")
    for trusted, allowed in (("내 모델", True), ("another", False)):
        changes = {"base": str(copy), "trust_remote_code": trusted}
        model = settings.model.model_copy(update=changes)
        chosen = settings.model_copy(update={"model": model})
        assert stage.configure(chosen, None).remote_code is allowed


def test_a_fetched_base_is_pinned_in_manifest_and_result_and_a_moved_one_is_said(
    hub, base: Path, tmp_path: Path, said
) -> None:
    hub.files = {file.name: file.read_bytes() for file in base.iterdir()}
    wanted = stage.Params(base="owner/small-model", revision="main")

    def fetched(number: int) -> tuple[stage.Result, JobContext]:
        folder = tmp_path / "runs" / f"2026010{number}-model"
        job = JobContext.local(folder)
        result = stage.run(wanted, job)
        about = {"id": folder.name, "stage": "model", "created": 0.0, "params": {}, "inputs": {}}
        (folder / "job.json").write_text(json.dumps({**about, "fingerprint": "x"}))
        job.writer.write("finished", result=result.model_dump(mode="json"))
        job.writer.close()
        return result, job

    first, job = fetched(1)
    assert first.commit == "1" * 40
    manifest = read_manifest(job.artifacts)
    assert manifest is not None
    assert manifest["artifacts"]["model"]["commit"] == "1" * 40
    same, job = fetched(2)
    assert same.commit == first.commit
    assert "nothing had to be fetched" in said(job)
    assert "has moved" not in said(job)
    hub.commits["main"] = "2" * 40
    moved, job = fetched(3)
    assert moved.commit == "2" * 40
    assert f"main has moved: it was {'1' * 12}" in said(job)
    assert f'[model] revision = "{"1" * 40}"' in said(job)


def test_a_name_that_is_none_is_refused(job: JobContext) -> None:
    with pytest.raises(StageError, match="no name that the Hub knows"):
        stage.run(stage.Params(base="a/b/c/d", revision="main"), job)


def test_an_absolute_path_counts_by_its_content(copy: Path) -> None:
    settings = default_settings("tiny")
    local = settings.model_copy(
        update={"model": settings.model.model_copy(update={"base": str(copy)})}
    )
    assert stage.configure(local, None).folder == copy
    assert stage.configure(settings, None).folder is None
    assert stage.configure(settings, None).base == "tiny"
