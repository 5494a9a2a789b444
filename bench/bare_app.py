"""The smallest Textual app: the reference for the first frame."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("bare app is here")


if __name__ == "__main__":
    Bare().run()
