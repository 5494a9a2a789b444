from __future__ import annotations

import io
import json
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haruon_tui.dataset.browser import search
from haruon_tui.dataset.browser.search import BadPattern, Query, Spelling


def found(content: bytes, query: Query) -> list[int]:
    """The starts of the lines with hits, as the worker finds them."""
    spelling = search.spelling_of(io.BytesIO(content))
    wanted = [] if query.regex else search.forms(query.text, spelling)
    starts: list[int] = []
    for block in search.blocks(io.BytesIO(content), max(map(len, wanted), default=64)):
        if query.regex:
            starts += search.lines_with_match(block, query)
        else:
            starts += search.lines_with_text(block, query, wanted)
    return starts


def spelled(text: str, way: str) -> bytes:
    line = json.dumps({"content": text}, ensure_ascii=way in ("escaped", "capital"))
    if way == "capital":
        line = re.sub(
            r"\\(.)([0-9a-f]{4})?",
            lambda m: "\\" + m[1] + ((m[2] or "").upper() if m[1] == "u" else m[2] or ""),
            line,
        )
    if way == "web":
        line = re.sub(r"[<>&=']", lambda m: f"\\u{ord(m[0]):04x}", line)
    if way == "slash":
        line = line.replace("/", "\\/")
    return line.encode() + b"\n"


WAYS = ("raw", "escaped", "capital", "web", "slash")
TEXT = st.text(alphabet="가힣한글 aZ\"\\/<'&\n\t1é😀", min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(before=TEXT, wanted=TEXT, after=TEXT, way=st.sampled_from(WAYS), decomposed=st.booleans())
def test_a_text_is_found_however_json_writes_it(before, wanted, after, way, decomposed):
    text = unicodedata.normalize("NFC", before + wanted + after)
    if decomposed and way in ("raw", "escaped"):
        text = unicodedata.normalize("NFD", text)
    other = b'{"content": "xyz"}\n'
    if way == "raw" and decomposed and not any("\u1100" <= char < "\u1200" for char in text):
        return  # é alone: taken as it is typed, which search.spelling_of says
    content = other + spelled(text, way)
    if Query(wanted).in_line(spelled(text, way)):
        assert found(content, Query(wanted))[-1] == len(other)


def test_a_key_is_no_value():
    content = b'{"content": "one"}\n{"other": "content"}\n'
    assert found(content, Query("content")) == [19]


def test_each_line_counts_once_and_lines_that_are_no_records_count():
    content = '{"a": "나 나 나"}\n나쁜 줄\n{"a": "다"}\n'.encode()
    assert len(found(content, Query("나"))) == 2


def test_blocks_of_any_size_find_the_same(monkeypatch):
    lines = [
        json.dumps({"text": f"기록 {number} 끝"}, ensure_ascii=False) for number in range(300)
    ]
    content = "\n".join(lines).encode()
    whole = found(content, Query("기록 29"))
    assert len(whole) == 11
    for size in (5, 64, 1000):
        monkeypatch.setattr(search, "BLOCK", size)
        assert found(content, Query("기록 29")) == whole


def test_a_line_longer_than_memory_should_hold_is_searched_in_pieces(monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 64)
    monkeypatch.setattr(search.records, "MAX_LINE_BYTES", 200)
    long = '{"a": "' + "가" * 500 + "찾는 말" + "나" * 500 + '"}\n'
    content = b'{"a": "b"}\n' + long.encode() + '{"a": "찾는 말"}\n'.encode()
    starts = found(content, Query("찾는 말"))
    assert sorted(set(starts)) == [11, 11 + len(long.encode())]


def test_a_regular_expression_sees_the_values_and_not_the_escapes():
    content = spelled("첫 줄\n둘째 줄", "escaped") + spelled("다른 줄", "raw")
    assert found(content, Query("^둘째", regex=True)) == [0]
    assert len(found(content, Query("줄$", regex=True))) == 2


@pytest.mark.parametrize("pattern", ["(", "[가", "*", "(?P<a>", "a{99999999999999}"])
def test_a_wrong_expression_says_what_is_wrong(pattern):
    with pytest.raises(BadPattern, match="regular expression"):
        Query(pattern, regex=True)


def test_a_file_without_escapes_or_jamo_is_searched_in_one_way():
    spelling = search.spelling_of(io.BytesIO('{"a": "가\\n나"}\n'.encode()))
    assert spelling == Spelling(escapes=False, decomposed=False)
    assert search.forms("가나", spelling) == ["가나".encode()]
