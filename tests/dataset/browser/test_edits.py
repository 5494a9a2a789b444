"""An edit is saved whole or not at all, wherever it is saved."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.dataset.browser import document as document_module
from haruon_tui.dataset.browser import edits, line_index
from haruon_tui.dataset.browser.document import Document
from haruon_tui.dataset.browser.write_out import rejects_of
from haruon_tui.errors import ConfigurationError, StageError

LINES = (b'{"a": "\xea\xb0\x80"}\r\n', b"\n", b"broken \xff\n", b'{"b": 2}\n', b'{"c": 3}')


def opened(path: Path) -> Document:
    document = Document(path)
    for ends, size in line_index.scan(path, 0, lambda: False):
        document.index.add(ends, size)
    document.judge_tail()
    return document


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "자료.jsonl"
    path.write_bytes(b"".join(LINES))
    return path


@pytest.fixture(params=["in the file", "beside it"])
def document(request, path, monkeypatch) -> Document:
    """The same file as a small one, and as one too large to be written for each change."""
    if request.param == "beside it":
        monkeypatch.setattr(edits, "SMALL", 3)
    return opened(path)


def content(document: Document) -> bytes:
    """What the file would be if it were written out."""
    lines = []
    for line in range(len(document.index)):
        start, length = document.index.span(line)
        source = document.path.read_bytes()[start : start + length]
        end = source[len(source.rstrip(b"\r\n")) :]
        lines.append(document.raw(line).rstrip(b"\r\n") + end)
    return b"".join(lines)


@pytest.mark.parametrize("line", [0, 2, 3, 4])
def test_an_edit_changes_one_line_and_its_undo_gives_back_every_byte(document, line):
    document.change(line, '{"new": "새 글"}')
    changed = list(LINES)
    body = changed[line].rstrip(b"\r\n")
    changed[line] = '{"new": "새 글"}'.encode() + changed[line][len(body) :]
    assert content(document) == b"".join(changed)
    assert document.undo() == line
    assert content(document) == document.path.read_bytes() == b"".join(LINES)
    assert not document.overlay.path.exists()
    assert document.redo() == line
    assert content(document) == b"".join(changed)
    assert document.redo() is None


def test_edits_are_taken_back_in_turn(document):
    document.change(0, '{"a": 1}')
    document.change(3, '{"b": "longer than before"}')
    document.change(0, '{"a": 2}')
    assert [document.undo() for _ in range(4)] == [0, 3, 0, None]
    assert content(document) == b"".join(LINES)


def test_edits_survive_a_restart(document):
    document.change(3, '{"b": "남는다"}')
    again = opened(document.path)
    assert json.loads(again.raw(3)) == {"b": "남는다"}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '"a"', '{"a": 1} {"b": 2}', '{"a": NaN}', "\ud800"]
)
def test_what_is_no_record_is_not_saved(document, text):
    with pytest.raises(StageError):
        document.change(0, text)
    assert content(document) == b"".join(LINES)
    assert document.done == []


def test_a_record_over_several_lines_becomes_one_line(document):
    document.change(0, '{\n  "a": "b"\n}')
    assert document.raw(0).strip() == b'{"a": "b"}'


def test_a_file_that_another_program_changed_is_left_alone(path):
    document = opened(path)
    other = b'{"x": "y"}\n' + b"".join(LINES)
    path.write_bytes(other)
    document._descriptor = document_module.open_regular(path)
    with pytest.raises(StageError, match="changed by another program"):
        edits.replace_line(path, 0, LINES[0], b"{}")
    assert path.read_bytes() == other


def test_mode_and_link_stay(path, tmp_path):
    path.chmod(0o640)
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    opened(link).change(0, '{"a": 1}')
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes().startswith(b'{"a": 1}\r\n')


@pytest.mark.parametrize("why", ["artefact", "growing"])
def test_a_file_that_must_not_be_written_is_changed_beside_it(path, why):
    if why == "artefact":
        (path.parent / "manifest.json").write_text("{}")
    document = opened(path)
    document.grown = why == "growing"
    document.change(0, '{"a": 1}')
    assert path.read_bytes() == b"".join(LINES)
    assert document.overlay.path.name == "자료.jsonl.edits.jsonl"
    head, change = map(json.loads, document.overlay.path.read_text("utf-8").splitlines())
    assert head == {"format": "haruon-edits", "version": 1, "source": "자료.jsonl"}
    assert (change["start"], change["line"]) == (0, '{"a": 1}')


def test_changes_whose_line_is_gone_are_left_out(path, monkeypatch):
    monkeypatch.setattr(edits, "SMALL", 3)
    document = opened(path)
    document.change(0, '{"a": 1}')
    document.change(3, '{"b": 1}')
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"z"'))
    again = opened(path)
    assert again.overlay.left_out == 1
    assert list(again.overlay.edits) == [0]


def test_a_file_of_changes_that_is_something_else_is_named(path):
    path.with_name("자료.jsonl.edits.jsonl").write_text("{}\n")
    with pytest.raises(ConfigurationError, match="no file of changes"):
        Document(path)


_WORK = """
import sys
from pathlib import Path
from haruon_tui.dataset.browser import edits
from tests.dataset.browser.test_edits import opened
if sys.argv[2] == "beside":
    edits.SMALL = 3
document = opened(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    document.change(1, '{"text": "' + "새" * 200_000 + '"}')
    document.undo()
"""


@pytest.mark.parametrize("where", ["file", "beside"])
def test_a_kill_between_edit_and_undo_leaves_the_one_or_the_other(tmp_path, where):
    path = tmp_path / "자료.jsonl"
    old = ('{"text": "' + "옛" * 200_000 + '"}\n').encode()
    before = b'{"a": 1}\n' + old + b'{"b": 2}\n'
    after = before.replace("옛".encode(), "새".encode())
    path.write_bytes(before)
    chance = random.Random(5)
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", _WORK, str(path), where], stdout=subprocess.PIPE
        )
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(chance.uniform(0.001, 0.08))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        whole = content(opened(path))
        assert whole in (before, after)
        assert path.read_bytes() in ((before, after) if where == "file" else (before,))
        document = opened(path)
        if whole == after:  # the next round starts where this one did
            document.change(1, old.decode().rstrip("\n"))


def test_written_out_every_line_is_kept_or_rejected_with_its_reason(document, tmp_path):
    document.change(3, '{"b": "새"}')
    document.decide(0, "reject", "짧다")
    document.decide(2, "reject", "")
    document.decide(3, "accept", "")
    out = tmp_path / "out.jsonl"
    assert document.write_out(out, leave_rejected=True) == 2
    kept = out.read_bytes().splitlines()
    rejected = [json.loads(line) for line in rejects_of(out).read_text("utf-8").splitlines()]
    assert len(kept) + len(rejected) == len(LINES)
    assert kept == [b"", '{"b": "새"}'.encode(), b'{"c": 3}']
    assert rejected[0] == {"reason": "짧다", "record": {"a": "가"}}
    assert rejected[1]["reason"] == "no reason given"
    assert "broken" in rejected[1]["line"]
    assert content(document).count(b"\n") == 4, "the source is as it was"


def test_half_a_line_that_is_being_written_is_not_written_out(path, tmp_path):
    with path.open("ab") as stream:
        stream.write(b'\n{"half": ')
    out = tmp_path / "out.jsonl"
    assert opened(path).write_out(out, leave_rejected=True) == 0
    assert out.read_bytes() == b"".join(LINES) + b"\n"


def test_writing_out_overwrites_neither_the_source_nor_earlier_rejects(document, tmp_path):
    with pytest.raises(ConfigurationError, match="the file that is open"):
        document.write_out(document.path, leave_rejected=True)
    with pytest.raises(ConfigurationError, match="no folder"):
        document.write_out(tmp_path / "no" / "out.jsonl", leave_rejected=True)
    out = tmp_path / "out.jsonl"
    rejects_of(out).write_text("earlier")
    document.decide(0, "reject", "so")
    with pytest.raises(ConfigurationError, match="is there already"):
        document.write_out(out, leave_rejected=True)
    assert not out.exists()
    assert rejects_of(out).read_text() == "earlier"
    other = tmp_path / "other.jsonl"
    other.write_text("somebody's")
    with pytest.raises(ConfigurationError, match="is there already"):
        document.write_out(other, leave_rejected=False)
    assert other.read_text() == "somebody's"


def test_decisions_survive_a_restart_a_torn_line_and_an_edit(document):
    document.decide(0, "accept", "")
    document.decide(3, "reject", "틀렸다")
    document.decide(0, "none", "")
    with document.review.path.open("ab") as stream:
        stream.write(b'{"line": 5, "decision": "rej')
    again = opened(document.path)
    assert {line: said.reason for line, said in again.review.decisions.items()} == {3: "틀렸다"}
    again.change(3, '{"b": "anders"}')
    again.decide(4, "accept", "")
    last = opened(document.path)
    assert last.review.drop_stale(last.digest) == 0
    assert {line: said.decision for line, said in last.review.decisions.items()} == {
        3: "reject",
        4: "accept",
    }


def test_a_decision_about_other_content_no_longer_holds(path):
    opened(path).decide(3, "reject", "")
    path.write_bytes(path.read_bytes().replace(b'"b": 2', b'"b": 5'))
    again = opened(path)
    assert again.review.drop_stale(again.digest) == 1
    assert again.review.decisions == {}
