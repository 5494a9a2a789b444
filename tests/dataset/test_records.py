"""JSONL files: a bad line is named with its byte and spoils no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.records import BadLine, Line
from haruon_tui.errors import ConfigurationError

ANSWERS = {trait.key: f"{trait.korean} 대답, '따옴표'까지" for trait in persona.TRAITS}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    record = records.make(ANSWERS, "리포트\n둘째 줄", id="a", source="file", levels={})
    assert records.write(tmp_path / "a.jsonl", [record, record]) == 2
    lines = list(records.read(tmp_path / "a.jsonl"))
    assert [line.record for line in lines if isinstance(line, Line)] == [record, record]
    assert [line.number for line in lines] == [1, 2]


def test_good_lines_stay_usable_between_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    content = [
        b'\xef\xbb\xbf{"n": 1}\r\n',
        b"\n",
        '{"말": tru}\n'.encode(),
        b'{"n": 2}\n',
        b'{"n": "\xff"}\n',
        b"[1, 2]\n",
        b"12\n",
        b'{"n": 3}\n',
        b'{"n": "cut off',
    ]
    path.write_bytes(b"".join(content))
    lines = list(records.read(path))
    assert [line.record["n"] for line in lines if isinstance(line, Line)] == [1, 2, 3]
    bad = {line.number: line for line in lines if isinstance(line, BadLine)}
    assert sorted(bad) == [3, 5, 6, 7, 9]
    data = path.read_bytes()
    assert data[bad[3].byte :].startswith(b"tru")
    assert data[bad[5].byte] == 0xFF
    assert "UTF-8" in bad[5].message
    assert "array" in bad[6].message
    assert "number" in bad[7].message
    assert data[bad[9].byte :].startswith(b'"cut off')


def test_the_byte_is_counted_from_the_start_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + '{"말": tru}'.encode())
    (line,) = records.read(path)
    assert path.read_bytes()[line.byte :] == b"tru}"


def test_a_json_array_is_told_from_json_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "array.json"
    path.write_text('[\n  {"messages": []},\n  {"messages": []}\n]\n', encoding="utf-8")
    (line,) = records.read(path)
    assert isinstance(line, BadLine)
    assert "one object per line" in line.message


def test_an_overlong_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 64)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * 500 + b'"}\n{"b": 1}\n')
    long, good = records.read(path)
    assert isinstance(long, BadLine)
    assert isinstance(good, Line)
    assert (good.number, good.record) == (2, {"b": 1})
    assert path.read_bytes()[good.byte :] == b'{"b": 1}\n'


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a": ' + "9" * 10_000 + "}"])
def test_json_that_python_refuses_is_a_bad_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text(line + '\n{"b": 1}\n', encoding="utf-8")
    first, second = records.read(path)
    assert isinstance(first, BadLine)
    assert isinstance(second, Line)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        list(records.read(tmp_path / name))
    assert error.value.where == str(tmp_path / name)


def test_answers_come_back_from_the_users_turn() -> None:
    record = records.make(ANSWERS, "리포트", id="a", source="file", levels={})
    assert records.answers(record) == ANSWERS
    assert records.content(record, "assistant") == "리포트"


@pytest.mark.parametrize(
    "record",
    [{}, {"messages": None}, {"messages": [3, {"role": "user", "content": None}]}],
)
def test_a_record_without_answers_has_none(record: dict[str, object]) -> None:
    assert records.answers(record) is None
    assert records.content(record, "assistant") == ""


def test_a_wrong_evaluation_case_is_named_by_line(tmp_path: Path) -> None:
    good = golden.cases_file().read_text(encoding="utf-8").splitlines()[0]
    path = tmp_path / "cases.jsonl"
    path.write_text(good + "\n" + good.replace("매우 높음", "최고") + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="최고") as error:
        golden.load_cases(path)
    assert error.value.where == f"{path}:2"
