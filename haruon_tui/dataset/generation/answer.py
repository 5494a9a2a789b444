"""An answer of the server: read tolerantly out of its text, then made a record.

{"answers": {trait: text}, "report": {trait: {"level": level, "text": text}}, "summary": text}
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from haruon_tui.dataset import records
from haruon_tui.dataset.persona import LEVELS, OPENING, SUMMARY, TITLE, TRAITS
from haruon_tui.dataset.records import Record

_LONGEST_ANSWER, _LONGEST_SECTION, _LONGEST_SUMMARY = 160, 260, 400
"""Characters at most, for grammars that know maxLength: a weak model would go on without end, and
llama.cpp takes 3 ms a token where the bound is 900."""

_MAX_LETTERS = 200_000
_MAX_STARTS = 50
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")


@dataclass(frozen=True)
class Written:
    """What the server wrote, in form. All dictionaries are by trait key."""

    answers: dict[str, str]
    levels: dict[str, str]
    sections: dict[str, str]
    summary: str


class Malformed(Exception):
    """The text holds no such object. `rule` is "not-json" or "wrong-schema"."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


def schema(pinned: Mapping[str, str] | None = None, *, bounded: bool = False) -> dict[str, Any]:
    """The JSON schema of an answer.

    `pinned` allows each trait its requested level alone: a new schema for each request, which is
    free for a grammar made on the spot, while hosted services compile and keep each one.
    `bounded` adds maxLength, which the strict mode of hosted services does not accept.
    """

    def text(most: int) -> dict[str, Any]:
        bounds = {"minLength": 1, "maxLength": most} if bounded else {}
        return {"type": "string", **bounds}

    def closed(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def section(trait: str) -> dict[str, Any]:
        allowed = [pinned[trait]] if pinned else list(LEVELS)
        return closed(
            {"level": {"type": "string", "enum": allowed}, "text": text(_LONGEST_SECTION)}
        )

    keys = [trait.key for trait in TRAITS]
    return closed(
        {
            "answers": closed({key: text(_LONGEST_ANSWER) for key in keys}),
            "report": closed({key: section(key) for key in keys}),
            "summary": text(_LONGEST_SUMMARY),
        }
    )


def as_json(record: Mapping[str, Any], report_bodies: Mapping[str, str], summary: str) -> str:
    """A record as the server would have to write it: for the examples of the prompt."""
    levels = record["metadata"]["levels"]
    value = {
        "answers": records.answers(record),
        "report": {
            trait.key: {"level": levels[trait.key], "text": report_bodies[trait.key]}
            for trait in TRAITS
        },
        "summary": summary,
    }
    return json.dumps(value, ensure_ascii=False)


def read(text: str) -> Written:
    """The answer in a server's text; a thought, a code fence or words around it are passed over.

    Raises Malformed.
    """
    found = _object(_THOUGHT.sub("", text[:_MAX_LETTERS]))
    answers = _object_at(found, "answers")
    report = _object_at(found, "report")
    said: dict[str, str] = {}
    levels: dict[str, str] = {}
    sections: dict[str, str] = {}
    for trait in TRAITS:
        said[trait.key] = " ".join(_text_at(answers, trait.key, "answers").split())
        section = report.get(trait.key)
        if not isinstance(section, dict):
            raise Malformed("wrong-schema", f"report.{trait.key} 객체가 없습니다")
        levels[trait.key] = _text_at(section, "level", f"report.{trait.key}")
        sections[trait.key] = _text_at(section, "text", f"report.{trait.key}")
    summary = found.get("summary", report.get("summary"))
    return Written(said, levels, sections, _text_at({"summary": summary}, "summary", ""))


def record(written: Written, *, id: str) -> Record:
    """The training record of an answer, with the levels that its report states."""
    parts = [TITLE, "", OPENING]
    for trait in TRAITS:
        level, text = written.levels[trait.key], written.sections[trait.key]
        parts += ["", f"{trait.heading}: {level}", text]
    parts += ["", SUMMARY, "", written.summary]
    return records.make(
        written.answers, "\n".join(parts), id=id, source="generated", levels=written.levels
    )


def _object(text: str) -> dict[str, Any]:
    """The first JSON object in `text` that looks like an answer."""
    decoder = json.JSONDecoder(strict=False)  # models break lines inside a text
    malformed: Malformed | None = None
    for candidate in (text, _TRAILING_COMMA.sub(r"\1", text)):
        start = candidate.find("{")
        for _ in range(_MAX_STARTS):
            if start < 0:
                break
            try:
                value, end = decoder.raw_decode(candidate, start)
            except (ValueError, RecursionError) as error:
                malformed = malformed or Malformed("not-json", str(error)[:120])
                end = start + 1
            else:
                if "answers" in value or "report" in value:
                    return dict(value)
                other = Malformed("wrong-schema", 'keys "answers", "report", "summary"')
                malformed = malformed or other
            start = candidate.find("{", end)
    raise malformed or Malformed("not-json", "객체의 시작이 없습니다")


def _object_at(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise Malformed("wrong-schema", f'"{key}" 객체가 없습니다')
    korean = {trait.korean: trait.key for trait in TRAITS}
    return {str(korean.get(name, name)): item for name, item in found.items()}


def _text_at(value: dict[str, Any], key: str, path: str) -> str:
    text = value.get(key)
    where = f"{path}.{key}".lstrip(".")
    if not isinstance(text, str):
        raise Malformed("wrong-schema", f"{where} 글이 없습니다")
    clean = unicodedata.normalize("NFC", text).strip()
    if not clean:
        raise Malformed("wrong-schema", f"{where} 글이 비어 있습니다")
    return clean
