"""The Model screen: the base model, its card, how it comes, what it says, and which to choose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Sparkline, Static

from haruon_tui.screens.actions import bindings
from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line, plain
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.screens.widgets.base_choice import BaseChoice
from haruon_tui.screens.widgets.figures import Figure, Figures
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History

_CURVES = ("MB/s", "loss")


class ModelScreen(StageScreen):
    """The model at the left, the choice of base at the right; where there is little room, one of
    them at a time."""

    CSS_PATH = stylesheet("model")
    BINDINGS = bindings("model", "stage", "job")

    def compose_body(self) -> ComposeResult:
        with Container(id="columns"):
            with Container(id="model"):
                yield Static("", id="base", markup=False)
                with Container(id="build"):
                    yield Static("", id="pace", markup=False)
                    yield Sparkline(id="curve")
                yield Figures(id="figures")
                yield Static("", id="tokens", markup=False)
                yield Static("", id="answer", markup=False)
            yield BaseChoice(id="choice")

    def job(self) -> History | None:
        """What runs; else the newest of fetch and probe that went wrong since the model is
        there; else the fetch."""
        fetched, probe = super().job(), self._probe()
        step = self.session.steps.get("model")
        newest = self.session.history(step.latest) if step else None
        for job in (probe, newest):
            if job is None or (fetched and job.run.id <= fetched.run.id) or job.status is None:
                continue
            if job.active or job.status.state != "finished":
                return job
        return fetched

    def show_plan(self, steps: dict[str, Step]) -> None:
        step = steps["model"]
        result = self.session.results.get("model")
        folder = step.finished.artifacts / "model" if step.finished else None
        self.query_one("#base", Static).update(base_text(step.params, folder, result))
        self.query_one("#choice", BaseChoice).show(_base_name(step.params))
        self._show_coming()
        self._show_answer()

    def run_changed(self, history: History, events: list[Event]) -> None:
        super().run_changed(history, events)
        if history.stage == "probe":
            self._show_answer()

    def show_update(self, history: History, events: list[Event]) -> None:
        self._show_coming()
        self._show_answer()

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        card = (result or {}).get("card")
        self.query_one("#figures", Figures).show(card_figures(result or {}) if card else [])
        self.query_one("#tokens", Static).update(tokens_text(card) if card else "")
        self._show_answer()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "probe":
            step = self.session.steps.get("model")
            ready = step is not None and step.finished is not None
            return True if ready and not self.session.active("probe") else None
        if action in ("choose", "mark"):
            return True if self._choosing else None
        return super().check_action(action, parameters)

    def action_change_view(self) -> None:
        self.toggle_class("-choice")
        self.refresh_bindings()

    def action_page(self, step: int) -> None:
        body = self.query_one("#body")
        if step > 0:
            body.scroll_page_down(animate=False)
        else:
            body.scroll_page_up(animate=False)

    def action_mark(self, step: int) -> None:
        self.query_one("#choice", BaseChoice).mark(step)

    def action_probe(self) -> None:
        self.session.probe()

    def action_choose(self) -> None:
        marked = self.query_one("#choice", BaseChoice).marked
        step = self.session.steps.get("model")
        if marked is None or step is None:
            return
        now = _base_name(step.params)
        if marked.name == now or self.session.read_only:
            self.session.set_base(marked.name)  # which says why not, or that it is so already
            return
        from haruon_tui.screens.confirm import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                self.session.set_base(marked.name)

        detail = (
            f"haruon.toml: [model] base = {now!r} becomes {marked.name!r}. The stages from model "
            "on are to be run again; what they made before stays in runs/."
        )
        self.app.push_screen(
            ConfirmScreen(f"Make {marked.name} the base?", detail, "Change it"), answered
        )

    @property
    def _choosing(self) -> bool:
        return self.has_class("-choice") or self.has_class("-wide")

    def _probe(self) -> History | None:
        """The newest probe of this workspace."""
        if active := self.session.active("probe"):
            return active
        rows = [row.run for row in self.session.overview.runs if row.stage == "probe"]
        return self.session.history(max(rows, key=lambda run: run.id, default=None))

    def _show_coming(self) -> None:
        """The curve of a download or of the building of the tiny base, while it runs."""
        job = self.job()
        names = job.curves.names if job and job.active else []
        name = next((curve for curve in _CURVES if curve in names), "")
        steps, values = job.curves.series(name) if job else ([], [])
        finite = [value for value in values if math.isfinite(value)]
        self.query_one("#build").display = bool(finite)
        if finite:
            words = pace_text(name, steps[-1], values[-1], finite)
            self.query_one("#pace", Static).update(words)
            self.query_one("#curve", Sparkline).data = finite

    def _show_answer(self) -> None:
        step = self.session.steps.get("model")
        fetched, probe = super().job(), self._probe()
        newest = probe if probe and (fetched is None or probe.run.id > fetched.run.id) else fetched
        speaking = bool(newest and newest.active and newest.said)
        self.set_class(speaking, "-speaking")
        if newest and speaking:
            text = speaking_text(newest.said)
        elif newest is probe and probe and probe.said:
            ended = probe.status.result if probe.status else None
            text = answer_text(ended or {"answer": probe.said})
        elif result := self.session.results.get("model"):
            text = answer_text(result)
        elif newest and newest.active:
            text = Text("Its first answer appears here, as it speaks.")
        else:
            text = empty_text(step.params if step else None)
        self.query_one("#answer", Static).update(text)


def _base_name(params: object) -> str:
    return str(getattr(params, "folder", None) or getattr(params, "base", "–"))


def base_text(params: object, folder: object, result: dict[str, Any] | None = None) -> Text:
    """The base of today's settings (Params of the model stage), its commit, where it lies."""
    text = Text("Base model  ")
    text.append(one_line(_base_name(params)), style="bold")
    revision = getattr(params, "revision", "main")
    commit = (result or {}).get("commit")
    if commit:
        text.append(f" at {one_line(revision)}, pinned to {one_line(commit)[:12]}")
    elif revision != "main":
        text.append(f" at {one_line(revision)}")
    if folder is not None:
        text.append(f"\nin {one_line(folder)}")
    return text


def card_figures(result: dict[str, Any]) -> list[Figure]:
    """The card in the model stage's result, as names and values."""
    card = result["card"]
    dtypes = sorted(card["dtypes"], key=card["dtypes"].get, reverse=True)
    return [
        ("parameters", f"{card['parameters'] / 1e6:,.1f} M"),
        ("size", size(card["bytes"])),
        ("type", " ".join(dtypes)),
        ("layers", _number(card["layers"])),
        ("heads", f"{_number(card['heads'])}, kv {_number(card['key_value_heads'])}"),
        ("context", _number(card["context"])),
        ("vocabulary", _number(card["vocabulary"])),
        ("template", card["template"]),
        ("output", "tied" if card["tied_embeddings"] else "its own layer"),
        ("licence", card["license"] or "not named"),
        ("is a", card["model_type"]),
        ("tokens/s", f"{result.get('tokens_per_second', 0):,.1f}"),
    ]


def tokens_text(card: dict[str, Any]) -> Text:
    """The tokens at which generation stops, and the special ones, with their ids."""
    text = Text("stops at ", style="dim")
    stops = [f"{t['text']} {t['id']}" for t in card["stop_tokens"]]
    text.append(one_line(", ".join(stops) or "nothing it names"), style="bold not dim")
    named = [f"{t['role']} {t['text']} {t['id']}".strip() for t in card["special_tokens"]]
    text.append("\nspecial  ", style="dim")
    text.append(one_line(", ".join(named) or "none"), style="not dim")
    return text


def pace_text(name: str, step: int, last: float, values: list[float]) -> str:
    """The line above the curve: of a download in MB/s, or of the loss while tiny is built."""
    if name == "MB/s":
        return f"{last:,.1f} MB/s at {step:,} MB, {max(values):,.1f} MB/s at best"
    return f"loss {last:.3f} at step {step}, {values[0]:.3f} at the start"


def speaking_text(said: str) -> Text:
    """What the model has written so far."""
    text = Text("It speaks (s stops it)\n", style="dim")
    text.append(plain(said).lstrip() + "▌", style="not dim bold")
    return text


def answer_text(result: dict[str, Any]) -> Text:
    """What the model was asked and what it said."""
    text = Text("Its answer, untuned\n", style="dim")
    text.append(plain(result.get("answer", "")).strip() or "(nothing)", style="bold not dim")
    if asked := plain(result.get("prompt", "")).strip():
        text.append("\n\nAsked\n")
        text.append(asked, style="not dim")
    return text


def empty_text(params: object) -> Text:
    """What to do while there is no model."""
    base = one_line(_base_name(params))
    if base == "tiny":
        how = "r builds it here, offline, in about two minutes; it is kept for other workspaces."
    elif getattr(params, "folder", None):
        how = "r checks it and takes it over, without a second copy on the same disk."
    else:
        how = (
            "r fetches it from the Hugging Face Hub into the cache there (HF_HOME). A fetch that "
            "breaks goes on where it stopped; HF_TOKEN is used where it is set."
        )
    return Text(f"No model yet. {how} Its first answer appears here.\nv compares two bases.")


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
