"""The last line: the keys that work here, those with nothing to act on dimmed."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

Key = tuple[str, str, str, bool]
"""Key, how it is shown, what it does, and whether it has something to act on."""

_ALWAYS = ("Help", "Quit")


class KeyLine(Widget):
    """One widget for all keys. Textual's Footer has one for each and makes them anew whenever a
    key is dimmed, which took a third of the first frame. A click presses the key."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        spans = []
        for _, shown, title, enabled in fitting(self._keys(), self.size.width):
            dim = "" if enabled else " dim"
            spans += [(f" {shown}", f"bold $footer-key-foreground{dim}"), (f" {title} ", dim)]
        return Content.assemble(*spans)

    def on_click(self, event: events.Click) -> None:
        at = 0
        for key, shown, title, enabled in fitting(self._keys(), self.size.width):
            at += _cells((key, shown, title, enabled))
            if event.x < at:
                if enabled:
                    self.app.simulate_key(key)
                return

    def _keys(self) -> list[Key]:
        return [
            (
                active.binding.key,
                self.app.get_key_display(active.binding),
                active.binding.description,
                active.enabled,
            )
            for active in self.screen.active_bindings.values()
            if active.binding.show and active.binding.description
        ]


def fitting(keys: list[Key], room: int) -> list[Key]:
    """The keys that `room` cells hold. Those with nothing to act on go first, the last ones
    next; the help, which lists them all, and the way out stay."""
    kept = list(keys)

    def leave_out(candidates: list[Key]) -> None:
        while candidates and sum(_cells(key) for key in kept) > room:
            kept.remove(candidates.pop())

    spare = [key for key in keys if key[2] not in _ALWAYS]
    leave_out([key for key in spare if not key[3]])
    leave_out([key for key in spare if key[3]])
    return kept


def _cells(key: Key) -> int:
    return cell_len(key[1]) + cell_len(key[2]) + 3
