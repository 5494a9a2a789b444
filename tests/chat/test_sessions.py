from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from haruon_tui.chat import sessions, transcript
from haruon_tui.chat.sessions import SessionFile
from haruon_tui.chat.tree import ROOT, Tree, Turn
from haruon_tui.dataset import records
from haruon_tui.dataset.importing import importer
from haruon_tui.errors import StageError


def said(tree: Tree, prompt: str, answer: str, parent: int | None = None) -> Turn:
    turn = tree.add(
        prompt, "m.gguf", "시스템", {"seed": 7}, tree.head if parent is None else parent
    )
    turn.answer, turn.open, turn.reason, turn.note = answer, False, "stop", "3 tokens"
    return turn


def lines_of(turn: Turn) -> list[dict[str, object]]:
    half = len(turn.answer) // 2
    return [
        sessions.asked(turn),
        sessions.said(turn, turn.answer[:half]),
        sessions.said(turn, turn.answer[half:]),
        sessions.ended(turn),
    ]


def keep(folder: Path, tree: Tree, *more: dict[str, object]) -> Path:
    file = SessionFile.new(folder)
    file.add([line for turn in tree.turns.values() for line in lines_of(turn)] + list(more))
    file.close()
    return file.path


def test_regenerating_and_changing_make_branches_and_lose_nothing() -> None:
    tree = Tree()
    first = said(tree, "하나", "가")
    second = said(tree, "둘", "나")
    again = said(tree, "둘", "다", first.number)
    said(tree, "셋", "라")
    assert [turn.answer for turn in tree.path()] == ["가", "다", "라"]
    assert tree.branches(second) == [second, again]
    assert tree.leaf(second.number) == second.number
    assert tree.leaf(again.number) == 4
    tree.head = second.number
    assert [turn.answer for turn in tree.path()] == ["가", "나"]
    assert tree.messages(again, answered=True) == [
        {"role": "system", "content": "시스템"},
        {"role": "user", "content": "하나"},
        {"role": "assistant", "content": "가"},
        {"role": "user", "content": "둘"},
        {"role": "assistant", "content": "다"},
    ]


def test_a_kept_conversation_comes_back_whole_with_its_branches(tmp_path: Path) -> None:
    tree = Tree()
    first = said(tree, "하나\n둘", "가 \x1b[31m[b]\ud800")
    said(tree, "셋", "나")
    said(tree, "셋", "다", first.number)
    path = keep(tmp_path, tree, sessions.head(2))
    tree.head = 2
    found = sessions.read(path)
    assert found.turns == tree.turns
    assert found.head == 2
    for line in path.read_bytes().splitlines():
        assert isinstance(json.loads(line), dict)


def test_what_a_crash_cut_off_costs_only_itself(tmp_path: Path) -> None:
    tree = Tree()
    turn = said(tree, "하나", "가나다라")
    path = keep(tmp_path, tree)
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines()[0]) + 1, len(whole)):
        path.write_bytes(whole[:cut])
        found = sessions.read(path)
        for kept in found.turns.values():
            assert turn.answer.startswith(kept.answer)
            assert not kept.open
    path.write_bytes(whole[:-20])
    file = SessionFile(path)
    file.add([sessions.ended(turn)])
    file.close()
    assert sessions.read(path).turns == tree.turns


def test_a_conversation_is_on_the_disk_when_its_writer_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from haruon_tui.chat import sessions; from haruon_tui.chat.tree import Tree\n"
        "tree = Tree(); turn = tree.add('질문', 'm', '', {}, 0)\n"
        "file = sessions.SessionFile.new(Path(sys.argv[1]))\n"
        "file.add([sessions.asked(turn)]); file.add([sessions.said(turn, '반쯤')])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (one,) = sessions.kept(tmp_path)
    (turn,) = sessions.read(one.path).turns.values()
    assert (turn.prompt, turn.answer, turn.reason) == ("질문", "반쯤", sessions.BROKEN)
    file = SessionFile(one.path)
    file.open()  # the dead program holds nothing
    file.close()


def test_two_programs_never_write_into_one_conversation(tmp_path: Path) -> None:
    tree = Tree()
    said(tree, "하나", "가")
    path = keep(tmp_path, tree)
    holder, other = SessionFile(path), SessionFile(path)
    holder.open()
    with pytest.raises(StageError, match="another program") as refused:
        other.open()
    assert refused.value.where == str(path)
    holder.close()
    other.open()
    other.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "chat").write_text("a file where the folder should be")
    with pytest.raises(StageError, match="not kept") as refused:
        SessionFile.new(tmp_path).add([sessions.head(ROOT)])
    assert refused.value.do


@pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe\x00", b"[1]\n", b'{"kind": "votes"}\n'])
def test_what_is_no_conversation_is_refused_and_not_listed(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / sessions.FOLDER / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(rubbish)
    with pytest.raises(StageError, match="no conversation"):
        sessions.read(path)
    assert sessions.kept(tmp_path) == []


def test_rubbish_between_the_lines_is_passed_over(tmp_path: Path) -> None:
    tree = Tree()
    said(tree, "하나", "가")
    path = keep(tmp_path, tree)
    rubbish = [b"{", b"null", b'{"kind":"said","turn":99,"text":1}', b'{"kind":"asked"}']
    rubbish += [b'{"kind":"asked","turn":true}', b'{"kind":"head","turn":"1"}', b"\xff"]
    rubbish += [b'{"kind":"asked","turn":[1]}', b'{"kind":"said","turn":{}}']
    path.write_bytes(path.read_bytes() + b"\n".join(rubbish))
    assert sessions.read(path).turns == tree.turns


def test_search_finds_a_word_in_a_conversation_of_last_week(tmp_path: Path) -> None:
    old = Tree()
    said(old, "지난주의 질문", "봄에는 Forsythia가 핀다고 했습니다")
    path = keep(tmp_path, old)
    week = time.time() - 7 * 86400
    os.utime(path, (week, week))
    new = Tree()
    said(new, "오늘의 질문", "오늘의 답")
    keep(tmp_path, new)
    assert [one.title for one in sessions.kept(tmp_path)] == ["오늘의 질문", "지난주의 질문"]
    for words in ("forsythia", "봄에는 질문", "\u1107\u1169\u11b7에는"):
        (found,) = sessions.kept(tmp_path, words)
        assert found.path == path
        assert found.excerpt
    assert sessions.kept(tmp_path, "forsythia 오늘의") == []


def test_an_exported_conversation_is_imported_without_loss(tmp_path: Path) -> None:
    tree = Tree()
    said(tree, '하나: "따옴표"\n\t탭', "**굵게**\n```py\nprint('가')\n```\n😀 [b]x[/b]")
    last = said(tree, "둘", "- 목록\n- 목록 {% raw %}")
    markdown, lines = transcript.export(tmp_path, "대화", tree)
    assert last.answer in markdown.read_text("utf-8")
    plan = importer.plan(lines)
    out = tmp_path / "imported.jsonl"
    assert importer.run(plan, out).rejected == 0
    (one,) = [line.record for line in records.read(out) if isinstance(line, records.Line)]
    assert one["messages"] == tree.messages(last, answered=True)


def test_a_good_answer_is_kept_once_as_an_example(tmp_path: Path) -> None:
    tree = Tree()
    one = tree.messages(said(tree, "하나", "가\u2028나"), answered=True)
    two = tree.messages(said(tree, "둘", "다", ROOT), answered=True)
    assert transcript.keep_example(tmp_path, one)[1:] == (1, True)
    assert transcript.keep_example(tmp_path, one)[1:] == (1, False)
    path, count, fresh = transcript.keep_example(tmp_path, two)
    assert (count, fresh) == (2, True)
    out = tmp_path / "out.jsonl"
    importer.run(importer.plan(path), out)
    found = [line.record for line in records.read(out) if isinstance(line, records.Line)]
    assert [record["messages"] for record in found] == [one, two]


def test_code_blocks_are_found_also_one_that_is_not_closed() -> None:
    text = "말\n```py\na = 1\n```\n또\n~~~\n```\n~~~\n```\nhalf"
    assert transcript.code_blocks(text) == ["a = 1\n", "```\n", "half"]
