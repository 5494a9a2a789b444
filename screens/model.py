"""The Model screen: the base model and its first answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Sparkline, Static

from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.figures import Figure, Figures
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History

_NO_ANSWER = "The model's first answer appears here once it is there."


class ModelScreen(StageScreen):
    """Which base it is, how its building goes, and what it said."""

    CSS_PATH = stylesheet("model")

    def compose_body(self) -> ComposeResult:
        yield Static("", id="base", markup=False)
        with Container(id="build"):
            yield Static("", id="loss", markup=False)
            yield Sparkline(id="curve")
        yield Figures(id="figures")
        yield Static(_NO_ANSWER, id="answer", markup=False)

    def show_plan(self, steps: dict[str, Step]) -> None:
        step = steps["model"]
        folder = step.finished.artifacts / "model" if step.finished else None
        self.query_one("#base", Static).update(base_text(step.params, folder))
        self._show_building()

    def show_update(self, history: History, events: list[Event]) -> None:
        self._show_building()

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        self.query_one("#figures", Figures).show(model_figures(result) if result else [])
        answer = answer_text(result) if result else Text(_NO_ANSWER)
        self.query_one("#answer", Static).update(answer)

    def _show_building(self) -> None:
        job = self.job()
        steps, losses = job.curves.series("loss") if job and job.active else ([], [])
        finite = [loss for loss in losses if math.isfinite(loss)]
        self.query_one("#build").display = bool(finite)
        if finite:
            words = f"loss {losses[-1]:.3f} at step {steps[-1]}, {finite[0]:.3f} at the start"
            self.query_one("#loss", Static).update(words)
            self.query_one("#curve", Sparkline).data = finite


def base_text(params: object, folder: object) -> Text:
    """The base of today's settings (Params of the model stage), and where it lies."""
    text = Text("Base model  ")
    source = getattr(params, "folder", None) or getattr(params, "base", "–")
    text.append(one_line(source), style="bold")
    revision = getattr(params, "revision", "main")
    if revision != "main":
        text.append(f" at {one_line(revision)}")
    if folder is not None:
        text.append(f"\nin {one_line(folder)}")
    return text


def model_figures(result: dict[str, Any]) -> list[Figure]:
    """The figures of the model stage's result."""
    return [
        ("parameters", f"{result.get('parameters', 0) / 1e6:,.1f} M"),
        ("size", size(result.get("bytes", 0))),
        ("tokens/s", f"{result.get('tokens_per_second', 0):,.1f}"),
    ]


def answer_text(result: dict[str, Any]) -> Text:
    """What the model was asked and what it said."""
    text = Text("Asked\n", style="dim")
    text.append(plain(result.get("prompt", "")).strip(), style="not dim")
    text.append("\n\nIts first answer, untuned\n")
    text.append(plain(result.get("answer", "")).strip() or "(nothing)", style="not dim bold")
    return text
