"""Text that grows is drawn as if it had been shown whole, and what it says is data."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.containers import Vertical

from haruon_tui.screens.growing_text import GrowingText

_STORY = (
    "하루온은 오늘의 하루를 적는 앱입니다. It writes a report, 한 문단씩.\n\n"
    "[bold]이건 마크업이 아닙니다[/bold] 그리고 \x1b[31m붉지 않습니다\x1b[0m.\n"
    "낱말이 아주 길면: " + "가나다라" * 30 + "\n끝 🙂 입니다."
)


class _Shown(App[None]):
    def compose(self) -> ComposeResult:
        with Vertical():
            yield GrowingText()


def _lines(text: GrowingText) -> list[str]:
    return [text.render_line(y).text.rstrip() for y in range(text.size.height)]


def _written(text: GrowingText) -> str:
    return "\n".join(_lines(text)).rstrip()


async def test_text_that_grew_is_drawn_as_text_shown_whole():
    async with _Shown().run_test(size=(40, 20)) as pilot:
        text = pilot.app.query_one(GrowingText)
        for end in range(1, len(_STORY), 3):
            text.show(_STORY[:end], grows=True)
            await pilot.pause()
        assert "▌" in _written(text)
        text.show(_STORY, grows=False)
        await pilot.pause()
        grown = _written(text)
        text.show("", grows=True)
        await pilot.pause()
        assert _written(text) == "…"
        text.show(_STORY, grows=False)
        await pilot.pause()
        assert _written(text) == grown
        assert "".join(grown.split()).endswith("끝🙂입니다.")


async def test_markup_and_escape_sequences_in_it_do_nothing():
    async with _Shown().run_test(size=(60, 20)) as pilot:
        text = pilot.app.query_one(GrowingText)
        text.show(_STORY, grows=False)
        await pilot.pause()
        assert "[bold]이건 마크업이 아닙니다[/bold]" in _written(text)
        assert "\x1b" not in _written(text)
        styles = {segment.style for y in range(3) for segment in text.render_line(y)}
        assert len(styles) == 1


async def test_another_width_wraps_it_anew():
    async with _Shown().run_test(size=(60, 20)) as pilot:
        text = pilot.app.query_one(GrowingText)
        text.show(_STORY, grows=True)
        await pilot.pause()
        wide = _written(text)
        await pilot.resize_terminal(30, 20)
        await pilot.pause()
        narrow = _lines(text)
        assert len(narrow) > wide.count("\n") + 1
        assert "".join("".join(narrow).split()) == "".join(wide.split())


async def test_other_text_takes_its_place():
    async with _Shown().run_test(size=(60, 20)) as pilot:
        text = pilot.app.query_one(GrowingText)
        text.show(_STORY, grows=True)
        await pilot.pause()
        text.show("다른 답", grows=False)
        await pilot.pause()
        assert _written(text) == "다른 답"
