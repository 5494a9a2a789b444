"""The command palette: every row of the table of actions, and every stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from haruon_tui.screens.actions import MODES, actions
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.screens.stage_states import stage_title


class ActionProvider(Provider):
    """Offers what can be done on the screen that is on top."""

    async def discover(self) -> Hits:
        for name, command, key in self._commands():
            yield DiscoveryHit(name, command, help=key)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, command, key in self._commands():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), command, text=name, help=key)

    def _commands(self) -> Iterator[tuple[str, Callable[[], object], str]]:
        screen = self.screen
        for action in actions("everywhere"):
            yield action.title, partial(self.app.run_action, action.action), action.key_name
        own: tuple[Any, ...] = getattr(screen, "scopes", ())
        if isinstance(screen, SessionScreen) and not own:
            own = (
                ("job", "jobs")
                if screen.mode.name == "jobs"
                else ("job", "stage", screen.mode.name)
            )
        for action in actions(*own):
            name = action.action.partition("(")[0]
            if screen.check_action(name, ()):
                yield action.title, partial(screen.run_action, action.action), action.key_name
        if not isinstance(screen, SessionScreen):
            return
        for mode in MODES:
            for stage in mode.stages:
                name = f"Run stage {stage}: {stage_title(stage)}"
                yield name, partial(screen.session.submit, stage), ""
        for theme in sorted(self.app.available_themes):
            if theme.startswith(("haruon-", "high-")):
                yield f"Theme {theme}", partial(setattr, self.app, "theme", theme), ""
