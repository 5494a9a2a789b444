"""What a training will learn of its first record, and how long its records are."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from haruon_tui.screens.engine import parts
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.settings import TrainSettings
    from haruon_tui.training.label_view import LabelView

LEARNED = "bold reverse"
MASKED = "dim"


class LabelsScreen(Screen[None]):
    """Opened by `b` on the Train screen."""

    CSS_PATH = stylesheet("labels")
    BINDINGS: ClassVar = [
        Binding("escape", "dismiss", "Back"),
        Binding("b,q", "dismiss", "Back", show=False),
        Binding("down,j", "scroll(1)", "Down"),
        Binding("up,k", "scroll(-1)", "Up"),
        Binding("pagedown", "scroll(10)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Up", show=False),
    ]
    covers = True

    class Looked(Message):
        """The child process has answered."""

        def __init__(self, view: LabelView | None = None, problem: str = "") -> None:
            super().__init__()
            self.view = view
            self.problem = problem

    def __init__(self, model: Path, train_file: Path, wanted: TrainSettings) -> None:
        super().__init__()
        self._asked = (model, train_file, wanted)

    def compose(self) -> ComposeResult:
        yield Static("What is learned of the first record", id="title", markup=False)
        with VerticalScroll(id="all", can_focus=False):
            yield Static("Looking at the labels …", id="about", markup=False)
            yield Static("", id="record", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        threading.Thread(target=self._look, name="labels", daemon=True).start()

    def _look(self) -> None:
        from haruon_tui.training.label_view import ask

        model, train_file, _ = self._asked
        missing = [path for path in (model, train_file) if not path.exists()]
        if missing:
            stage = "3 (the base model)" if missing[0] == model else "2 (the dataset)"
            self.post_message(self.Looked(problem=f"not there yet: run {stage} first"))
            return
        try:
            view = ask(*self._asked)
        except Exception as error:  # noqa: BLE001 - the screen must say it
            self.post_message(self.Looked(problem=parts(error)["what"]))
        else:
            self.post_message(self.Looked(view))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        about, record = self.query_one("#about", Static), self.query_one("#record", Static)
        if message.view is None:
            about.update(f"✗ {plain(message.problem)}")
            return
        about.update(about_text(message.view, self._asked[2].too_long))
        record.update(record_text(message.view))

    def action_scroll(self, lines: int) -> None:
        self.query_one("#all", VerticalScroll).scroll_relative(y=lines, animate=False)


def record_text(view: LabelView) -> Text:
    """The record as the model is given it, learned and masked in different styles."""
    text = Text()
    for piece, learned in view.pieces:
        text.append(plain(piece), style=LEARNED if learned else MASKED)
    return text


def about_text(view: LabelView, policy: str) -> Text:
    """How much is learned, where it ends, and which records are too long."""
    shortest, median, longest = view.lengths
    text = Text(f"{view.learned} of {view.tokens} tokens are learned (")
    text.append("so", style=LEARNED)
    text.append("), the others are only read (")
    text.append("so", style=MASKED)
    text.append(f"). The last learned is {plain(view.ends)!r}.\n")
    text.append(
        f"{view.records} records of {shortest} to {longest} tokens, {median} in the middle; "
    )
    if not view.too_long:
        text.append(f"none is over max_length = {view.max_length}, none will be cut.\n")
        return text
    fate = "the training refuses to start" if policy == "refuse" else "left out whole"
    text.append(
        f"{view.too_long} over max_length = {view.max_length}: {fate}, none is cut.\n",
        style="bold",
    )
    return text
