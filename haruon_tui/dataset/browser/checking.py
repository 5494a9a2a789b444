"""The checks of an open file: which lines are next, and what is known so far."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from haruon_tui import __version__
from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.pipes import Child, Message
from haruon_tui.dataset.browser.summaries import Summaries, Summary

_BATCH = 64
AUTOMATIC = 5_000
"""A file of so many lines is checked without being asked."""


class Checking:
    """Feeds a check process one batch at a time: lines in view first, then the others when all
    are wanted. `post` puts a call into the reader's queue; `found` gets the findings of a record
    that was asked for."""

    def __init__(
        self,
        post: Callable[[Callable[[], None]], None],
        found: Callable[[int, list[Message]], None],
    ) -> None:
        self._configuration: Message | None = None
        self._waiting: Message | None = None
        self._held = True
        self._post = post
        self._found = found
        self._child: Child | None = None
        self._busy = False
        self._mark = 0
        self._urgent: list[int] = []
        self._asked: int | None = None
        self.all = False
        self.around = 0
        self.exact = False
        self.problem = ""
        self.changed = True
        self.summaries = Summaries()

    def configure(self, rules: str, tokenizer: str | None) -> None:
        """Which rule set, and the tokenizer.json that counts tokens. Checks wait for this."""
        self._configuration = {"do": "configure", "rules": rules, "tokenizer": tokenizer}
        self.exact = tokenizer is not None
        self._go_on()

    def release(self) -> None:
        """The file is read through: the check process may have the processor now."""
        self._held = False
        self._go_on()

    def reset(self) -> None:
        """Another content: what was found no longer holds."""
        self._mark += 1
        self._busy = False
        self._urgent = []
        self._asked = None
        self.summaries = Summaries()

    def line_changed(self, document: Document, line: int) -> None:
        """The line has another text, and those after it may start elsewhere: what is under way
        was asked for places that no longer hold."""
        self._mark += 1
        self._busy = False
        if line < len(self.summaries.verdict):
            self.summaries.forget(line)
        if self._asked is not None:
            self.one(document, self._asked)

    def restore(self, document: Document) -> None:
        """Take what is known from an earlier time."""
        if self._configuration and not document.overlay.edits:
            self.changed = self.summaries.load(_cache(document.path), self._key(document))

    def keep(self, document: Document) -> None:
        """Keep what is known for another time, if it is much. Raises OSError."""
        known = self.summaries.checked()
        if known > 1000 and self._configuration and not document.overlay.edits:
            self.summaries.save(_cache(document.path), self._key(document))

    @property
    def complete(self) -> bool:
        """Whether every line is checked."""
        lines = len(self.summaries.verdict)
        return lines > 0 and self.summaries.checked() == lines

    def one(self, document: Document, line: int) -> None:
        """Ask for the findings of a record."""
        self._asked = line
        start, length = document.index.span(line)
        self._say(
            {
                "do": "one",
                "path": str(document.path),
                "line": line,
                "start": start,
                "length": length,
                "text": document.changed_text(line),
                "mark": self._mark,
            }
        )

    def urge(self, lines: list[int]) -> None:
        """These lines are on the screen."""
        self._urgent = lines

    def feed(self, document: Document) -> None:
        """Send the next batch, unless one is under way."""
        if self._busy or self.problem or self._held or not self._configuration:
            return
        verdict = self.summaries.verdict
        batch = [line for line in self._urgent if line < len(verdict) and not verdict[line]]
        if not batch and self.all:
            batch = self.summaries.unchecked_after(self.around, _BATCH)
        if not batch:
            return
        lines = [
            [line, *document.index.span(line), document.changed_text(line)]
            for line in batch[:_BATCH]
        ]
        self._busy = True
        self._say({"do": "lines", "path": str(document.path), "lines": lines, "mark": self._mark})

    def _go_on(self) -> None:
        if self._waiting is not None and self._configuration and not self._held:
            self._say(self._waiting)
            self._waiting = None

    def _say(self, message: Message) -> None:
        if self._configuration is None or self._held:
            self._waiting = message  # the last record that was looked at
            return
        if self._child is None:
            if self.problem:
                return
            self._child = Child(
                "haruon_tui.dataset.browser.check_worker",
                lambda heard: self._post(lambda: self._take(heard)),
                lambda words: self._post(lambda: self._fail(f"the check process failed: {words}")),
            )
            self._child.send(self._configuration)
        self._child.send(message)

    def _take(self, heard: Message) -> None:
        if problem := heard.get("problem"):
            self._fail(problem)
        elif "ready" in heard:
            self.exact = heard["exact"]
        elif heard.get("mark") == self._mark:
            if "findings" in heard:
                self._put(heard["summary"])
                self._asked = None if heard["line"] == self._asked else self._asked
                self._found(heard["line"], heard["findings"])
                return
            for summary in heard["checked"]:
                self._put(summary)
            self._busy = False

    def _put(self, summary: list[Any]) -> None:
        line, verdict, tokens, levels, rules = summary
        self.summaries.put(Summary(line, verdict, tokens, tuple(levels), tuple(rules)))
        self.changed = True

    def _fail(self, problem: str) -> None:
        self.problem, self.changed = problem, True
        self._busy = False
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _key(self, document: Document) -> str:
        """Changes with the file, the rules, the tokenizer, and the code that checks."""
        package = Path(__file__).parents[1]
        files = [document.path, *sorted(package.glob("*.py"))]
        files += sorted(Path(str(package.parent / "data" / "rules")).glob("*.json"))
        assert self._configuration
        tokenizer = self._configuration["tokenizer"]
        files += [Path(tokenizer)] if tokenizer else []
        marks = [f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for path in files]
        marks += [__version__, str(self._configuration["rules"])]
        return hashlib.sha256("\n".join(marks).encode("utf-8", "replace")).hexdigest()


def _cache(path: Path) -> Path:
    """Where the summaries of a file are kept: HARUON_CACHE_DIR or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("HARUON_CACHE_DIR")
    folder = Path(chosen) if chosen else platformdirs.user_cache_path("haruon")
    name = hashlib.sha256(str(path.resolve()).encode("utf-8", "replace")).hexdigest()[:24]
    return folder / "browser" / f"{name}.npz"
