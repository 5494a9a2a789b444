"""The state of a stage or of a mode in words, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from haruon_tui.screens.actions import Mode

if TYPE_CHECKING:
    from haruon_tui.screens.session import Session

SYMBOLS = {
    "not started": "·",
    "queued": "…",
    "running": "▶",
    "stopping": "▶",
    "done": "✓",
    "finished": "✓",
    "failed": "✗",
    "crashed": "✗",
    "stopped": "■",
    "stale": "~",
    "partial": "◐",
    "unknown": "?",
}

COLOURS = {
    "queued": "$text-warning",
    "running": "$text-primary",
    "stopping": "$text-warning",
    "done": "$text-success",
    "finished": "$text-success",
    "failed": "$text-error",
    "crashed": "$text-error",
    "stopped": "$text-warning",
    "stale": "$text-warning",
    "partial": "$text-success",
}


@dataclass(frozen=True)
class Shown:
    """A state as it is shown: `name` is a key of SYMBOLS, `detail` the words beside it."""

    name: str
    detail: str

    @property
    def text(self) -> str:
        return f"{SYMBOLS[self.name]} {self.detail}"

    @property
    def short(self) -> str:
        """At most seven cells wide."""
        return f"{SYMBOLS[self.name]} {_SHORT.get(self.detail, self.detail.replace(' of ', '/'))}"


_SHORT = {
    "not started": "to do",
    "queued": "waits",
    "failed": "fails",
    "crashed": "crash",
    "stopped": "stop",
    "unknown": "?",
}


def stage_state(session: Session, stage: str) -> Shown:
    """The state of one stage: of its active run, else what the plan says."""
    if history := session.active(stage):
        assert history.status is not None
        if history.status.state == "queued":
            return Shown("queued", "queued")
        return Shown("running", f"{fraction(session, stage):.0%}")
    step = session.steps.get(stage)
    if step is None and session.steps:  # a stage outside the pipeline: what its newest run says
        runs = session.overview.runs
        state = next((str(row.status.state) for row in runs if row.stage == stage), "not started")
        return Shown("done", "done") if state == "finished" else Shown(state, state)
    if step is None:
        return Shown("unknown", "…" if not session.ready else "unknown")
    return Shown(str(step.state), str(step.state))


def fraction(session: Session, stage: str) -> float:
    """How far the stage is, from 0 to 1."""
    if history := session.active(stage):
        progress = history.status.progress if history.status else None
        return progress.fraction if progress else 0.0
    step = session.steps.get(stage)
    return 1.0 if step and step.state == "done" else 0.0


def mode_state(session: Session, mode: Mode) -> Shown:
    """The state of a mode's stages taken together; of the jobs mode, how many are active."""
    if not mode.stages:
        active = len(session.running())
        return Shown("running", str(active)) if active else Shown("not started", "idle")
    states = [stage_state(session, stage) for stage in mode.stages]
    if len(states) == 1:
        return states[0]
    names = [state.name for state in states]
    if "running" in names:
        share = sum(fraction(session, stage) for stage in mode.stages) / len(states)
        return Shown("running", f"{share:.0%}")
    for name in ("queued", "failed", "stopped", "stale"):
        if name in names:
            return Shown(name, name)
    done = names.count("done")
    if 0 < done < len(names):
        return Shown("partial", f"{done} of {len(names)}")
    return states[0]


def guidance(session: Session, stage: str, title: str) -> str:
    """One sentence: what to do now with this stage."""
    step = session.steps.get(stage)
    if step is None:
        return "Looking at the workspace …" if not session.ready else ""
    from haruon_tui.stage import STAGES  # loaded with the engine; not before the first frame

    if session.active(stage):
        return f"{title} is under way. s stops it; leaving this program does not."
    missing = [name for name in STAGES[stage].after if session.steps[name].state != "done"]
    if missing:
        names = " and ".join(missing)
        return f"Not done before this: {names}. Press R to run every stage in order."
    return {
        "not started": f"Nothing here yet: press r to start ({title.lower()}).",
        "done": "Done with today's settings: r says so, f runs it again.",
        "stale": "Settings or inputs have changed since the last run: press r to run it anew.",
        "failed": "The last run failed: its error is below. Press r to go on or try again.",
        "stopped": "Stopped: press r to go on from the last checkpoint.",
    }.get(str(step.state), "")


def stage_title(stage: str) -> str:
    """The stage's title in words; its name until the engine is loaded."""
    import sys

    # Another thread may be in the middle of importing it: then it is there without its names.
    stages = getattr(sys.modules.get("haruon_tui.stage"), "STAGES", None)
    return str(stages[stage].title) if stages else stage.capitalize()
