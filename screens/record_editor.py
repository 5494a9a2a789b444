"""A record changed by hand: a text area for each message, and one for the JSON of all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Static, TextArea

from haruon_tui.dataset import strict_json
from haruon_tui.screens.confirm import ConfirmScreen
from haruon_tui.screens.plain_text import one_line, plain, plain_text
from haruon_tui.screens.widgets.error_panel import ErrorPanel
from haruon_tui.screens.widgets.key_line import KeyLine
from haruon_tui.styles import stylesheet

Save = Callable[[str, Callable[[dict[str, str] | None], None]], None]
"""Gets the new line, and a function that takes the parts of an error, or None when it is saved."""

_MAX_JSON = 1 << 20


class RecordEditor(ModalScreen[None]):
    """`text` is the line. Messages with control characters, which a terminal would obey and a
    text area would lose, are only changed as JSON, where they are written as escapes."""

    CSS_PATH = stylesheet("record_editor")
    BINDINGS: ClassVar = [
        Binding("ctrl+s", "save", "Save", key_display="^s", priority=True),
        Binding("ctrl+n", "next(1)", "Next part", key_display="^n", priority=True),
        Binding("ctrl+b", "next(-1)", "Part before", key_display="^b", priority=True),
        Binding("escape", "leave", "Leave", priority=True),
    ]

    def __init__(self, title: str, text: str, save: Save) -> None:
        super().__init__()
        self._title = title
        self._save = save
        self._text = text
        self._record = _loaded(text)
        self._names: list[str] = []
        self._texts: list[str] = []
        self._messages: list[int] = []
        self._at = 0
        self._locked = 0
        for place, message in enumerate(_messages(self._record)):
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str) and _is_plain(content):
                self._names.append(one_line(message.get("role")) or "no role")
                self._texts.append(content)
                self._messages.append(place)
            else:
                self._locked += 1
        self._names.append("JSON")
        self._texts.append(json_view(self._record, text))

    def compose(self) -> ComposeResult:
        with Vertical(id="editor"):
            yield Static(plain_text(self._title, "bold"))
            yield Static(id="parts", markup=False)
            yield ErrorPanel(id="problem")
            with ContentSwitcher(initial="part-0"):
                for number, text in enumerate(self._texts):
                    yield TextArea(text, id=f"part-{number}", soft_wrap=True)
            yield KeyLine()

    def on_mount(self) -> None:
        self._show(self._first())

    def _first(self) -> int:
        """The part one most likely wants to change: the last answer."""
        return max(0, len(self._messages) - 1)

    def _show(self, at: int) -> None:
        self._at = at
        shown = [
            f"[{name}]" if number == at else f" {name} " for number, name in enumerate(self._names)
        ]
        note = f"   {self._locked} only as JSON" if self._locked else ""
        self.query_one("#parts", Static).update("".join(shown) + note)
        self.query_one(ContentSwitcher).current = f"part-{at}"
        self._area(at).focus()

    def _area(self, number: int) -> TextArea:
        return self.query_one(f"#part-{number}", TextArea)

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self.query_one("#problem", ErrorPanel).show(None)

    def action_next(self, by: int) -> None:
        json_part = len(self._names) - 1
        target = (self._at + by) % len(self._names)
        # Both views show the same record: what one has, the other is given.
        if json_part in (self._at, target) and self._at != target and self._messages:
            try:
                line = self._line()
            except ValueError as error:
                self._problem(str(error))
                return
            self._give(line)
        self._show(target)

    def _give(self, line: str) -> None:
        """Let all parts show this line."""
        record = _loaded(line)
        messages = _messages(record)
        for number, place in enumerate(self._messages):
            message = messages[place] if place < len(messages) else None
            content = message.get("content") if isinstance(message, dict) else None
            if isinstance(content, str) and self._area(number).text != content:
                self._area(number).load_text(content)
        shown = json_view(record, line)
        if self._area(len(self._names) - 1).text != shown:
            self._area(len(self._names) - 1).load_text(shown)
        self._record, self._text = record, line

    def _line(self) -> str:
        """The record as it stands, as one line of JSON. Raises ValueError with a place."""
        if self._at == len(self._names) - 1:
            text = self._area(self._at).text
            if self._record is None or text != json_view(self._record, self._text):
                return one_line_json(text, escaped=self._text.isascii())
            return self._text
        record = self._record
        assert record is not None
        changed = False
        for number, place in enumerate(self._messages):
            content = self._area(number).text
            if record["messages"][place]["content"] != content:
                messages = list(record["messages"])
                messages[place] = {**messages[place], "content": content}
                record = {**record, "messages": messages}
                changed = True
        if not changed:
            return self._text
        return json.dumps(record, ensure_ascii=self._text.isascii())

    def action_save(self) -> None:
        try:
            line = self._line()
        except ValueError as error:
            self._problem(str(error))
            return

        def saved(error: dict[str, str] | None) -> None:
            if not self.is_mounted:
                return
            if error is None:
                self.dismiss()
            else:
                self.query_one("#problem", ErrorPanel).show(error)

        self._save(line, saved)

    def action_leave(self) -> None:
        if all(self._area(number).text == text for number, text in enumerate(self._texts)):
            self.dismiss()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss()

        question = ConfirmScreen(
            "Leave without saving?", "What you changed in this record is lost.", "Leave"
        )
        self.app.push_screen(question, answered)

    def _problem(self, what: str) -> None:
        self.query_one("#problem", ErrorPanel).show(
            {"what": what, "do": "mend it, or leave with Escape; nothing is saved yet"}
        )


def json_view(record: dict[str, Any] | None, text: str) -> str:
    """The record as JSON over several lines, all that a terminal would obey as escapes; of a
    line that is no record, the line itself made harmless."""
    if record is None:
        return plain(text)
    try:
        shown = json.dumps(record, ensure_ascii=False, indent=2)
    except RecursionError:
        return plain(text)
    return "".join(
        char if char == "\n" or _harmless(char) else json.dumps(char)[1:-1] for char in shown
    )


def one_line_json(text: str, *, escaped: bool) -> str:
    """The JSON of one object as one line. Raises ValueError that says what and where."""
    try:
        value = strict_json.loads(text)
    except strict_json.Fault as fault:
        before = text[: fault.place]
        row, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ValueError(f"{fault.what} in line {row}, column {column}") from None
    if not isinstance(value, dict):
        raise ValueError("is no object: a record is written in braces { }")
    line = json.dumps(value, ensure_ascii=escaped)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate: only an escape can say it
        line = json.dumps(value)
    return line


def _loaded(text: str) -> dict[str, Any] | None:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _messages(record: dict[str, Any] | None) -> list[Any]:
    messages = record.get("messages") if record else None
    return messages if isinstance(messages, list) else []


def _is_plain(content: str) -> bool:
    """Whether a text area shows and gives back this text as it is."""
    return all(char == "\n" or _harmless(char) for char in content)


def _harmless(char: str) -> bool:
    """Tabs would become spaces, and other line ends would become newlines."""
    return plain(char) == char and char not in "\t\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
