"""Figures about a dataset file: counts, sources, levels per trait, lengths."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from haruon_tui.dataset import records, token_lengths
from haruon_tui.dataset.file_validation import LevelTable
from haruon_tui.dataset.records import BadLine, Record

_QUANTILES = {"least": 0.0, "10 %": 0.1, "half": 0.5, "90 %": 0.9, "most": 1.0}
_UNNAMED = "(none named)"


@dataclass
class Statistics:
    """`levels` counts reports per trait and level; `lengths` has, for each measure, the least,
    the 10th, 50th and 90th percentile, and the most. `exact_tokens` tells a tokenizer's count
    from the estimate."""

    path: str
    records: int = 0
    unreadable: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    golden_share: float = 0.0
    augmented: int = 0
    exact_tokens: bool = False
    levels: dict[str, dict[str, int]] = field(default_factory=dict)
    lengths: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def of_file(
    path: Path,
    tokens: token_lengths.Counter,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> Statistics:
    """Read a JSONL file once. Raises ConfigurationError when it cannot be read.

    The golden share counts repeated records and those made from golden ones.
    """
    found = Statistics(str(path), exact_tokens=tokens.exact)
    sources: Counter[str] = Counter()
    levels = LevelTable()
    lengths = {
        name: array("Q")
        for name in (
            "answers, characters",
            "report, characters",
            "report, tokens",
            "whole record, tokens",
        )
    }
    golden = 0
    size = path.stat().st_size if path.is_file() else 0
    for line in records.read(path):
        progress(line.byte, size)
        if isinstance(line, BadLine):
            found.unreadable += 1
            continue
        found.records += 1
        source, of = origin(line.record)
        sources[source] += 1
        golden += source == "golden" or of.startswith("golden")
        levels.count(line.record)
        for name, length in zip(lengths, _lengths(line.record, tokens), strict=True):
            lengths[name].append(length)
    found.sources = dict(sources.most_common())
    found.augmented = sources["augmented"]
    found.golden_share = golden / found.records if found.records else 0.0
    found.levels = levels.as_dict()
    found.lengths = {name: _quantiles(sorted(measured)) for name, measured in lengths.items()}
    return found


def origin(record: Record) -> tuple[str, str]:
    """The record's source, and the id of the record that it was made from or an empty text."""
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    source, of = metadata.get("source"), metadata.get("of")
    return (
        source if isinstance(source, str) and source else _UNNAMED,
        of if isinstance(of, str) else "",
    )


def _lengths(record: Record, tokens: token_lengths.Counter) -> tuple[int, int, int, int]:
    said, report = records.content(record, "user"), records.content(record, "assistant")
    of_report = tokens.count(report)
    whole = (
        tokens.count(records.content(record, "system"))
        + tokens.count(said, spoken=True)
        + of_report
        + 3 * token_lengths.PER_MESSAGE
    )
    return len(said), len(report), of_report, whole


def _quantiles(ordered: list[int]) -> dict[str, int]:
    last = len(ordered) - 1
    return {
        name: ordered[round(share * last)] if ordered else 0 for name, share in _QUANTILES.items()
    }
