"""What earlier stages have measured stands in the manifest as they have measured it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.comparison import phone
from haruon_tui.errors import StageError
from haruon_tui.evaluation.intervals import Estimate
from haruon_tui.export import results


def written(folder: Path, name: str, document: dict[str, Any]) -> Path:
    path = folder / "run-7" / "artifacts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def report(complete: int) -> dict[str, Any]:
    shown = Estimate(mean=complete / 10, low=0.5, high=0.9)
    length = Estimate(mean=155.5, low=150.0, high=160.0)
    figures = {"complete": shown.model_dump(), "tokens": length.model_dump()}
    return {"groups": {}, "figures": {"all": figures}}


def test_the_tuned_model_and_this_very_file_are_told_of_and_no_other(tmp_path: Path) -> None:
    gguf = Path("/runs/q/artifacts/model.Q4_0.gguf")
    document = {
        "params": {
            "names": ["base", "tuned", "Q4_0", "Q8_0"],
            "models": ["/b", "/t", str(gguf), "/runs/q/artifacts/model.Q8_0.gguf"],
        },
        "cases": 10,
        "models": {"base": report(0), "tuned": report(8), "Q4_0": report(7), "Q8_0": report(9)},
    }
    found = results.evaluation([written(tmp_path, "evaluation.json", document)], gguf)
    assert list(found["models"]) == ["tuned", "Q4_0"]
    assert found["models"]["Q4_0"]["this_file"] is True
    assert found["models"]["tuned"]["this_file"] is False
    assert found["models"]["tuned"]["complete"] == {"mean": 0.8, "interval": [0.5, 0.9]}
    assert found["models"]["tuned"]["tokens"] == {"mean": 155.5, "interval": [150.0, 160.0]}
    assert found["models"]["tuned"]["run"] == "run-7"


def test_without_an_evaluation_the_command_is_named() -> None:
    assert results.evaluation([], Path("x"))["do"] == "haruon evaluate"


ROW = {
    "file": "model.Q4_0.gguf",
    "type": "Q4_0",
    "bytes": 935_000_000,
    "buffers": {"model": 930_000_000, "KV": 58_720_256, "compute": 317_000_000, "output": 600_000},
    "quality": {"divergence": [0.02, 0.001]},
}


def test_the_budget_is_that_of_the_comparison(tmp_path: Path) -> None:
    comparison = written(tmp_path, "comparison.json", {"rows": [ROW]})
    found = results.phone_budget(comparison, Path("/q/model.Q4_0.gguf"))
    known = phone.load()
    wanted = phone.budget(ROW, known.target, known)
    assert [one["most"] for one in found["limits"]] == [figure.most for figure in wanted]
    assert [one["verdict"] for one in found["limits"]] == [figure.verdict for figure in wanted]
    assert found["quality"] == ROW["quality"]


@pytest.mark.parametrize("row", [{**ROW, "error": "crashed"}, {**ROW, "file": "other.gguf"}])
def test_a_file_without_figures_is_not_compared(tmp_path: Path, row: dict[str, Any]) -> None:
    comparison = written(tmp_path, "comparison.json", {"rows": [row]})
    found = results.phone_budget(comparison, Path("/q/model.Q4_0.gguf"))
    assert found == {"state": "not compared yet", "do": "haruon gguf compare"}
    assert results.phone_budget(None, Path("x")) == found


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "evaluation.json", {})
    path.write_text("{")
    with pytest.raises(StageError) as raised:
        results.evaluation([path], Path("x"))
    assert raised.value.where == str(path)
