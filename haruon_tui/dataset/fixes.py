"""What can be put right in a record without changing what it says."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

from haruon_tui.dataset.records import Record

FIXES = {
    "encoding": "read as CP949 or UTF-16, written as UTF-8",
    "byte-order mark": "taken away",
    "line end": "a line of the file ended in CR LF",
    "line break": "CR LF or CR inside a text, now LF",
    "composed": "Hangul in loose letters (NFD), now NFC",
    "space at line end": "taken away, and empty lines at the end of a text",
}
"""Every fix, and what it does."""

_BREAK = re.compile(r"\r\n?")
_SPACE = re.compile(r"(?<![ \t\u00a0\u3000])[ \t\u00a0\u3000]++(?=\n|\Z)")


def fix(record: Record) -> tuple[Record, Counter[str]]:
    """The record with the safe fixes in the text of its messages, and how many of each; the same
    object when nothing was wrong."""
    listed = record.get("messages")
    if not isinstance(listed, list):
        return record, Counter()
    counts: Counter[str] = Counter()
    fixed = [_fixed_message(message, counts) for message in listed]
    return ({**record, "messages": fixed} if counts else record), counts


def fix_text(text: str) -> tuple[str, Counter[str]]:
    """One text with the safe fixes, and how many of each."""
    counts: Counter[str] = Counter()
    if text.startswith("\ufeff"):
        text = text.lstrip("\ufeff")
        counts["byte-order mark"] += 1
    if "\r" in text:
        text, count = _BREAK.subn("\n", text)
        counts["line break"] += count
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        counts["composed"] += 1
    text, count = _SPACE.subn("", text)
    if text.endswith("\n"):
        text = text.rstrip("\n")
        count += 1
    if count:
        counts["space at line end"] += count
    return text, counts


def _fixed_message(message: Any, counts: Counter[str]) -> Any:
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        return message
    fixed, found = fix_text(text)
    counts.update(found)
    return {**message, "content": fixed} if found else message
