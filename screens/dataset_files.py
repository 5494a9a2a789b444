"""Which dataset to browse: those of the workspace, or any path."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui.screens.browser_choices import file_choices
from haruon_tui.screens.pick import Choice, PickScreen
from haruon_tui.screens.reading import read_off_loop

if TYPE_CHECKING:
    from textual.screen import Screen

    from haruon_tui.screens.session import Session

BUILT = ("train.jsonl", "eval.jsonl", "cases.jsonl")


def choose_file(screen: Screen[None], session: Session, then: Callable[[Path], None]) -> None:
    """Let the user choose; `then` gets the path. A relative one starts at the workspace."""
    folder = session.workspace.folder
    step = session.steps.get("dataset")
    run = (step.finished or step.latest) if step else None

    def show(choices: list[Choice]) -> None:
        def answered(path: str | None) -> None:
            if path:
                then(folder / Path(path).expanduser())

        screen.app.push_screen(
            PickScreen("Browse a dataset", choices, "Or type any path.", free=True), answered
        )

    def find() -> list[Choice]:
        from haruon_tui.dataset import golden

        named = [(f"built: {name}", run.artifacts / name) for name in BUILT] if run else []
        with contextlib.suppress(Exception):  # broken settings are told elsewhere
            own = session.workspace.settings.dataset.files
            named += [("own file", folder / name) for name in own]
        named += [("golden reports", golden.reports_file())]
        named += [("evaluation cases", golden.cases_file())]
        found = sorted(folder.glob("*.jsonl"))
        named += [("in the workspace", path) for path in found if not _is_beside(path)]
        return file_choices(named)

    read_off_loop(screen, find, show)


def _is_beside(path: Path) -> bool:
    """Whether it holds the changes of or the decisions about a dataset, and is none itself."""
    return path.name.endswith((".jsonl.edits.jsonl", ".jsonl.review.jsonl"))
