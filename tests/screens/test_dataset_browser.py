"""The browser's screen with a real reader behind it."""

from __future__ import annotations

import json
import os

import pytest
from textual.widgets import Input, OptionList, TextArea

from haruon_tui.dataset import golden
from haruon_tui.screens.actions import actions
from haruon_tui.screens.dataset_browser import DatasetBrowser
from haruon_tui.screens.record_editor import RecordEditor

SIZES = [(80, 24), (200, 60)]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HARUON_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def lines() -> list[str]:
    return golden.reports_file().read_text("utf-8").splitlines()


@pytest.fixture
def dataset(tmp_path, lines):
    """A hundred records; the second diagnoses, the fourth line is no record."""
    second = json.loads(lines[1])
    second["messages"][2]["content"] += "\n우울증으로 진단됩니다.\x1b[2J"
    lines[1] = json.dumps(second, ensure_ascii=False)
    lines[3] = lines[3][:60]
    path = tmp_path / "자료.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


async def browse(app, pilot, until, path) -> DatasetBrowser:
    browser = DatasetBrowser(app.session, path)
    app.push_screen(browser)
    await until(pilot, lambda: browser.status.get("indexed"))
    return browser


async def answer(app, pilot, until, key: str, text: str, *, enter: bool = True) -> None:
    """Press a key that asks, and give that answer."""
    await pilot.press(key)
    await until(pilot, lambda: app.screen.query(Input))
    app.screen.query_one(Input).value = text
    await pilot.pause()
    if enter:
        await pilot.press("enter")


@pytest.mark.parametrize("size", SIZES)
async def test_findings_stand_where_they_were_found(make_app, dataset, until, text_of, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.status.get("checked") == 100)
        assert "100 lines" in text_of(app)
        assert "? 1" in text_of(app)
        await pilot.press("down")
        await until(pilot, lambda: browser.record and browser.record["line"] == 1)
        await until(pilot, lambda: "diagnosing" in text_of(app))
        await pilot.press("i")
        await until(pilot, lambda: "진단됩니다[" in text_of(app))
        assert "\x1b" not in text_of(app)
        assert "[2J" not in text_of(app)
        await pilot.press("down", "down")
        await until(pilot, lambda: "This line is no record" in text_of(app))


@pytest.mark.parametrize("size", SIZES)
async def test_search_in_korean_goes_from_hit_to_hit(make_app, dataset, until, text_of, size):
    app = make_app()
    async with app.run_test(size=size) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await answer(app, pilot, until, "slash", "주말에")
        await until(pilot, lambda: "«주말에»: 1 of " in text_of(app))
        hit = browser.table.cursor
        await until(pilot, lambda: browser.record and browser.record["line"] == hit)
        await until(
            pilot, lambda: "주말에" in text_of(app).partition("─" if size[0] < 120 else "│")[2]
        )
        await pilot.press("n")
        await until(pilot, lambda: "«주말에»: 2 of " in text_of(app))
        assert browser.table.cursor > hit
        await pilot.press("N")
        await until(pilot, lambda: browser.table.cursor == hit)
        await answer(app, pilot, until, "r", "(")
        await until(pilot, lambda: "no regular expression" in text_of(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "«주말에»" not in text_of(app))


async def test_filter_sort_and_go_to_a_line(make_app, dataset, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.status.get("checked") == 100)
        for typed, shown in (
            ("with errors", "only with errors: 1 "),
            ("diagnosing", "only with errors, rule diagnosing: 1 "),
        ):
            await answer(app, pilot, until, "f", typed)
            await until(pilot, lambda shown=shown: shown in text_of(app))
        assert browser.table.row(0)["line"] == 1
        await pilot.press("F")
        await until(pilot, lambda: browser.table.total == 100)
        await answer(app, pilot, until, "f", "개방성 매우 높음")
        await until(pilot, lambda: "only 개방성 매우 높음: 14 " in text_of(app))
        await until(pilot, lambda: browser.table.row(0))
        assert {browser.table.row(at)["levels"][0] for at in range(14)} == {7}
        await answer(app, pilot, until, "f", "rejected")
        await until(pilot, lambda: "Nothing fits the filter. F takes it away" in text_of(app))
        await pilot.press("F")
        for arrow in "↑↓":
            await answer(app, pilot, until, "s", "tokens")
            await until(pilot, lambda arrow=arrow: f"by tokens {arrow}" in text_of(app))
            await until(pilot, lambda: browser.table.row(0))
            assert browser.table.cursor == 0
        tokens = [browser.table.row(at)["tokens"] for at in range(20)]
        assert tokens == sorted(tokens, reverse=True)
        await answer(app, pilot, until, "g", "77")
        await until(pilot, lambda: browser.record["line"] == 76)
        await answer(app, pilot, until, "g", "101")
        await until(pilot, lambda: "no line «101»" in text_of(app))
        await answer(app, pilot, until, "s", "nonsense", enter=False)
        await until(pilot, lambda: "nothing fits" in text_of(app))


async def test_a_record_is_edited_taken_back_and_made_again(make_app, dataset, lines, until):
    before = dataset.read_bytes()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.record)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, RecordEditor))
        area = app.screen.query_one("#part-2", TextArea)
        await until(pilot, lambda: area.has_focus)
        await pilot.press(*"새글", "ctrl+s")
        await until(pilot, lambda: app.screen is browser)
        after = dataset.read_bytes()
        changed = json.loads(after.splitlines()[0])
        whole = json.loads(lines[0])
        whole["messages"][2]["content"] = "새글" + whole["messages"][2]["content"]
        assert changed == whole
        assert after.splitlines()[1:] == before.splitlines()[1:]
        await until(pilot, lambda: browser.status["undo"] == 1)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: dataset.read_bytes() == before)
        await until(pilot, lambda: browser.status["redo"] == 1)
        await pilot.press("ctrl+y")
        await until(pilot, lambda: dataset.read_bytes() == after)


async def test_an_edit_that_keeps_the_length_is_shown(make_app, tmp_path, until, text_of):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "before"}\n{"text": "other"}\n')
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, path)
        await until(pilot, lambda: browser.record)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, RecordEditor))
        area = app.screen.query_one("#part-0", TextArea)
        await until(pilot, lambda: area.has_focus)
        area.text = area.text.replace("before", "after!")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is browser)
        await until(pilot, lambda: " after!" in text_of(app).partition("─")[2])
        assert "before" not in text_of(app)


async def test_a_path_is_typed_or_a_file_is_chosen(make_app, workspace, tmp_path, until):
    for name in ("하나.jsonl", "하나.jsonl.review.jsonl"):
        (workspace.folder / name).write_text('{"text": "one"}\n', "utf-8")
    (tmp_path / "둘.jsonl").write_text('{"text": "two"}\n' * 2, "utf-8")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        for typed, opened in (
            ("하나.jsonl", workspace.folder / "하나.jsonl"),
            (str(tmp_path / "둘.jsonl"), tmp_path / "둘.jsonl"),
        ):
            await answer(app, pilot, until, "b", typed)
            await until(pilot, lambda: isinstance(app.screen, DatasetBrowser))
            assert app.screen.path == opened
            await until(pilot, lambda: app.screen.status.get("indexed"))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, DatasetBrowser))
        await pilot.press("b")
        await until(pilot, lambda: app.screen.query(OptionList))
        shown = [str(option.prompt) for option in app.screen.query_one(OptionList).options]
        assert sum("하나" in one for one in shown) == 1


async def test_json_with_a_fault_is_not_saved_and_says_where(make_app, dataset, until, text_of):
    before = dataset.read_bytes()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.record)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, RecordEditor))
        await pilot.press("ctrl+n")
        area = app.screen.query_one("#part-3", TextArea)
        await until(pilot, lambda: area.has_focus)
        area.text = '{\n  "messages": [}'
        await pilot.pause()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "in line 2, column 16" in text_of(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Leave without saving?" in text_of(app))
        await pilot.press("y")
        await until(pilot, lambda: app.screen is browser)
    assert dataset.read_bytes() == before


async def test_decisions_with_reasons_are_there_again(make_app, dataset, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.record)
        await pilot.press("a")
        await until(pilot, lambda: "accepted" in text_of(app))
        await pilot.press("down")
        await until(pilot, lambda: browser.record["line"] == 1)
        await answer(app, pilot, until, "x", "진단이다")
        await until(pilot, lambda: "rejected: 진단이다" in text_of(app))
        await pilot.press("escape")
        again = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: again.record and "accepted" in text_of(app))
        await pilot.press("down")
        await until(pilot, lambda: "rejected: 진단이다" in text_of(app))


async def test_a_read_only_program_changes_nothing(make_app, dataset, until, text_of):
    app = make_app(read_only=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await until(pilot, lambda: browser.record)
        for key in "eaxw":
            await pilot.press(key)
        assert app.screen is browser
        await until(pilot, lambda: "read-only" in text_of(app))
    assert [path.name for path in dataset.parent.glob("자료*")] == ["자료.jsonl"]


async def test_the_table_holds_few_rows_of_a_long_file(make_app, tmp_path, until):
    path = tmp_path / "long.jsonl"
    path.write_text("".join(f'{{"n": {n}, "text": "글 {n}"}}\n' for n in range(30_000)), "utf-8")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, path)
        table = browser.table
        for _ in range(25):
            table.move_to(table.cursor + 1000)
            await until(pilot, lambda: table.row(table.cursor))
        assert table.held <= 1000
        await pilot.press("end")
        await until(pilot, lambda: browser.record and browser.record["line"] == 29_999)
        with path.open("a") as stream:
            stream.write('{"text": "new"}\n')
        await until(pilot, lambda: browser.record["line"] == 30_000, "End follows what is written")


async def test_nothing_to_show_is_said(make_app, tmp_path, until, text_of):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    os.mkfifo(tmp_path / "pipe")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await browse(app, pilot, until, empty)
        await until(pilot, lambda: "The file is empty" in text_of(app))
        await pilot.press("escape")
        for name, said in (
            (".", "is a directory"),
            ("pipe", "named pipe"),
            ("no", "No such file"),
        ):
            app.push_screen(DatasetBrowser(app.session, tmp_path / name))
            await until(pilot, lambda said=said: said in text_of(app))
            await until(pilot, lambda: "o opens another file" in text_of(app))
            for key in "/fsehw":
                await pilot.press(key)
                assert isinstance(app.screen, DatasetBrowser)
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, DatasetBrowser))


async def test_help_is_one_key_away_and_histograms_are_another(make_app, dataset, until, text_of):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        browser = await browse(app, pilot, until, dataset)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Search with a regular expression" in text_of(app))
        await pilot.press("escape", "h")
        await until(pilot, lambda: "Tokens per record" in text_of(app))
        await pilot.press("end")
        await until(pilot, lambda: "개방성" in text_of(app))
        await pilot.press("h")
        await until(pilot, lambda: app.screen is browser)


def test_every_key_of_the_browser_has_its_action():
    for action in actions("browser"):
        name = action.action.partition("(")[0]
        assert hasattr(DatasetBrowser, f"action_{name}"), action
