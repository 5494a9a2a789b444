"""The Train screen: sample answers, earlier runs, their comparison, the use of the machine."""

from __future__ import annotations

import functools

import pytest

from haruon_tui.hardware import monitor
from haruon_tui.jobs.store import JobFile, State
from haruon_tui.screens import load
from haruon_tui.screens.history import History
from haruon_tui.screens.run_comparison import compare
from haruon_tui.screens.widgets.answers_view import answers_text
from tests.hardware.conftest import no_gpu, no_nvml, nvidia_smi  # noqa: F401


def point(step: int, **values: float) -> dict:
    return {"kind": "metric", "step": step, "values": values}


def answer(step: int, text: str) -> dict:
    return {"kind": "sample", "step": step, "prompt": "오늘 하루는?", "text": text}


def with_job(run, **params) -> None:
    settings = {"rank": 16, "learning_rate": 2e-4, "targets": ["q_proj", "v_proj"], "dropout": 0.0}
    inputs = {"train_file": params.pop("train_file", "data-1")}
    run._job = JobFile.model_validate(
        {
            **run.job.model_dump(),
            "params": {"settings": settings | params, "train_file": f"/runs/{run.id}/train.jsonl"},
            "inputs": inputs,
        }
    )


@pytest.fixture
def three(engine):
    """Three trainings that differ in rank and dropout, and in what came of them."""
    runs = [engine.add("train", state) for state in (State.FINISHED, State.FAILED, State.RUNNING)]
    for run, rank, dropout in zip(runs, (8, 16, 16), (0.0, 0.0, 0.1), strict=True):
        with_job(run, rank=rank, dropout=dropout)
    return runs


def events(loss: float, seconds: float, memory: float) -> list[dict]:
    return [
        {"kind": "running", "t": 1000.0},
        point(1, loss=5.0),
        point(10, loss=loss),
        point(10, eval_loss=loss + 0.1),
        {"kind": "resource", "t": 1000.0 + seconds, "cpu_percent": 1.0, "rss_bytes": memory},
    ]


def test_three_runs_show_the_parameters_that_differ_and_only_those(engine, three):
    histories = []
    for run, loss, seconds in zip(three, (2.0, 1.5, 1.75), (65.0, 30.0, 20.0), strict=True):
        history = History(run, "train")
        numbered = [
            {"seq": n, "attempt": 1, "t": 1000.0, **event}
            for n, event in enumerate(events(loss, seconds, 2e9), start=1)
        ]
        history.feed(numbered, engine.status(State.FINISHED))
        histories.append(history)
    compared = compare(histories)
    assert compared.parameters == [
        ("rank", ["8", "16", "16"]),
        ("dropout", ["0", "0", "0.1"]),
    ]
    results = dict(compared.results)
    assert results["final loss"] == ["2.0000", "1.5000", "1.7500"]
    assert results["best evaluation"] == ["2.1000 at 10", "1.6000 at 10 ★", "1.8500 at 10"]
    assert results["time"] == ["1:05", "30 s", "20 s"]
    assert results["peak memory"] == ["2.0 GB"] * 3
    assert "peak GPU memory" not in results


def test_an_input_differs_when_its_content_does_and_not_by_its_place(engine, three):
    histories = [History(run, "train") for run in three[1:]]
    with_job(three[2], rank=16, dropout=0.0)
    assert compare(histories).parameters == []
    with_job(three[2], rank=16, dropout=0.0, train_file="data-2")
    assert compare(histories).parameters == [("train_file", ["content data-1", "content data-2"])]


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_earlier_runs_are_chosen_overlaid_and_compared(
    make_app, engine, three, until, text_of, size
):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.session.ready)
        await pilot.press("4")
        for run, loss in zip(three, (2.0, 1.5, 1.75), strict=True):
            engine.push(run, engine.status(State.RUNNING), *events(loss, 30.0, 2e9))
        await until(pilot, lambda: "loss 1.7500" in text_of(app))
        await pilot.press("o")
        await until(pilot, lambda: "Earlier runs" in text_of(app))
        await until(pilot, lambda: text_of(app).count("▐ ▌") == 2, "an empty box is empty")
        await pilot.press("space", "down")
        await until(pilot, lambda: text_of(app).count("▐X▌") == 1, "one is marked")
        await pilot.press("space", "enter")
        chart = app.screen.query_one("#chart")
        await until(pilot, lambda: len(chart._overlays) == 2, "no overlays")
        await until(pilot, lambda: "  b aaaa" in text_of(app))
        rows = ["".join(character for character, _ in row) for row in chart._picture.rows]
        assert any("a" in row[7:] for row in rows[:-2])
        assert any("b" in row[7:] for row in rows[:-2])
        await pilot.press("v", "v")
        await until(pilot, lambda: "parameters that differ" in text_of(app))
        shown = text_of(app)
        for words in ("rank", "dropout", "1.6000 at 10 ★"):
            assert words in shown
        assert "learning rate" not in shown


async def test_one_sees_the_model_learn_to_write(make_app, engine, until, text_of):
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.press("4")
        engine.push(
            run,
            engine.status(State.RUNNING),
            point(1, loss=1.0),
            answer(0, "가가가 [bold]red[/]\x1b[31m"),
            answer(100, "## 성격 보고서"),
        )
        await until(pilot, lambda: "What it answers at step 100" in text_of(app))
        assert "## 성격 보고서" in text_of(app)
        await pilot.press("v")
        await until(pilot, lambda: "step 0" in text_of(app))
        shown = text_of(app)
        assert "오늘 하루는?" in shown
        assert "가가가 [bold]red[/]" in shown
        assert shown.index("step 100") < shown.index("step 0")


def test_answers_after_the_checkpoint_gone_back_to_are_superseded(engine):
    history = History(engine.add("train"), "train")
    first = [answer(0, "a"), answer(100, "b"), answer(200, "c")]
    again = [{**answer(100, "B"), "attempt": 2}]
    history.feed(
        [{"seq": n, "t": 0.0, "attempt": 1, **e} for n, e in enumerate([*first, *again], start=1)],
        engine.status(State.RUNNING),
    )
    assert [(one.step, one.text) for one in history.answers] == [(0, "a"), (100, "B")]
    assert "step 200" not in answers_text(history.answers).plain


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_gpu_memory_follows_a_changing_nvidia_smi(
    make_app,
    engine,
    until,
    text_of,
    tmp_path,
    monkeypatch,
    nvidia_smi,  # noqa: F811
    size,
):
    used = tmp_path / "used"
    used.write_text("5000")
    nvidia_smi(
        f"read used < {used}\n"
        'case "$1" in *compute_cap*|*compute-apps*) ;;\n'
        '*) echo "0, GPU-0, 97, 24564, $used, 9, 550.54, RTX 4090, [N/A], Disabled, Disabled, 71"'
        " ;; esac"
    )
    monkeypatch.setattr(load, "SECONDS", 0.05)
    monkeypatch.setattr(monitor, "Monitor", functools.partial(monitor.Monitor, gpu_seconds=0.0))
    run = engine.add("train")
    app = make_app()
    gpus = [{"index": 0, "utilisation": 97.0, "memory_used": 1, "memory_total": 2}]
    sample = {"kind": "resource", "cpu_percent": 1.0, "rss_bytes": 1e9, "gpus": gpus}
    async with app.run_test(size=size) as pilot:
        await pilot.press("4")
        engine.push(run, engine.status(State.RUNNING), sample)
        panel = app.screen.query_one("#uses")
        seen = "5.2G" if size[0] == 80 else "5.2 of 25.8 GB"
        await until(pilot, lambda: seen in str(panel.content), str(panel.content))
        used.write_text("20000")
        seen = "21G" if size[0] == 80 else "21.0 of 25.8 GB"
        await until(pilot, lambda: seen in str(panel.content), str(panel.content))
        await until(pilot, lambda: "GPU0" in text_of(app))


async def test_without_a_gpu_the_panel_says_so_and_takes_no_line_for_it(
    make_app,
    engine,
    until,
    text_of,
    monkeypatch,
    no_gpu,  # noqa: F811
):
    monkeypatch.setattr(load, "SECONDS", 0.05)
    run = engine.add("train")
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.press("4")
        engine.push(
            run,
            engine.status(State.RUNNING),
            {"kind": "resource", "cpu_percent": 190.0, "rss_bytes": 1e9},
        )
        await until(pilot, lambda: "job 190 %, no GPU" in text_of(app))
        assert "GPU0" not in text_of(app)
        assert app.screen.query_one("#uses").size.height == 2
