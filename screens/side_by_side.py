"""Two files' reports of the same evaluation case, from where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.comparison.rows import Row

_SAME_CHARACTERS = 120
"""Of what is the same, so much is shown before the difference."""
_MOST_CHARACTERS = 20_000

Pair = tuple[dict[str, Any], dict[str, Any]]


def pairs(left: Row, right: Row) -> list[Pair]:
    """The reports of the cases that both files have answered."""
    others = {made.get("case"): made for made in right.get("reports", ())}
    return [
        (made, others[made.get("case")])
        for made in left.get("reports", ())
        if made.get("case") in others
    ]


def first_difference(left: str, right: str) -> int | None:
    """The first character that is not the same; None where the texts are equal."""
    for at, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return at
    return None if len(left) == len(right) else min(len(left), len(right))


class SideBySideScreen(ModalScreen[None]):
    """The case's number and both reports; the first character that differs is reversed, what
    follows is bold, what is the same before is dim."""

    CSS_PATH = stylesheet("gguf")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back", key_display="esc"),
        Binding("q", "dismiss", show=False),
        Binding("right", "case(1)", "Next case", key_display="→"),
        Binding("left", "case(-1)", "Case before", key_display="←"),
        Binding("n", "case(1)", show=False),
        Binding("p", "case(-1)", show=False),
        Binding("a", "whole", "All of it"),
    ]

    def __init__(self, left: Row, right: Row, found: Sequence[Pair]) -> None:
        super().__init__()
        self._types = (one_line(left.get("type")), one_line(right.get("type")))
        self._pairs = found
        self._at = 0
        self._whole = False

    def compose(self) -> ComposeResult:
        yield Static("", id="case", markup=False)
        with Horizontal(id="reports"):
            for side in ("left", "right"):
                with VerticalScroll(id=side):
                    yield Static("", id=f"{side}-text", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._show()
        self.query_one("#left").focus()

    def action_case(self, by: int) -> None:
        self._at = (self._at + by) % len(self._pairs)
        self._show()

    def action_whole(self) -> None:
        self._whole = not self._whole
        self._show()

    def _show(self) -> None:
        pair = self._pairs[self._at]
        texts = [plain(made.get("text", ""))[:_MOST_CHARACTERS] for made in pair]
        at = first_difference(*texts)
        where = "the reports are the same" if at is None else f"the same up to character {at:,}"
        case = one_line(pair[0].get("case", ""))
        title = Text(f"Case {self._at + 1} of {len(self._pairs)}: {case}", style="bold")
        title.append(f"   {where}", style="not bold")
        self.query_one("#case", Static).update(title)
        for side, kind, made, text in zip(
            ("left", "right"), self._types, pair, texts, strict=True
        ):
            shown = report_text(kind, made, text, at, whole=self._whole)
            self.query_one(f"#{side}-text", Static).update(shown)
            self.query_one(f"#{side}").scroll_home(animate=False)


def report_text(
    kind: str, made: dict[str, Any], text: str, at: int | None, *, whole: bool = False
) -> Text:
    """A report with its score above; `at` is the first character that differs."""
    shown = Text(kind, style="bold")
    shown.append(f"  {_score(made)}\n\n", style="not bold")
    same = len(text) if at is None else at
    start = 0 if whole else max(0, same - _SAME_CHARACTERS)
    if at is None:
        start = 0
    if start:
        shown.append("… ", style="dim not bold")
    shown.append(text[start:same], style="dim not bold")
    if at is not None:
        shown.append(text[at : at + 1] or "(it ends here)", style="bold reverse")
        shown.append(text[at + 1 :], style="bold")
    return shown


def _score(made: dict[str, Any]) -> str:
    score = made.get("score") or {}
    traits = (score.get("traits") or {}).values()
    right = sum(one.get("found") == one.get("expected") for one in traits)
    words = [
        "complete" if score.get("complete") else "not complete",
        f"{right}/{len(traits)} levels right",
        "nothing forbidden" if score.get("safe") else "forbidden words",
        "ended by itself" if made.get("stopped") else "cut off",
        f"{made.get('tokens', 0)} tokens",
    ]
    return ", ".join(words)
