"""Stage "model": what it accepts as a base, what it says when it cannot, what it leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from haruon_tui.dataset import composer
from haruon_tui.errors import StageError
from haruon_tui.jobs.context import JobContext, read_manifest
from haruon_tui.model import stage, tiny
from haruon_tui.settings import default_settings


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = tiny.Recipe(
        vocabulary=512, hidden=64, feed_forward=128, layers=1, heads=2, key_value_heads=1, steps=1,
        batch_tokens=512,
    )  # fmt: skip
    work = tmp_path_factory.mktemp("tiny")
    texts = list(composer.base_corpus(seed=7))[:20]
    tiny.build(recipe, texts, work / "base", JobContext.local(work / "job"))
    return work / "base"


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "내 모델"))


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return JobContext.local(tmp_path / "job")


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
    assert result.parameters > 60_000
    assert result.model_type == "qwen2"
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
