"""The curves of trainings as files: what is in them, and that they are whole or not there."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from haruon_tui.cli.parser import parse
from haruon_tui.cli.run import run as run_command
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.series import Series
from haruon_tui.jobs.store import Run, Store
from haruon_tui.training import chart_file
from haruon_tui.workspace import Workspace

PNG = b"\x89PNG\r\n"


def metric(step: int, **values: float | str) -> dict[str, Any]:
    return {"kind": "metric", "step": step, "values": values}


def stored(workspace: Workspace, *events: dict[str, Any], attempt: int = 1) -> Run:
    job = {"stage": "train", "params": {}, "inputs": {}, "fingerprint": "x"}
    run = Store(workspace.runs).create(job)
    logged(run, *events, attempt=attempt)
    return run


def logged(run: Run, *events: dict[str, Any], attempt: int) -> None:
    writer = EventWriter(run.log, attempt=attempt)
    for event in (dict(one) for one in events):
        writer.write(event.pop("kind"), **event)
    writer.close()


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """Six steps, one of them without a number, a checkpoint, and a second attempt from step 4."""
    losses = [3.0, 2.5, "nan", 2.0, 1.8]
    points = [metric(at, loss=loss, grad_norm=1.0) for at, loss in enumerate(losses, start=1)]
    saved = {"kind": "checkpoint", "step": 4, "path": "x"}
    made = stored(workspace, *points, saved, metric(4, eval_loss=1.9))
    logged(made, metric(5, loss=1.7, grad_norm=1.0), metric(6, loss=1.6, grad_norm=1.0), attempt=2)
    return made


def written(run: Run, path: Path, **options: Any) -> Path:
    chart_file.write([chart_file.read(run)], path, **options)
    return path


def test_the_table_holds_every_value_and_mark(run: Run, tmp_path: Path) -> None:
    with written(run, tmp_path / "곡선.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["loss"]) for row in rows] == [
        ("1", "3.0"), ("2", "2.5"), ("3", "nan"), ("4", "2.0"), ("5", "1.7"), ("6", "1.6"),
    ]  # fmt: skip
    assert rows[3]["eval_loss"] == "1.9"
    assert set(rows[3]["marks"].split()) == {"checkpoint", "best", "restart"}
    assert float(rows[1]["loss_smoothed"]) == pytest.approx((0.9 * 3.0 + 2.5) / 1.9)


def test_pictures_name_what_they_show(run: Run, tmp_path: Path) -> None:
    svg = written(run, tmp_path / "chart.svg", log=True).read_text("utf-8")
    ElementTree.fromstring(svg)
    for words in ("loss, raw", "loss, smoothed 0.9", "checkpoint", "restart", "not finite",
                  "best 1.9000 at 4", "gradient norm", run.id):  # fmt: skip
        assert words in svg
    assert "tokens/s" not in svg, "nothing of it was logged"
    assert written(run, tmp_path / "chart.png").read_bytes().startswith(PNG)


def test_other_runs_lie_beside_it_and_their_names_are_data(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    other = chart_file.read(stored(workspace, metric(1, loss=2.0)))
    other.id = "이름 $x_1$ <b>"
    chart_file.write([chart_file.read(run), other], tmp_path / "two.svg")
    svg = (tmp_path / "two.svg").read_text("utf-8")
    ElementTree.fromstring(svg)
    assert "&lt;b&gt;" in svg


def test_a_file_that_is_there_stays_unless_told_otherwise(run: Run, tmp_path: Path) -> None:
    there = tmp_path / "chart.csv"
    there.write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        written(run, there)
    assert there.read_text() == "mine"
    written(run, there, replace=True)
    assert there.read_text().startswith("run,step")


def test_what_fails_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(chart_file, "_write_csv", fail)
    with pytest.raises(OSError, match="full"):
        written(run, tmp_path / "chart.csv")
    assert not list(tmp_path.glob("*chart*"))


def test_many_points_keep_their_spikes_and_gaps() -> None:
    series = Series()
    values = [1.0] * 50_000
    values[20_000], values[30_000] = 9.0, math.nan
    series.extend(range(50_000), values)
    steps, drawn = chart_file.thinned(series)
    assert len(steps) < 10_000
    assert max(value for value in drawn if math.isfinite(value)) == 9.0
    assert any(math.isnan(value) for value in drawn)


def test_the_command_draws_the_newest_training_and_says_what_is_wrong(
    run: Run, workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["-C", str(workspace.folder)]
    out = tmp_path / "chart.csv"
    assert run_command(parse(["train", "chart", *folder, "--out", str(out)])) == 0
    assert capsys.readouterr().out.strip() == str(out)
    for wrong, words in (
        (["--out", str(tmp_path / "chart.gif")], ".svg, .png or .csv"),
        (["--out", str(out)], "is there already"),
        (["--out", str(out), "--smoothing", "1"], "weight of the past"),
        (["nothing", "--out", str(out)], "there is no run"),
    ):
        assert run_command(parse(["train", "chart", *folder, *wrong])) == 2
        assert words in capsys.readouterr().err
