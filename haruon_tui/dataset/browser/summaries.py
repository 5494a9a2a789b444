"""What is known of every line: verdict, tokens, levels, rules. Filters, sorts and counts on it.

Columns are numpy arrays, one entry per line, so that 300,000 records take 4 MB and are filtered
in milliseconds. They are kept in the user's cache and read again while the file is the same.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from haruon_tui import artifacts
from haruon_tui.dataset.browser.line_index import Offsets
from haruon_tui.dataset.persona import LEVELS, TRAITS

VERDICTS = ("unchecked", "good", "warnings", "errors", "unreadable", "blank")
SORTS = ("line", "bytes", "tokens", "verdict", *(trait.key for trait in TRAITS))
_BINS = 12


@dataclass(frozen=True)
class Summary:
    """What checking one line gave. `tokens` is -1 where it has none."""

    line: int
    verdict: int
    tokens: int
    levels: tuple[int, ...]
    rules: tuple[str, ...]


class Summaries:
    """Of as many lines as `resize` was told; lines not yet checked are 0 everywhere."""

    def __init__(self) -> None:
        self.verdict: Offsets = np.zeros(0, np.uint8)
        self.tokens: Offsets = np.zeros(0, np.int32)
        self.levels: Offsets = np.zeros((0, len(TRAITS)), np.uint8)
        self.rules: dict[str, array[int]] = {}
        """The lines that each rule was found in."""

    def resize(self, lines: int) -> None:
        """Know of this many lines; those beyond are forgotten."""
        if lines < len(self.verdict):
            for rule, found in self.rules.items():
                self.rules[rule] = array("I", (line for line in found if line < lines))
        for name in ("verdict", "tokens", "levels"):
            old = getattr(self, name)
            new = np.zeros((lines, *old.shape[1:]), old.dtype)
            kept = min(lines, len(old))
            new[:kept] = old[:kept]
            setattr(self, name, new)

    def put(self, summary: Summary) -> None:
        line = summary.line
        if line >= len(self.verdict):
            return
        if self.verdict[line]:
            self.forget(line)
        self.verdict[line] = summary.verdict
        self.tokens[line] = summary.tokens
        self.levels[line] = summary.levels
        for rule in summary.rules:
            self.rules.setdefault(rule, array("I")).append(line)

    def forget(self, line: int) -> None:
        """The line has changed: it is unchecked again."""
        if not self.verdict[line]:
            return
        self.verdict[line] = 0
        for rule, found in self.rules.items():
            if line in found:
                self.rules[rule] = array("I", (other for other in found if other != line))

    def checked(self) -> int:
        return int(np.count_nonzero(self.verdict))

    def unchecked_after(self, line: int, count: int) -> list[int]:
        """At most `count` lines from `line` on, and then from the start, that are unchecked."""
        missing = np.flatnonzero(self.verdict == 0)
        if not len(missing):
            return []
        at = int(np.searchsorted(missing, line))
        return [int(one) for one in np.concatenate([missing[at:], missing[:at]])[:count]]

    def counts(self) -> dict[str, Any]:
        """Lines that were checked, per verdict, and per rule, the rule of most lines first."""
        per_verdict = np.bincount(self.verdict, minlength=len(VERDICTS))
        ordered = sorted(self.rules.items(), key=lambda item: (-len(item[1]), item[0]))
        return {
            "checked": self.checked(),
            "verdicts": {
                name: int(count) for name, count in zip(VERDICTS, per_verdict, strict=True)
            },
            "rules": {rule: len(found) for rule, found in ordered if found},
        }

    def select(
        self, wanted: Mapping[str, Any], decided: Mapping[int, str], changed: set[int]
    ) -> Offsets:
        """The lines that fit every part of a filter, ascending.

        Parts: "verdict" (name), "rule" (id), "trait" (key) and "level" (1 to 7, 0 none),
        "decision" ("accept", "reject", "none", "edited"). Lines that were not checked fit no
        verdict but "unchecked", no rule and no level.
        """
        fits: Offsets = np.ones(len(self.verdict), bool)
        if verdict := wanted.get("verdict"):
            fits &= self.verdict == VERDICTS.index(verdict)
        if rule := wanted.get("rule"):
            fits &= self._mask(self.rules.get(rule, ()))
        if (level := wanted.get("level")) is not None:
            traits = [trait.key for trait in TRAITS]
            among = [traits.index(wanted["trait"])] if wanted.get("trait") else range(len(traits))
            fits &= (self.levels[:, list(among)] == level).any(axis=1) & (self.verdict > 0)
        if decision := wanted.get("decision"):
            if decision == "edited":
                fits &= self._mask(changed)
            elif decision == "none":
                fits &= ~self._mask(decided)
            else:
                fits &= self._mask([line for line, said in decided.items() if said == decision])
        return np.flatnonzero(fits)

    def order(self, lines: Offsets, column: str, descending: bool, lengths: Offsets) -> Offsets:
        """`lines` sorted by a column of SORTS; lines alike stay in the order of the file, and
        unchecked ones come last either way."""
        if column == "line":
            return lines[::-1] if descending else lines
        if column == "bytes":
            keys = lengths[lines].astype(np.int64)
            missing: Offsets = np.zeros(len(lines), bool)
        elif column in ("tokens", "verdict"):
            keys = getattr(self, column)[lines].astype(np.int64)
            missing = self.verdict[lines] == 0
        else:
            keys = self.levels[lines, [trait.key for trait in TRAITS].index(column)]
            keys = keys.astype(np.int64)
            missing = keys == 0
        keys = -keys if descending else keys
        return lines[np.lexsort((keys, missing))]

    def histograms(self) -> dict[str, Any]:
        """Records per bin of tokens ([from, to, count] each), and per trait and level."""
        tokens = self.tokens[(self.verdict > 0) & (self.tokens >= 0)]
        bins: list[list[int]] = []
        if len(tokens):
            low, high = int(tokens.min()), int(tokens.max())
            step = max(1, -(-(high - low + 1) // _BINS))
            edges = np.arange(low, high + step + 1, step)
            counts, _ = np.histogram(tokens, edges)
            bins = [
                [int(edge), int(edge) + step - 1, int(count)]
                for edge, count in zip(edges, counts, strict=False)
            ]
        judged = self.levels[self.verdict > 0]
        levels = {
            trait.key: [int(one) for one in np.bincount(column, minlength=len(LEVELS) + 1)]
            for trait, column in zip(TRAITS, judged.T, strict=True)
        }
        return {"tokens": bins, "levels": levels, "checked": self.checked()}

    def save(self, path: Path, key: str) -> None:
        """Keep what is known under `key`, which says for which file. Raises OSError."""
        rules = {f"rule:{rule}": np.array(found, np.uint32) for rule, found in self.rules.items()}
        with artifacts.replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                key=np.array(json.dumps(key)),
                verdict=self.verdict,
                tokens=self.tokens,
                levels=self.levels,
                **rules,
            )

    def load(self, path: Path, key: str) -> bool:
        """Take what was kept, if it is for the same file and lines. What is damaged is as good
        as not there."""
        damaged = (ValueError, KeyError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error)
        with contextlib.suppress(OSError, *damaged):
            with np.load(path, allow_pickle=False) as kept:
                if json.loads(str(kept["key"])) != key:
                    return False
                lines = len(self.verdict)
                if kept["verdict"].shape != (lines,) or kept["levels"].shape[0] != lines:
                    return False
                self.verdict, self.tokens = kept["verdict"], kept["tokens"]
                self.levels = kept["levels"]
                self.rules = {
                    name.removeprefix("rule:"): array("I", kept[name].tolist())
                    for name in kept.files
                    if name.startswith("rule:")
                }
            return True
        return False

    def _mask(self, lines: Any) -> Offsets:
        mask: Offsets = np.zeros(len(self.verdict), bool)
        among = np.fromiter(lines, np.int64)
        mask[among[among < len(mask)]] = True
        return mask
