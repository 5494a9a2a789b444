"""The process that checks a report while it is written: `python -m haruon_tui.chat.watch_worker`.

It gets {"do": "begin", "number", "rules", "tokenizer", "case"}, {"do": "feed", "number", "text"}
and {"do": "finish", "number", "reason", "tokens"}. It says {"ready": true} once the Korean
analyser is loaded, and {"number", "settled", "checks", "findings", "score"} whenever more is
decided; `score`, what `haruon evaluate` gives the report, comes with the end.
"""

from __future__ import annotations

import os
import queue
from dataclasses import asdict
from pathlib import Path
from typing import Any

from haruon_tui.chat.report_watch import ReportWatch
from haruon_tui.dataset import korean, token_lengths
from haruon_tui.dataset.browser.pipes import Message, Parent
from haruon_tui.dataset.validator import Validator
from haruon_tui.errors import HaruonError
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.scoring import score


class Watcher:
    """One report at a time; messages about an earlier one are passed over."""

    def __init__(self) -> None:
        self._number = 0
        self._watch: ReportWatch | None = None
        self._case: Case | None = None
        self._rules = ""
        self._validator: Validator | None = None
        self._counters: dict[str | None, token_lengths.Counter] = {}

    def take(self, asked: Message) -> Message | None:
        """What to say to a message; None where nothing new is decided."""
        if asked["do"] == "begin":
            return self._begin(asked)
        if asked["number"] != self._number or self._watch is None or self._case is None:
            return None
        if asked["do"] == "feed":
            return self._said(None) if self._watch.feed(asked["text"]) else None
        self._watch.finish(asked["reason"])
        stopped = asked["reason"] == "stop"
        one = score(self._case, self._watch.text, stopped, asked["tokens"], self._rules)
        return self._said(one.as_dict())

    def _begin(self, asked: Message) -> Message:
        tokenizer = asked["tokenizer"]
        if tokenizer not in self._counters:
            path = Path(tokenizer) if tokenizer else None
            self._counters[tokenizer] = token_lengths.counter(path)
        if self._validator is None or self._rules != asked["rules"]:
            self._validator = Validator(asked["rules"], tokens=self._counters[tokenizer])
        self._rules = asked["rules"]
        self._number = asked["number"]
        self._case = Case.model_validate(asked["case"])
        self._watch = ReportWatch(self._case, self._validator)
        return self._said(None)

    def _said(self, scored: dict[str, Any] | None) -> Message:
        assert self._watch
        return {
            "number": self._number,
            "settled": self._watch.settled,
            "checks": [asdict(check) for check in self._watch.checks],
            "findings": [asdict(found) for found in self._watch.findings],
            "score": scored,
        }


def joined(first: Message, waiting: queue.SimpleQueue[Message]) -> list[Message]:
    """`first` and all that waits, pieces of one text made one: so it keeps up with any model."""
    messages = [first]
    while not waiting.empty():
        message = waiting.get()
        last = messages[-1]
        if message["do"] == last["do"] == "feed" and message["number"] == last["number"]:
            messages[-1] = {**last, "text": last["text"] + message["text"]}
        else:
            messages.append(message)
    return messages


def main() -> None:
    os.nice(5)  # the model and the screen come first
    parent = Parent()
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    parent.listen(inbox.put)
    korean.load()
    parent.say({"ready": True})
    watcher = Watcher()
    while True:
        for asked in joined(inbox.get(), inbox):
            try:
                if said := watcher.take(asked):
                    parent.say(said)
            except HaruonError as error:
                parent.say({"problem": str(error)})


if __name__ == "__main__":
    main()
