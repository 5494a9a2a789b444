from __future__ import annotations

import numpy as np
import pytest

from haruon_tui.dataset.browser.summaries import Summaries, Summary


@pytest.fixture
def summaries() -> Summaries:
    """Five lines of which the last is unchecked."""
    made = Summaries()
    made.resize(5)
    made.put(Summary(0, 1, 900, (1, 2, 3, 4, 5), ()))
    made.put(Summary(1, 3, 700, (7, 2, 3, 4, 5), ("diagnosing", "phone-number")))
    made.put(Summary(2, 3, 800, (7, 7, 3, 4, 0), ("diagnosing",)))
    made.put(Summary(3, 4, -1, (0, 0, 0, 0, 0), ("unreadable-line",)))
    return made


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"verdict": "errors"}, [1, 2]),
        ({"verdict": "unchecked"}, [4]),
        ({"rule": "diagnosing"}, [1, 2]),
        ({"rule": "no such rule"}, []),
        ({"trait": "openness", "level": 7}, [1, 2]),
        ({"trait": "neuroticism", "level": 0}, [2, 3]),
        ({"verdict": "errors", "trait": "conscientiousness", "level": 7}, [2]),
        ({"decision": "reject"}, [2]),
        ({"decision": "none"}, [1, 3, 4]),
        ({"decision": "edited"}, [3]),
    ],
)
def test_a_filter_keeps_what_fits_every_part_of_it(summaries, wanted, lines):
    decided = {0: "accept", 2: "reject"}
    assert list(summaries.select(wanted, decided, {3})) == lines


def test_sorting_puts_the_unchecked_last_either_way(summaries):
    lines, lengths = np.arange(5), np.array([5, 4, 3, 2, 1])
    assert list(summaries.order(lines, "tokens", False, lengths)) == [3, 1, 2, 0, 4]
    assert list(summaries.order(lines, "tokens", True, lengths)) == [0, 2, 1, 3, 4]
    assert list(summaries.order(lines, "bytes", False, lengths)) == [4, 3, 2, 1, 0]
    assert list(summaries.order(lines, "openness", True, lengths)) == [1, 2, 0, 3, 4]
    assert list(summaries.order(lines, "line", True, lengths)) == [4, 3, 2, 1, 0]


def test_a_changed_line_is_unchecked_again(summaries):
    summaries.forget(1)
    assert summaries.counts()["rules"] == {"diagnosing": 1, "unreadable-line": 1}
    assert summaries.unchecked_after(2, 9) == [4, 1]


def test_histograms_count_what_is_checked(summaries):
    counts = summaries.histograms()
    assert sum(count for *_, count in counts["tokens"]) == 3
    assert counts["levels"]["openness"] == [1, 1, 0, 0, 0, 0, 0, 2]
    assert counts["checked"] == 4


def test_what_is_known_is_kept_for_the_same_file_only(summaries, tmp_path):
    file = tmp_path / "kept.npz"
    summaries.save(file, "this file")
    other = Summaries()
    other.resize(5)
    assert not other.load(file, "another file")
    assert not other.load(tmp_path / "missing.npz", "this file")
    assert other.load(file, "this file")
    assert other.counts() == summaries.counts()
    file.write_bytes(file.read_bytes()[:100])
    assert not Summaries().load(file, "this file")


def test_resizing_keeps_the_lines_that_stay(summaries):
    summaries.resize(2)
    assert summaries.counts()["rules"] == {"diagnosing": 1, "phone-number": 1}
    summaries.resize(6)
    assert summaries.checked() == 2
