"""What Python finds in bad, good and spoilt texts, for the kit to agree with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from haruon_tui.dataset import records, rules
from haruon_tui.dataset.record_checks import messages
from haruon_tui.dataset.validator import Finding, Validator
from haruon_tui.export.rule_data import rule_data
from tests.dataset.bad_records import BAD, BAD_IN_A_FILE, GOOD

SPOILT = 400
GOOD_SENTENCES = Path(__file__).parents[1] / "dataset" / "good_sentences.txt"


def corpus(name: str = "calibrated") -> dict[str, Any]:
    """Every text with Python's findings: by the rules that the kit carries exactly, and by those
    that it approximates."""
    data = rule_data(name)
    carried = {rule["id"] for rule in data["rules"]}
    approximated = list(data["approximated"])
    whole = rules.load(name)
    exact = Validator(_only(whole, carried - set(approximated)))
    closely = Validator(_only(whole, set(approximated)))
    texts = []
    seen = set()
    for name, role, text in _texts():
        if (role, text) in seen or not text.strip():
            continue
        seen.add((role, text))
        texts.append(
            {
                "id": name,
                "role": role,
                "text": text,
                "exact": [[f.rule, f.start, f.end] for f in _findings(exact, role, text)],
                "approximated": sorted({f.rule for f in _findings(closely, role, text)}),
            }
        )
    return {"texts": texts, "approximated": approximated}


def _only(whole: rules.RuleSet, ids: set[str]) -> rules.RuleSet:
    kept = tuple(rule for rule in whole.rules if rule.id in ids)
    return whole.model_copy(update={"rules": kept})


def _findings(validator: Validator, role: str, text: str) -> list[Finding]:
    found = validator.check({"messages": [{"role": role, "content": text}]})
    return [finding for finding in found if finding.path == "$.messages[0].content"]


def _texts() -> list[tuple[str, str, str]]:
    named = [(bad.id, bad.record) for bad in (*BAD, *BAD_IN_A_FILE)]
    named += [(f"golden-{number}", record) for number, record in enumerate(GOOD)]
    found = [
        (f"{name}-{place}", str(message.get("role")), message["content"])
        for name, record in named
        for place, message in messages(record)
        if isinstance(message.get("content"), str)
    ]
    report = records.content(GOOD[0], "assistant")
    for number, sentence in enumerate(GOOD_SENTENCES.read_text("utf-8").splitlines()):
        found.append((f"good-sentence-{number}", "assistant", sentence))
        found.append((f"good-end-{number}", "assistant", f"{report} {sentence}"))
    found += [(f"spoilt-{number}", "assistant", text) for number, text in enumerate(_spoilt())]
    return found


_SCRAPS = (
    *"\u00a0\u3000\u200b\u200d\ufeff\u2028\x1c\x85\t\r#*:：（）()'\"“”.!? ㅋ漢あaZ9😀",
    "### 개방성",
    "##  종합  의견",
    "매우 낮음",
    "우울증",
    "입니다",
    "\n",
    "\n\n",
    " 010-1234-5678 ",
    "진단",
    "<b>",
    "\\n",
    "가",
)


def _spoilt() -> Iterator[str]:
    """Golden reports with one to four pieces put in, taken out, doubled or swapped at random."""
    draw = random.Random(7)
    for _ in range(SPOILT):
        text = records.content(draw.choice(GOOD), "assistant")
        for _ in range(draw.randint(1, 4)):
            start = draw.randrange(len(text))
            end = min(len(text), start + draw.choice((1, 2, 5, 40)))
            piece = text[start:end]
            text = (
                text[:start]
                + draw.choice(
                    (
                        draw.choice(_SCRAPS) + piece,
                        draw.choice(_SCRAPS),
                        "",
                        piece + piece,
                        piece[::-1],
                    )
                )
                + text[end:]
            )
        lines = text.split("\n")
        if draw.random() < 0.3:
            draw.shuffle(lines)
        yield "\n".join(lines)
