"""The process that checks records: `python -m haruon_tui.dataset.browser.check_worker`.

    {"do": "configure", "rules", "tokenizer"}            → {"ready": true, "exact": bool}
    {"do": "lines", "path", "lines": [[line, start, length, text or null], ...]}
                                                         → {"checked": [[line, verdict, tokens,
                                                            levels, rules], ...]}
    {"do": "one", "path", "line", "start", "length", "text"}
                                                         → {"line", "findings", "summary"}

It loads Kiwi through the validator: seconds, and some hundred megabytes that the others spare.
"""

from __future__ import annotations

import os
import queue
from dataclasses import asdict
from pathlib import Path
from typing import Any

from haruon_tui.dataset import golden, records, token_lengths
from haruon_tui.dataset.browser import rows
from haruon_tui.dataset.browser.pipes import Message, Parent
from haruon_tui.dataset.validator import Validator
from haruon_tui.errors import HaruonError

_GOOD, _WARNINGS, _ERRORS, _UNREADABLE, _BLANK = range(1, 6)


class Checker:
    """One rule set and one tokenizer."""

    def __init__(self, rule_set: str, tokenizer: str | None) -> None:
        """Raises HaruonError. Without a tokenizer, tokens are estimated."""
        self._tokens = token_lengths.counter(Path(tokenizer) if tokenizer else None)
        self._validator = Validator(rule_set, tokens=self._tokens)
        self.exact = self._tokens.exact

    def check(
        self, line: int, raw: bytes, start: int, length: int
    ) -> tuple[list[dict[str, Any]], list[Any]]:
        """The findings of a line and its summary. Takes any bytes, never raises."""
        decoded = rows.decode(line, raw, start, length)
        if decoded is None:
            return [], [line, _BLANK, -1, [0] * 5, []]
        if isinstance(decoded, records.BadLine):
            return [], [line, _UNREADABLE, -1, [0] * 5, ["unreadable-line"]]
        findings = self._findings(decoded.record)
        severities = {found["severity"] for found in findings}
        verdict = _ERRORS if "error" in severities else _WARNINGS if severities else _GOOD
        rules = sorted({found["rule"] for found in findings})
        levels = rows.levels_of(decoded.record)
        return findings, [line, verdict, self._length(decoded.record), levels, rules]

    def _findings(self, record: records.Record) -> list[dict[str, Any]]:
        if "messages" not in record and "answers" in record:
            fault = golden.fault_of(record)
            return (
                [_finding("evaluation-case", f"is no evaluation case: {fault}")] if fault else []
            )
        try:
            return [asdict(found) for found in self._validator.check(record)]
        except Exception as error:  # noqa: BLE001 - one strange record must not end the browser
            why = f"the check itself failed: {type(error).__name__}: {error}"
            return [_finding("check-failed", why[:300])]

    def _length(self, record: records.Record) -> int:
        """Tokens of the record as ChatML, -1 where there are no messages."""
        messages = record.get("messages")
        if not isinstance(messages, list):
            return -1
        total = 0
        for message in messages:
            text = message.get("content") if isinstance(message, dict) else None
            if isinstance(text, str):
                spoken = message.get("role") == "user"
                clean = text.encode("utf-8", "replace").decode("utf-8")
                total += token_lengths.PER_MESSAGE + self._tokens.count(clean, spoken=spoken)
        return total


def _finding(rule: str, message: str) -> dict[str, Any]:
    return {
        "rule": rule,
        "severity": "error",
        "message": message,
        "path": "$",
        "start": None,
        "end": None,
        "suggestion": "",
        "text": "",
    }


def _raw(descriptor: int, start: int, length: int, text: str | None) -> tuple[bytes, int]:
    if text is not None:
        raw = text.encode("utf-8", "surrogatepass")
        return raw, len(raw)
    return rows.read_line(descriptor, start, length), length


def _answer(checker: Checker, asked: Message) -> Message:
    descriptor = os.open(asked["path"], os.O_RDONLY)
    try:
        if asked["do"] == "one":
            start, line = asked["start"], asked["line"]
            raw, length = _raw(descriptor, start, asked["length"], asked["text"])
            findings, summary = checker.check(line, raw, start, length)
            return {"line": line, "mark": asked["mark"], "findings": findings, "summary": summary}
        checked = []
        for line, start, length, text in asked["lines"]:
            raw, length = _raw(descriptor, start, length, text)
            checked.append(checker.check(line, raw, start, length)[1])
        return {"checked": checked, "mark": asked["mark"]}
    finally:
        os.close(descriptor)


def main() -> None:
    os.nice(5)  # whoever looks at the screen comes first
    parent = Parent()
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    parent.listen(inbox.put)
    checker: Checker | None = None
    while True:
        asked = inbox.get()
        try:
            if asked["do"] == "configure":
                checker = Checker(asked["rules"], asked["tokenizer"])
                parent.say({"ready": True, "exact": checker.exact})
            elif checker is not None:
                parent.say(_answer(checker, asked))
        except HaruonError as error:
            parent.say({"problem": str(error)})
        except OSError as error:
            parent.say({"problem": f"{asked.get('path')}: {error.strerror or error}"})


if __name__ == "__main__":
    main()
