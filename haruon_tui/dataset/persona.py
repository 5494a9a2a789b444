"""What a Haruon report is made of: the traits, the levels, the prompt, and the headings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """One of the Big Five, with the key used in data files and both names used in reports."""

    key: str
    korean: str
    english: str

    @property
    def heading(self) -> str:
        return f"### {self.korean} ({self.english})"


TRAITS = (
    Trait("openness", "개방성", "Openness"),
    Trait("conscientiousness", "성실성", "Conscientiousness"),
    Trait("extraversion", "외향성", "Extraversion"),
    Trait("agreeableness", "우호성", "Agreeableness"),
    Trait("neuroticism", "신경성", "Neuroticism"),
)

LEVELS = ("매우 낮음", "낮음", "다소 낮음", "중간", "다소 높음", "높음", "매우 높음")
"""From lowest to highest. A report may add a remark in parentheses: `낮음 (내향성)`."""

TITLE = "## Big5 심리 분석 리포트"
OPENING = "당신의 답변을 바탕으로 분석한 성격 특성은 다음과 같습니다."
SUMMARY = "## 종합 의견"

SYSTEM_PROMPT = (
    "당신은 Big5 심리학 모델을 기반으로 사용자의 답변을 분석하는 전문 심리 분석가입니다. "
    "사용자의 5가지 답변을 바탕으로, 각 특성(개방성, 성실성, 외향성, 우호성, 신경성)을 분석하고 "
    "긍정적이며 통찰력 있는 종합 리포트를 작성해주세요. 절대 의학적 진단을 내리지 마세요."
)
"""The guide's system prompt, 2.1."""


def user_turn(answers: Mapping[str, str]) -> str:
    """The user's message for five answers keyed by trait, as the guide writes it."""
    return "\n".join(
        f"{number}. {trait.korean}: '{answers[trait.key]}'"
        for number, trait in enumerate(TRAITS, start=1)
    )


def prompt_messages(answers: Mapping[str, str]) -> list[dict[str, str]]:
    """The messages a model is asked with: system and user."""
    return [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": user_turn(answers)},
    ]
