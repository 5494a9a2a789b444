import json
from pathlib import Path

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation import choice
from haruon_tui.evaluation.stage import Params
from haruon_tui.gguf.convert_stage import F16_FILE, failed_name
from haruon_tui.settings import default_settings


class Made:
    """Where the stages leave their artefacts; those in `there` exist."""

    def __init__(self, folder: Path, *there: str) -> None:
        self.folder = folder
        self.there = there

    def artifact(self, stage: str, name: str) -> Path:
        path = self.folder / stage / name
        if stage in self.there:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"GGUF") if path.suffix == ".gguf" else path.mkdir(exist_ok=True)
        return path


def candidates(folder: Path, *there: str) -> dict[str, choice.Candidate]:
    return choice.candidates(default_settings("tiny"), Made(folder, *there))


@pytest.fixture
def params(tmp_path: Path) -> Params:
    paths = [tmp_path / "model" / "model", tmp_path / "merge" / "model"]
    return Params(
        names=["base", "tuned"], models=paths, cases=[tmp_path / "c"], max_new_tokens=8,
        batch_size=2,
    )  # fmt: skip


def test_every_model_of_the_plan_has_a_name(tmp_path: Path) -> None:
    names = list(candidates(tmp_path))
    assert names[:4] == ["base", "adapter", "tuned", "F16"]
    assert names[4:] == list(default_settings("tiny").gguf.quantize)


def test_all_takes_every_model_and_an_adapter_its_base(params: Params, tmp_path: Path) -> None:
    known = candidates(tmp_path, "model", "train", "merge", "convert", "quantize")
    chosen = choice.choose(params, ["all"], known)
    assert chosen.names == list(known)
    assert chosen.adapter_base == known["base"].path
    assert choice.choose(params, ["F16"], known).adapter_base is None


@pytest.mark.parametrize(
    ("name", "stage"),
    [("tuned", "merge"), ("adapter", "train"), ("F16", "convert"), ("Q4_K_M", "quantize")],
)
def test_a_model_that_is_not_made_yet_names_its_stage(
    params: Params, tmp_path: Path, name: str, stage: str
) -> None:
    with pytest.raises(ConfigurationError) as failure:
        choice.choose(params, [name], candidates(tmp_path))
    assert failure.value.do == f"haruon pipeline --to {stage} makes it"


def test_what_is_no_model_lists_those_that_are(params: Params, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'Q9' is no model") as failure:
        choice.choose(params, ["Q9"], candidates(tmp_path))
    assert "base, adapter, tuned, F16" in str(failure.value.expected)


def test_a_gguf_without_a_proof_is_named(params: Params, tmp_path: Path) -> None:
    known = candidates(tmp_path, "convert", "quantize")
    chosen = choice.choose(params, ["F16", "Q4_0"], known)
    f16, small = chosen.models
    assert choice.unproven(chosen) == [f16, small]
    (f16.parent / "proof.json").write_text(json.dumps([{"name": "a", "ok": True}]))
    (small.parent / "manifest.json").write_text(json.dumps({"params": {"source": str(f16)}}))
    assert choice.unproven(chosen) == []
    (f16.parent / "proof.json").write_text(json.dumps([{"name": "a", "ok": False}]))
    assert choice.unproven(chosen) == [f16, small]


def test_a_gguf_that_failed_its_proof_is_refused(params: Params, tmp_path: Path) -> None:
    path = tmp_path / failed_name(F16_FILE)
    path.write_bytes(b"GGUF")
    with pytest.raises(ConfigurationError, match="failed its proof") as failure:
        choice.choose(params, [str(path)], {})
    assert "gguf convert" in str(failure.value.do)


def test_files_of_the_same_name_are_told_apart(params: Params, tmp_path: Path) -> None:
    paths = [tmp_path / folder / "a.gguf" for folder in ("x", "y")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"GGUF")
    chosen = choice.choose(params, [str(path) for path in paths], {})
    assert chosen.names == ["a", str(paths[1])]
