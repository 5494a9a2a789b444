"""The last line: the keys that work here, those with nothing to act on dimmed."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget


class KeyLine(Widget):
    """One widget for all keys. Textual's Footer has one for each and makes them anew whenever a
    key is dimmed, which took a third of the first frame. A click presses the key."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> RenderResult:
        spans = []
        for _, shown, title, enabled in self._keys():
            dim = "" if enabled else " dim"
            spans += [(f" {shown}", f"bold $footer-key-foreground{dim}"), (f" {title} ", dim)]
        return Content.assemble(*spans)

    def on_click(self, event: events.Click) -> None:
        at = 0
        for key, shown, title, enabled in self._keys():
            at += cell_len(shown) + cell_len(title) + 3
            if event.x < at:
                if enabled:
                    self.app.simulate_key(key)
                return

    def _keys(self) -> list[tuple[str, str, str, bool]]:
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
