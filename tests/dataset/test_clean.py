"""Cleaning: every line ends up in exactly one place, the source is never touched."""

from __future__ import annotations

import copy
import json
import os
import unicodedata
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import clean, fixes, golden, persona, records, rules
from haruon_tui.errors import ConfigurationError
from tests.dataset.bad_records import BAD

GOLDEN = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")]
RULES = rules.load("calibrated")
CASES = {
    case["id"]: persona.user_turn(case["answers"])
    for case in golden.load_cases(golden.cases_file())
}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def cleaned(source: Path, name: str = "out.jsonl") -> clean.Cleaned:
    return clean.clean(source, source.with_name(name), RULES, cases=CASES)


def assert_whole(result: clean.Cleaned) -> None:
    assert result.kept + result.dropped + result.rejected == result.lines
    assert len(lines_of(Path(result.file))) == result.kept
    assert len(lines_of(Path(result.rejects))) == result.rejected
    changes = lines_of(Path(result.changes))
    assert sum("dropped" in change for change in changes) == result.dropped
    assert sum("fixed" in change for change in changes) == result.fixed


def test_in_plus_out_is_the_total_over_the_whole_bad_corpus(tmp_path: Path) -> None:
    source = tmp_path / "bad.jsonl"
    spoiled = [records.encode(bad.record) for bad in BAD]
    good = [records.encode(record) for record in GOLDEN]
    body = b"".join(line for pair in zip(spoiled, cycle(good), strict=False) for line in pair)
    source.write_bytes(body + b"{broken\n\n" + b"\xff\n")
    assert len(BAD) >= 120
    result = cleaned(source)
    assert result.lines == 2 * len(BAD) + 2
    assert result.blank == 1
    assert_whole(result)
    kept = {record["metadata"]["id"] for record in lines_of(Path(result.file))}
    # A copy with a harmless fault may stand before its original; one of the two is always there.
    assert {record["metadata"]["id"] for record in GOLDEN[:50]} <= kept
    for reject in lines_of(Path(result.rejects)):
        assert reject["findings"]
        place = reject["byte"]
        assert 0 <= place < len(source.read_bytes())
        assert ("record" in reject) != ("raw" in reject)
    assert source.read_bytes().startswith(spoiled[0])


def test_a_second_cleaning_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "bad.jsonl"
    records.write(source, [*(bad.record for bad in BAD), *GOLDEN, *GOLDEN[:5]])
    first = cleaned(source)
    assert first.dropped >= 5
    second = cleaned(Path(first.file), "again.jsonl")
    assert (second.fixed, second.dropped, second.rejected) == (0, 0, 0)
    assert Path(first.file).read_bytes() == Path(second.file).read_bytes()


def test_what_is_safe_is_fixed_counted_and_listed(tmp_path: Path) -> None:
    record = copy.deepcopy(GOLDEN[0])
    answer = record["messages"][2]["content"]
    loose = unicodedata.normalize("NFD", answer[:60]) + answer[60:]
    record["messages"][2]["content"] = loose.replace("\n\n", " \r\n\r\n") + "\n"
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + records.encode(record)[:-1] + b"\r\n")
    result = cleaned(source)
    (kept,) = lines_of(Path(result.file))
    assert kept["messages"] == GOLDEN[0]["messages"]
    assert set(result.fixes) == set(fixes.FIXES) - {"encoding"}
    (change,) = lines_of(Path(result.changes))
    assert change["fixed"] == result.fixes
    assert not Path(result.file).read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("encoding", ["cp949", "utf-16", "utf-16-le", "utf-16-be"])
def test_other_encodings_become_utf8(tmp_path: Path, encoding: str) -> None:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in GOLDEN[:5])
    source = tmp_path / "a.jsonl"
    source.write_bytes(text.encode(encoding))
    result = cleaned(source)
    assert result.kept == 5
    assert lines_of(Path(result.file)) == GOLDEN[:5]
    assert result.fixes["encoding"] == 5
    assert result.encoding.startswith("CP949" if encoding == "cp949" else "UTF-16")


def test_copies_are_dropped_and_name_the_record_that_is_kept(tmp_path: Path) -> None:
    near = copy.deepcopy(GOLDEN[1])
    near["metadata"]["id"] = "near"
    near["messages"][1]["content"] = near["messages"][1]["content"].replace("'", "'저는 ", 1)
    further = copy.deepcopy(near)
    further["messages"][1]["content"] = further["messages"][1]["content"].replace(
        "'저", "'아 저", 1
    )
    source = tmp_path / "a.jsonl"
    records.write(source, [GOLDEN[0], GOLDEN[1], GOLDEN[0], near, further, GOLDEN[2]])
    result = cleaned(source)
    assert (result.kept, result.exact_duplicates, result.near_duplicates) == (3, 1, 2)
    assert lines_of(Path(result.file)) == GOLDEN[:3]
    dropped = {change["line"]: change for change in lines_of(Path(result.changes))}
    assert {line: change["like"] for line, change in dropped.items()} == {3: 1, 4: 2, 5: 2}
    assert 0.8 <= dropped[4]["alike"] < 1


def test_a_record_on_an_evaluation_case_is_rejected(tmp_path: Path) -> None:
    leaked = copy.deepcopy(GOLDEN[0])
    leaked["messages"][1]["content"] = next(iter(CASES.values()))
    leaked["messages"][2]["content"] = leaked["messages"][2]["content"].replace("'", "")
    source = tmp_path / "a.jsonl"
    records.write(source, [leaked, GOLDEN[1]])
    result = cleaned(source)
    assert (result.kept, result.rejected) == (1, 1)
    assert "leakage" in result.reasons


@pytest.mark.parametrize("link", ["same", "symbolic", "hard", "through a folder"])
def test_the_source_is_no_output_under_any_name(tmp_path: Path, link: str) -> None:
    source = tmp_path / "a.jsonl"
    records.write(source, GOLDEN[:2])
    before = source.read_bytes()
    out = tmp_path / "b.jsonl"
    if link == "same":
        out = source
    elif link == "symbolic":
        out.symlink_to(source)
    elif link == "hard":
        os.link(source, out)
    else:
        (tmp_path / "folder").symlink_to(tmp_path)
        out = tmp_path / "folder" / "a.jsonl"
    with pytest.raises(ConfigurationError, match="is the source itself"):
        clean.clean(source, out, RULES)
    assert source.read_bytes() == before


def test_a_side_file_that_would_be_the_source_or_is_there_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.rejected.jsonl"
    records.write(source, GOLDEN[:1])
    with pytest.raises(ConfigurationError, match="is the source itself"):
        clean.clean(source, tmp_path / "a.jsonl", RULES)
    (tmp_path / "b.changes.jsonl").write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        clean.clean(source, tmp_path / "b.jsonl", RULES)
    assert (tmp_path / "b.changes.jsonl").read_text() == "mine"


def test_a_cleaning_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    records.write(source, GOLDEN[:5])

    def stop(done: int, total: int, phase: str) -> None:
        if phase == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean.clean(source, tmp_path / "out.jsonl", RULES, progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_a_source_that_changes_meanwhile_is_not_believed(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    records.write(source, GOLDEN[:3])

    def grow(done: int, total: int, phase: str) -> None:
        if phase == "writing":
            with source.open("ab") as stream:
                stream.write(b"\n")

    with pytest.raises(Exception, match="changed while it was read"):
        clean.clean(source, tmp_path / "out.jsonl", RULES, progress=grow)
    assert not (tmp_path / "out.jsonl").exists()


def test_an_untouched_record_keeps_its_spelling(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    line = json.dumps(GOLDEN[0], ensure_ascii=True, separators=(", ", " : "))
    source.write_text(line + "\n")
    assert Path(cleaned(source).file).read_text() == line + "\n"
