"""`python -m bench fuzz_records`: rubbish and damaged datasets, none of which may crash anything.

A case is a file: good records, damaged ones and rubbish, in any encoding. Each is read, checked,
cleaned twice and imported.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from haruon_tui.dataset import clean, fixes, golden, records, rules
from haruon_tui.dataset.importing import importer
from haruon_tui.dataset.validator import Validator
from haruon_tui.errors import HaruonError

CASES = int(os.environ.get("HARUON_FUZZ_CASES", "20000"))
GOOD = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")][:8]
_NAMES = ("a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a")
_RUBBISH = (
    b"NaN", b"-Infinity", b"1e999", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 300,
    b'{"a":' * 90,
    b'"', b"\\", b"}", b"]", b",", b"\r", b"\x1b[2J", b'"\\ud800"', b'"messages"', b"null", b'""',
    "가".encode("cp949"), b"PAR1", b"ARROW1", b"\xff\xff\xff\xff", b'{"a":1,"a":2}', b"9" * 5000,
)  # fmt: skip
_VALIDATOR = Validator()
_RULES = rules.load("calibrated")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """One line: a record whose JSON or whose bytes were changed."""
    record = json.loads(json.dumps(draw(st.sampled_from(GOOD))))
    for _ in range(draw(st.integers(0, 2))):
        _mutate(record, draw)
    raw = json.dumps(record, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(raw)))
        change = draw(st.sampled_from(("insert", "cut", "remove", "flip")))
        if change == "insert":
            raw = raw[:place] + draw(st.sampled_from(_RUBBISH)) + raw[place:]
        elif change == "cut":
            raw = raw[:place]
        elif change == "remove":
            raw = raw[:place] + raw[place + draw(st.integers(1, 40)) :]
        else:
            raw = raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]
    return raw


def _mutate(record: dict[str, Any], draw: st.DrawFn) -> None:
    """Put another value at a place of the record, or take the place away."""
    values = st.sampled_from(
        (None, True, -1, 1.5, "", " \r\n", "\ud800", "\x00", "\ufeff가", [], {}, [[]], {"a": []})
    )
    holder: Any = record
    while True:
        places: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not places:
            return
        place = draw(st.sampled_from(places))
        if isinstance(holder[place], dict | list) and draw(st.booleans()):
            holder = holder[place]
            continue
        if draw(st.booleans()):
            holder[place] = draw(values)
        else:
            del holder[place]
        return


lines = st.one_of(
    st.sampled_from([records.encode(record)[:-1] for record in GOOD]),
    damaged(),
    st.binary(max_size=60),
    st.lists(st.sampled_from(_RUBBISH), max_size=4).map(b"".join),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file's name and what is in it."""
    end = draw(st.sampled_from((b"\n", b"\n", b"\r\n", b"\n\n", b",\n")))
    body = end.join(draw(st.lists(lines, max_size=5)))
    body = (
        draw(st.sampled_from((b"", b"", b"", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"a,b\n"))) + body
    )
    encoding = draw(st.sampled_from(("as it is",) * 6 + ("utf-16-le", "utf-16-be", "cp949")))
    if encoding != "as it is":
        body = body.decode("utf-8", "replace").encode(encoding, "replace")
    return draw(st.sampled_from(_NAMES)), body


def survive(case: tuple[str, bytes], folder: Path) -> None:
    """Hold one case against everything that reads datasets. Raises where a promise is broken."""
    name, body = case
    source = folder / name
    source.write_bytes(body)
    _read(source, body)
    _clean(source, folder)
    _import(source, folder)
    assert source.read_bytes() == body, "the source was touched"


def _read(source: Path, body: bytes) -> None:
    last = 0
    for line in records.read(source):
        assert line.number > last
        last = line.number
        assert 0 <= line.byte <= len(body)
        if isinstance(line, records.Line):
            again = records.decode(records.encode(line.record), 2, 0)
            assert isinstance(again, records.Line)
            assert again.record == line.record
            _VALIDATOR.check(line.record)
            fixed, _ = fixes.fix(line.record)
            assert not fixes.fix(fixed)[1], "a second fix found something"


def _clean(source: Path, folder: Path) -> None:
    first, second = folder / "out1.jsonl", folder / "out2.jsonl"
    result = clean.clean(source, first, _RULES)
    assert result.kept + result.dropped + result.rejected == result.lines
    assert _count(first) == result.kept
    assert _count(folder / "out1.rejected.jsonl") == result.rejected
    again = clean.clean(first, second, _RULES)
    assert (again.dropped, again.rejected, again.fixed) == (0, 0, 0)
    assert first.read_bytes() == second.read_bytes()


def _import(source: Path, folder: Path) -> None:
    try:
        plan = importer.plan(source)
        result = importer.run(plan, folder / "imported.jsonl")
    except HaruonError:
        return
    assert result.written + result.rejected == result.rows
    assert _count(folder / "imported.jsonl") == result.written


def _count(path: Path) -> int:
    read = list(records.read(path))
    assert all(isinstance(line, records.Line) for line in read), path
    return len(read)


def measure() -> dict[str, Any]:
    """Run CASES cases; HARUON_FUZZ_CASES sets another number."""
    counts: Counter[str] = Counter()
    os.fsync, kept = (lambda descriptor: None), os.fsync  # the disk's pace proves nothing here

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(files())
    def run(case: tuple[str, bytes]) -> None:
        counts["cases"] += 1
        counts["bytes"] += len(case[1])
        with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
            survive(case, Path(folder))

    started = time.perf_counter()
    try:
        run()
    finally:
        os.fsync = kept
    return {**counts, "failures": 0, "seconds": round(time.perf_counter() - started, 1)}


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
