"""The application object: modes, keys, the command palette, and where news goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import App

from haruon_tui.screens import themes
from haruon_tui.screens.actions import MODES, bindings
from haruon_tui.screens.load import LoadSampled
from haruon_tui.screens.plain_text import plain
from haruon_tui.screens.session import Notice, OverviewReady, RunNews, Session
from haruon_tui.screens.session_screen import SessionScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from pathlib import Path

    from textual.command import Provider
    from textual.screen import Screen

    from haruon_tui.screens.engine import Engine, Listener
    from haruon_tui.screens.history import History
    from haruon_tui.workspace import Workspace

_POLL_SECONDS = 1.0
_SETTLE_SECONDS = 0.5


def _actions() -> type[Provider]:
    from haruon_tui.screens.palette import ActionProvider

    return ActionProvider


class HaruonApp(App[None]):
    """The screen of one workspace. The engine is loaded after the first frame."""

    TITLE = "haruon"
    CSS_PATH: ClassVar = [stylesheet("app"), stylesheet("stage_screen")]
    BINDINGS = bindings("everywhere")
    COMMANDS: ClassVar = {_actions}
    NOTIFICATION_TIMEOUT = 4
    DEFAULT_MODE = MODES[0].name
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as the base class declares it
        (0, "-narrow"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (36, "-tall"),
    ]

    def __init__(
        self,
        workspace: Workspace,
        *,
        read_only: bool = False,
        browse: Path | None = None,
        open_engine: Callable[[Listener], Engine] | None = None,
    ) -> None:
        """`browse` opens the dataset browser on a file. `open_engine` replaces the engine, for
        tests."""
        super().__init__()
        self._browse = browse
        self.session = Session(
            workspace, self.post_message, read_only=read_only, open_engine=open_engine
        )
        for mode in MODES:
            self.add_mode(mode.name, partial(mode.open, self.session))
        for theme in themes.THEMES:
            self.register_theme(theme)
        if "TEXTUAL_THEME" not in os.environ:
            self.theme = themes.NAMES[0]

    def on_ready(self) -> None:
        if self._browse is not None:
            from haruon_tui.screens.dataset_browser import DatasetBrowser

            self.push_screen(DatasetBrowser(self.session, self._browse))
        self.call_after_refresh(self.session.start)
        self.set_interval(_POLL_SECONDS, self._second)

    def on_unmount(self) -> None:
        self.session.close()

    async def on_event(self, event: events.Event) -> None:
        """A key acts before the next one is looked at, so that keys that come at once, as over
        a slow line, meet the focus and the screen that they were typed for."""
        if isinstance(event, events.Key) and not event.is_forwarded and not self._writing():
            key = event.key
            if await self._check_bindings(key, priority=True) or await self._check_bindings(key):
                settled = asyncio.Event()
                if self.is_running and self.screen.call_later(settled.set):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(settled.wait(), _SETTLE_SECONDS)
                return
        await super().on_event(event)

    def _writing(self) -> bool:
        """Whether letters go into what has the focus."""
        return self.focused is not None and self.focused.check_consume_key("a", "a")

    def _second(self) -> None:
        self.session.poll()
        if not self._covered():
            for screen in self._listeners():
                screen.tick()

    def _listeners(self) -> list[SessionScreen]:
        """The mode that is shown, also under a dialog."""
        return [screen for screen in self._mounted() if isinstance(screen, SessionScreen)]

    def _mounted(self) -> list[Screen[Any]]:
        """The screens that can take in something new; none while the program closes."""
        return [s for s in self.screen_stack if s.is_mounted] if self.is_running else []

    @on(OverviewReady)
    def _overview_ready(self, message: OverviewReady) -> None:
        self.session.take_overview(message.overview)
        for screen in self._listeners():
            screen.overview_changed()

    @on(RunNews)
    def _run_news(self, message: RunNews) -> None:
        history, fresh, ended = self.session.take_news(message)
        for screen in self._listeners():
            screen.run_changed(history, fresh)
        if ended:
            self._announce(history)

    @on(LoadSampled)
    def _load_sampled(self, message: LoadSampled) -> None:
        self.session.load.take(message)
        screens = self._mounted()
        for screen in screens[-1:] if self._covered() else screens:
            if hear := getattr(screen, "load_sampled", None):
                hear()

    def _covered(self) -> bool:
        """Whether what lies under the top screen cannot be seen, and need not be drawn anew."""
        return any(getattr(screen, "covers", False) for screen in self._mounted()[-1:])

    @on(Notice)
    def _notice(self, message: Notice) -> None:
        self.notify(plain(message.text), severity=message.severity, markup=False)

    def _announce(self, history: History) -> None:
        """Say that a job has ended; bell and desktop hear only of those someone asked for."""
        state = history.status.state if history.status else "gone"
        text = f"{history.stage} {state}"
        good = state == "finished"
        self.notify(
            plain(history.run.id),
            title=text,
            severity="information" if good else "error",
            markup=False,
        )
        if history.parent is None and self.session.overview.notify:
            from haruon_tui.screens.desktop import notification

            self.bell()
            if self._driver is not None:
                tmux = "TMUX" in os.environ
                self._driver.write(notification(f"haruon: {text}", tmux=tmux))

    def action_go(self, mode: str) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.switch_mode(mode)

    def action_run_pipeline(self) -> None:
        self.session.submit_pipeline()

    def action_load(self) -> None:
        from haruon_tui.screens.monitor import MonitorScreen

        self.push_screen(MonitorScreen(self.session))

    def action_next_theme(self) -> None:
        self.theme = themes.after(self.theme)
        self.notify(f"theme {self.theme}", timeout=2)

    def action_help(self) -> None:
        from haruon_tui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    async def action_quit(self) -> None:
        active = len(self.session.running())
        self.session.close()
        if active:
            jobs = "1 job goes" if active == 1 else f"{active} jobs go"
            self.exit(message=Text(f"{jobs} on in the background: haruon jobs list"))
        else:
            self.exit()
