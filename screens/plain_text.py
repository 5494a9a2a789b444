"""Text from logs, results, models and files, made harmless for a terminal."""

from __future__ import annotations

import re

from rich.text import Text

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"
)
# Controls, bidirectional overrides and lone surrogates; the newline stays.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """`text` without escape sequences and control characters; tabs become spaces, a carriage
    return starts a new line."""
    shown = _ESCAPES.sub("", str(text)).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", shown.replace("\t", "    "))


def plain_text(text: object, style: str = "") -> Text:
    """The same as a Text, in which markup means nothing."""
    return Text(plain(text), style=style)


def one_line(text: object) -> str:
    """`text` made harmless, its line breaks as spaces."""
    return " ".join(plain(text).split())
