"""How the model of the chat is loaded and asked: every setting, and presets of them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Input, Label, Select, Static

from haruon_tui.screens.plain_text import plain_text
from haruon_tui.settings import ChatSettings

_TITLES = {
    "temperature": "temperature",
    "top_p": "top-p",
    "top_k": "top-k",
    "min_p": "min-p",
    "repeat_penalty": "repeat penalty",
    "seed": "seed",
    "max_tokens": "max tokens",
    "stop": "stop (| between)",
    "context": "context",
    "threads": "threads",
    "gpu_layers": "GPU layers",
}
PRESETS: dict[str, dict[str, Any]] = {
    "haruon": {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.0,
        "max_tokens": 800,
    },
    "likeliest": {"temperature": 0.0},
    "free": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.05},
}
"""`haruon` is how the app asks for reports (the guide's temperature of 0.7, at most 800 tokens);
what a preset does not name stays as it is."""
_OWN = "haruon.toml"


class SamplingPanel(VerticalScroll):
    """A field for each setting of [chat]. What is changed here holds for this program alone."""

    class Changed(Message):
        """Other settings hold from now on."""

        def __init__(self, settings: ChatSettings) -> None:
            super().__init__()
            self.settings = settings

    def __init__(self) -> None:
        super().__init__(id="sampling", can_focus=False)
        self._own: ChatSettings | None = None
        self._now: ChatSettings | None = None

    def compose(self) -> ComposeResult:
        names = [_OWN, *PRESETS]
        yield Select(
            [(Text(name), name) for name in names], prompt="preset", id="preset", compact=True
        )
        for key, title in _TITLES.items():
            yield Label(title)
            yield Input(id=f"field-{key}", compact=True, tooltip=_meaning(key))
        yield Static("", id="fault", markup=False)

    def show(self, settings: ChatSettings, *, own: bool = False) -> None:
        """Show these; `own` are those of haruon.toml, to which the first preset goes back."""
        self._now = settings
        if own:
            self._own = settings
        for key in _TITLES:
            field = self.query_one(f"#field-{key}", Input)
            with field.prevent(Input.Changed):
                field.value = _written(getattr(settings, key))
        self._fault("")

    @on(Select.Changed, "#preset")
    def _preset_chosen(self, event: Select.Changed) -> None:
        event.stop()
        if self._now is None or self._own is None or not isinstance(event.value, str):
            return
        if event.value == _OWN:
            self._take(self._own.model_dump())
        else:
            self._take({**self._now.model_dump(), **PRESETS[event.value]})

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._now is None or not event.input.id:
            return
        key = event.input.id.removeprefix("field-")
        self._take({**self._now.model_dump(), key: _read(key, event.value)}, typed=True)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()

    def _take(self, values: dict[str, Any], *, typed: bool = False) -> None:
        try:
            settings = ChatSettings.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0]) if first["loc"] else ""
            self._fault(f"✗ {_TITLES.get(key, key)}: {first['msg']}")
            return
        self._fault("")
        if settings != self._now:
            self._now = settings
            self.post_message(self.Changed(settings))
        if not typed:
            self.show(settings)

    def _fault(self, words: str) -> None:
        self.query_one("#fault", Static).update(plain_text(words))


def _meaning(key: str) -> str:
    return str(ChatSettings.model_fields[key].description or "")


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(value).replace("\n", "\\n")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(key: str, typed: str) -> Any:
    if key == "stop":
        return [text.replace("\\n", "\n") for text in typed.split("|") if text]
    return typed.strip()
