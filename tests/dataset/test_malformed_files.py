"""Malformed files: a message with line and byte for each, and the good records stay usable."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from bench import fuzz_records
from haruon_tui.dataset import clean, golden, records, rules
from haruon_tui.dataset.file_validation import validate_file
from haruon_tui.dataset.importing import importer
from haruon_tui.dataset.records import BadLine, Line
from haruon_tui.errors import ConfigurationError, HaruonError

GOOD = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")][:2]
FIRST, SECOND = (records.encode(record) for record in GOOD)
RULES = rules.load("calibrated")

BAD_LINES: dict[str, tuple[bytes, bytes, str]] = {
    "truncated": (FIRST[:-40] + b"\n", b'"', "cut off"),
    "not UTF-8": (b'{"a": "\xff"}\n', b"\xff", "is not UTF-8"),
    "CP949": ('{"말": "안녕하세요"}\n'.encode("cp949"), "말".encode("cp949"), "as CP949 it reads"),
    "NUL": (b'{"a": "b\x00c"}\n', b"\x00", "NUL byte"),
    "deep nesting": (b'{"a": ' + b"[" * 70_000 + b"\n", b"[" * 100, "nested deeper"),
    "duplicate key": (b'{"a": 1, "b": {"a": 2}, "a": 3}\n', b'"a": 3', "'a' twice"),
    "NaN": (b'{"a": NaN}\n', b"NaN", "NaN"),
    "Infinity": (b'{"a": [-Infinity]}\n', b"-Infinity", "-Infinity"),
    "too large a number": (b'{"a": 1e999}\n', b"1e999", "too large"),
    "array": (b"[1, 2]\n", b"[1, 2]", "an array"),
    "number": (b"12\n", b"12", "a number"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_told_with_line_and_byte_and_spoils_no_other(
    tmp_path: Path, name: str
) -> None:
    bad, mark, message = BAD_LINES[name]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + FIRST[:-1] + b"\r\n" + bad + SECOND)
    first, fault, second = records.read(path)
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert [first.record, second.record] == GOOD
    assert isinstance(fault, BadLine)
    assert fault.number == 2
    assert message in fault.message
    assert path.read_bytes()[fault.byte :].startswith(mark)
    summary = validate_file(path, RULES)
    assert (summary.valid, summary.unreadable) == (2, 1)
    result = clean.clean(path, tmp_path / "out.jsonl", RULES)
    assert (result.kept, result.rejected) == (2, 1)
    done = importer.run(importer.plan(path), tmp_path / "imported.jsonl")
    assert (done.written, done.rejected) == (2, 1)


def test_a_line_of_100_mb_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("wb") as stream:
        stream.write(FIRST + b'{"a": "')
        for _ in range(100):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}\n' + SECOND)
    first, long, second = records.read(path)
    assert isinstance(long, BadLine)
    assert (long.number, long.byte) == (2, len(FIRST))
    assert "longer than 16 MiB" in long.message
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    result = clean.clean(path, tmp_path / "out.jsonl", RULES)
    assert (result.kept, result.rejected) == (2, 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_told_once_and_cleaning_and_import_read_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(("\ufeff" + (FIRST + SECOND).decode()).encode(encoding))
    (line,) = records.read(path)
    assert isinstance(line, BadLine)
    assert "UTF-16" in line.message
    assert validate_file(path, RULES).unreadable == 1
    assert clean.clean(path, tmp_path / "out.jsonl", RULES).kept == 2
    assert importer.run(importer.plan(path), tmp_path / "imported.jsonl").written == 2


def _directory(path: Path) -> None:
    path.mkdir()


def _unreadable(path: Path) -> None:
    path.write_bytes(FIRST)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads everything")


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "directory": (_directory, "is a directory"),
    "named pipe": (os.mkfifo, "is a named pipe"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "missing": (lambda path: None, "No such file"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "no permission": (_unreadable, "Permission denied"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_readable_file_is_named_and_never_waited_for(tmp_path: Path, name: str) -> None:
    make, message = NO_FILES[name]
    path = tmp_path / "a.jsonl"
    make(path)
    for use in (
        lambda: list(records.read(path)),
        lambda: clean.clean(path, tmp_path / "out.jsonl", RULES),
        lambda: validate_file(path, RULES),
        lambda: importer.plan(path),
    ):
        if name == "directory":
            message = "is a directory|holds no dataset"
        with pytest.raises(ConfigurationError, match=message) as error:
            use()
        assert error.value.where == str(path)
        assert error.value.expected
    assert not (tmp_path / "out.jsonl").exists()


def test_an_empty_file_has_no_lines_and_no_form(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    assert list(records.read(path)) == []
    assert clean.clean(path, tmp_path / "out.jsonl", RULES).lines == 0
    with pytest.raises(HaruonError, match="is empty"):
        importer.plan(path)


def test_a_file_that_vanishes_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes((FIRST + SECOND) * 100)
    lines = records.read(path)
    next(lines)
    path.unlink()
    assert len(list(lines)) == 199


def test_half_a_surrogate_pair_is_written_as_it_was_read(tmp_path: Path) -> None:
    record = {"messages": [], "metadata": {"id": "\ud800"}}
    records.write(tmp_path / "a.jsonl", [record])
    (line,) = records.read(tmp_path / "a.jsonl")
    assert isinstance(line, Line)
    assert line.record == record
    assert json.loads((tmp_path / "a.jsonl").read_bytes()) == record


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(fuzz_records.files())
def test_no_file_whatever_crashes_anything(case: tuple[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fuzz_records.survive(case, Path(folder))
