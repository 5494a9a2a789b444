from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from haruon_tui.dataset.browser import line_index
from haruon_tui.dataset.browser.line_index import LineIndex

CONTENT = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"a", b"\xed\x95\x9c", b"\0", b"{}"]), max_size=60
).map(b"".join)


def indexed(path: Path, index: LineIndex | None = None) -> LineIndex:
    index = LineIndex() if index is None else index
    for ends, size in line_index.scan(path, index.size, lambda: False):
        index.add(ends, size)
    index.tail_counts = True
    return index


@settings(max_examples=300, deadline=None)
@given(before=CONTENT, after=CONTENT)
def test_the_lines_are_those_of_the_file_also_when_it_grows(before, after):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(before)
        index = indexed(path)
        path.write_bytes(before + after)
        indexed(path, index)
        content = before + after
        spans = [index.span(line) for line in range(len(index))]
        lines = [content[start : start + length] for start, length in spans]
        assert b"".join(lines) == content
        assert all(line.count(b"\n") == 1 for line in lines[:-1])
        assert [length for _, length in spans] == list(index.lengths())


def test_blocks_are_put_together(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(5000)))
    whole = indexed(path)
    monkeypatch.setattr(line_index, "BLOCK", 7)
    pieces = indexed(path)
    assert len(pieces) == len(whole) == 5000
    assert [pieces.span(line) for line in range(5000)] == [
        whole.span(line) for line in range(5000)
    ]


def test_starts_are_found_again_as_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\nthree\n")
    index = indexed(path)
    assert list(index.lines_at(line_index.np.array([0, 4, 8, 999]))) == [0, 1, 2]


def test_a_longer_line_moves_those_after_it(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\nthree\n")
    index = indexed(path)
    index.shift(1, 3)
    assert [index.span(line) for line in range(3)] == [(0, 4), (4, 7), (11, 6)]
