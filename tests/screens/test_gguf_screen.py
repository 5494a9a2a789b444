from __future__ import annotations

import pytest
from textual.widgets import DataTable

from haruon_tui import artifacts
from haruon_tui.jobs.events import EventWriter
from haruon_tui.jobs.store import State
from haruon_tui.screens.gguf_files import read_files

MEASURED = {
    "type": "Q4_K_M",
    "file": "model.Q4_K_M.gguf",
    "loads": True,
    "bytes": 986_000_000,
    "bits_per_weight": 4.88,
    "load_seconds": 0.5,
    "prompt": {"mean": 1200.0, "sd": 10.5},
    "generate": {"mean": 34.5, "sd": 0.4},
    "quality": {
        "perplexity_ratio": [1.031, 0.002],
        "divergence": [0.0521, 0.001],
        "same_top": [0.912, 0.004],
    },
    "reports": [
        {"stopped": True, "score": {"complete": True}},
        {"stopped": False, "score": {"complete": True}},
    ],
}
BROKEN = {
    "type": "Q4_0",
    "file": "model.Q4_0.gguf",
    "loads": False,
    "bytes": 935_000_000,
    "error": "ended by [b]SIGSEGV[/b]",
}


@pytest.fixture
def converted(engine):
    run = engine.add("convert", State.FINISHED, result={"summary": "converted"})
    run.artifacts.mkdir(parents=True)
    artifacts.write_json(
        run.artifacts / "manifest.json",
        {"artifacts": {"model.F16.gguf": {"bytes": 3_094_000_000}, "proof.json": {"bytes": 9}}},
    )
    checks = [
        {"name": "token ids", "ok": True, "detail": "727 equal"},
        {"name": "logits", "ok": False, "detail": "mean KL 0.5"},
    ]
    artifacts.write_json(run.artifacts / "proof.json", checks)
    return run


def quantized(run, *types: str) -> None:
    run.artifacts.mkdir(parents=True, exist_ok=True)
    artifacts.write_json(
        run.artifacts / "manifest.json",
        {
            "artifacts": {
                f"model.{kind}.gguf": {"bytes": 935_000_000, "quantized": {"bits_per_weight": 4.7}}
                for kind in types
            }
        },
    )


async def opened(app, pilot, until):
    await until(pilot, lambda: app.session.ready)
    await pilot.press("6")
    await until(pilot, lambda: app.current_mode == "gguf")
    return app.screen.query_one("#files", DataTable)


def types(table: DataTable) -> list[str]:
    return [cells(table, row)[0] for row in range(table.row_count)]


def cells(table: DataTable, row: int) -> list[str]:
    return [str(cell).strip() for cell in table.get_row_at(row)]


async def test_before_the_first_file_it_says_what_to_do(make_app, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "No GGUF file yet" in text_of(app))


async def test_the_proof_is_a_checklist(make_app, converted, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "✓ token ids: 727 equal" in text_of(app))
        assert "✗ logits: mean KL 0.5" in text_of(app)
        assert "3.09 GB" in text_of(app)


async def test_rows_come_as_files_are_made_and_measured(make_app, engine, converted, until):
    run = engine.add("quantize")
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: types(table) == ["F16"])
        quantized(run, "Q4_0")
        made = {"kind": "artifact", "name": "model.Q4_0.gguf", "bytes": 935_000_000}
        engine.push(run, engine.status(State.RUNNING), made)
        await until(pilot, lambda: types(table) == ["F16", "Q4_0"])

        quantized(run, "Q4_0", "Q4_K_M")
        engine.push(run, engine.status(State.FINISHED), made, {"kind": "finished", "result": {}})
        await until(pilot, lambda: types(table) == ["F16", "Q4_0", "Q4_K_M"])

        comparing = engine.add("compare")
        rows = comparing.folder / "scratch"
        rows.mkdir(parents=True)
        artifacts.write_json(rows / "model.Q4_K_M.gguf.row.json", {"of": [], "row": MEASURED})
        app.session.refresh()
        engine.push(comparing, engine.status(State.RUNNING), {"kind": "log", "text": "measured"})
        await until(pilot, lambda: "34.5±0.4" in cells(table, 2))
        assert cells(table, 1)[7] == "–", "what was never measured is not a zero"


async def test_a_failed_file_shows_its_reason(make_app, engine, until, text_of):
    run = engine.add("compare", State.FINISHED, result={"summary": "compared"})
    artifacts.write_json(run.artifacts / "comparison.json", {"rows": [MEASURED, BROKEN]})
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: types(table) == ["Q4_K_M", "✗ Q4_0"])
        assert "✗ Q4_0: ended by [b]SIGSEGV[/b]" in text_of(app)


async def test_the_first_column_stays_when_the_table_scrolls(make_app, engine, until, text_of):
    run = engine.add("compare", State.FINISHED, result={"summary": "compared"})
    artifacts.write_json(run.artifacts / "comparison.json", {"rows": [MEASURED]})
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 1)
        assert "500 tok s" not in text_of(app)
        table.scroll_to(x=table.max_scroll_x, animate=False)
        await until(pilot, lambda: "500 tok s" in text_of(app))
        assert "Q4_K_M" in text_of(app)


REPORT = {"stopped": True, "tokens": 9, "score": {"complete": True, "safe": True, "traits": {}}}
BUFFERS = {"model": 940_000_000, "KV": 58_720_256, "compute": 317_718_528}


def measured(kind: str, size: int, loss: float, *texts: str) -> dict:
    """A row with all that the screen shows, and a report of each case from 0 on."""
    return {
        **MEASURED,
        "type": kind,
        "file": f"model.{kind}.gguf",
        "bytes": size,
        "buffers": {**BUFFERS, "model": size},
        "quality": {**MEASURED["quality"], "divergence": [loss, loss / 50]},
        "busy_percent": 43.0 if kind == "Q4_0" else 2.0,
        "reports": [{**REPORT, "case": str(n), "text": text} for n, text in enumerate(texts)],
    }


@pytest.fixture
def compared(engine):
    """F16 and two quantized files; the reports of Q4_0 go another way in the second case."""
    run = engine.add("compare", State.FINISHED, result={"summary": "compared"})
    rows = [
        measured("F16", 3_094_000_000, 0.0, "개방성: 높음", "사람을 좋아합니다"),
        measured("Q8_0", 1_647_000_000, 0.001, "개방성: 높음", "사람을 좋아합니다"),
        measured("Q4_0", 935_000_000, 0.09, "개방성: 높음", "사람을 [b]피합니다\x1b[2J"),
    ]
    artifacts.write_json(run.artifacts / "comparison.json", {"rows": rows})
    return rows


async def press(pilot, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await pilot.pause()


async def test_rows_are_ordered_by_a_column_and_turned(make_app, compared, until):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: types(table) == ["F16", "Q8_0", "Q4_0"])
        await press(pilot, "o", *"size", "enter")
        await until(pilot, lambda: types(table) == ["Q4_0", "Q8_0", "F16"])
        assert "Size▲" in [str(column.label).strip() for column in table.columns.values()]
        await press(pilot, "o", *"size", "enter")
        await until(pilot, lambda: types(table) == ["F16", "Q8_0", "Q4_0"])


async def test_chosen_columns_stay_while_the_program_runs(make_app, compared, until):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 3)
        before = len(table.columns)
        await press(pilot, "c", "space", "enter")
        await until(pilot, lambda: len(table.columns) == before - 1)
        await press(pilot, "5", "6")
        await until(pilot, lambda: app.current_mode == "gguf")
        assert len(table.columns) == before - 1
        assert "bytes" not in [key.value for key in table.columns]


async def test_two_reports_are_shown_from_where_they_differ(make_app, compared, until, text_of):
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 3)
        table.focus()
        await press(pilot, "space", "down", "down", "space", "d")
        await until(pilot, lambda: "Case 1 of 2" in text_of(app))
        assert "the reports are the same" in text_of(app)
        await press(pilot, "right")
        await until(pilot, lambda: "the same up to character 4" in text_of(app))
        assert "[b]피합니다" in text_of(app)
        await press(pilot, "escape")
        await until(pilot, lambda: "*Q4_0" in text_of(app))


async def test_everything_shows_on_a_large_terminal(make_app, compared, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: "Pareto front" in text_of(app))
        shown = text_of(app)
        for words in ("500 tok s", "estimate ", "Take Q4_0", "not idle", "●Q8_0", "iPhone 15 Pro"):
            assert words in shown, words
        assert table.max_scroll_x == 0


async def test_another_phone_has_other_estimates(make_app, compared, until, text_of):
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 3)
        before = cells(table, 2)[-1]
        await press(pilot, "p", *"13 pro", "enter")
        await until(pilot, lambda: cells(table, 2)[-1] != before)
        assert "iPhone 13 Pro (A15)" in text_of(app)


async def test_with_little_room_one_thing_is_seen_at_a_time(make_app, compared, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 3)
        assert "Pareto" not in text_of(app)
        await press(pilot, "v")
        await until(pilot, lambda: "Pareto front" in text_of(app) and "●Q8_0" in text_of(app))
        await press(pilot, "v")
        await until(pilot, lambda: "app, measured, limit 1.50 GB" in text_of(app))
        await press(pilot, "v")
        await until(pilot, lambda: "BPW" in text_of(app))


async def test_the_table_is_written_and_never_over_a_file(
    make_app, compared, workspace, until, text_of
):
    path = workspace.folder / "comparison.csv"
    app = make_app()
    async with app.run_test(size=(120, 30)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: table.row_count == 3)
        await press(pilot, "w", "enter")
        await until(pilot, path.exists)
        assert "Q8_0" in path.read_text("utf-8")
        path.write_text("mine")
        await press(pilot, "w", "enter")
        await until(pilot, lambda: "Replace comparison.csv?" in text_of(app))
        await press(pilot, "n")
        assert path.read_text() == "mine"
        await press(pilot, "w", "enter")
        await until(pilot, lambda: "Replace comparison.csv?" in text_of(app))
        await press(pilot, "y")
        await until(pilot, lambda: "Q8_0" in path.read_text("utf-8"))


async def test_what_earlier_settings_made_is_not_shown(make_app, engine, converted, until):
    from haruon_tui.planning import StageState

    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: types(table) == ["F16"])
        engine.steps["convert"] = engine.step("convert", StageState.STALE, converted)
        engine.results.clear()
        app.session.refresh()
        await until(pilot, lambda: types(table) == [])


def test_a_damaged_file_hides_nothing_else(tmp_path, converted):
    quantize, compare = tmp_path / "quantize", tmp_path / "compare"
    (compare / "scratch").mkdir(parents=True)
    (compare / "scratch" / "a.row.json").write_text('{"row": ')
    (quantize / "artifacts").mkdir(parents=True)
    (quantize / "artifacts" / "manifest.json").write_text('{"artifacts": {"a.gguf": 3}}')
    folders = {"convert": converted.folder, "quantize": quantize, "compare": compare}
    files = read_files(folders)
    assert [row["type"] for row in files.rows] == ["F16"]
    assert len(files.proof) == 2


@pytest.mark.parametrize(("stage", "kind"), [("convert", "F16"), ("quantize", "Q5_K_M")])
async def test_what_could_not_be_made_is_a_row_with_the_reason(
    make_app, engine, converted, until, text_of, stage, kind
):
    run = engine.add(stage, State.FAILED)
    run.folder.mkdir(parents=True, exist_ok=True)
    error = {"what": "a weight is [b]not[/b] finite", "where": "model.layers.0.q_proj.weight"}
    log = EventWriter(run.log, attempt=1)
    log.write("started")
    log.write("progress", done=1, total=5, phase=kind, unit="files")
    log.write("failed", error=error)
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        table = await opened(app, pilot, until)
        await until(pilot, lambda: f"✗ {kind}" in types(table))
        table.move_cursor(row=types(table).index(f"✗ {kind}"))
        await until(
            pilot,
            lambda: "not made: model.layers.0.q_proj.weight: a weight is [b]not" in text_of(app),
        )
