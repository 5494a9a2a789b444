"""Records with one fault each, made from golden ones by the mutations documented here.

`BAD` lists them: which rule must find the fault, where (JSON path and character span; None where
the whole is meant), which other rules rightly speak of the same fault, and the record.
`BAD_IN_A_FILE` are those that are bad only beside the good records and the evaluation cases.
`python -m tests.dataset.bad_records` prints all as JSON lines, for programs that port the rules.

Mutations: `said(sentence)` ends the summary with a sentence, `answered(text)` ends the first
answer with a text, `changed(old, new)` changes the report's first `old`, `shaped(change)` changes
the record as JSON. The mark is the text that the finding must show, and gives the span.
"""

from __future__ import annotations

import copy
import json
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from haruon_tui.dataset import golden, persona, records
from haruon_tui.dataset.report import parse

Record = dict[str, Any]
REPORT = "$.messages[2].content"
ANSWERS = "$.messages[1].content"
GOOD: list[Record] = [
    line.record for line in records.read(golden.reports_file()) if isinstance(line, records.Line)
]


@dataclass(frozen=True)
class BadRecord:
    """`span` are the first character of the fault and the one after it, in the text at `path`."""

    id: str
    rule: str
    path: str
    span: tuple[int, int] | None
    record: Record
    also: tuple[str, ...] = ()


class Part(NamedTuple):
    """The body of the part with this key."""

    key: str


class Mutation(NamedTuple):
    """A change of a good record; `mark` is what stands at the fault, None for the whole, or the
    part of the report that is meant."""

    change: Callable[[Record], object]
    path: str
    mark: str | Part | None
    also: tuple[str, ...] = ()


def said(sentence: str, mark: str = "", *also: str) -> Mutation:
    """End the summary with `sentence`; the mark is the sentence itself unless another is given."""

    def change(record: Record) -> None:
        record["messages"][2]["content"] += " " + sentence

    return Mutation(change, REPORT, mark or sentence, also)


def answered(text: str, mark: str = "") -> Mutation:
    """End the first answer with `text`."""

    def change(record: Record) -> None:
        first, rest = record["messages"][1]["content"].split("'\n", 1)
        record["messages"][1]["content"] = f"{first} {text}'\n{rest}"

    return Mutation(change, ANSWERS, mark or text)


def changed(
    old: str, new: str, mark: str | None = None, *also: str, path: str = REPORT
) -> Mutation:
    """Change the first `old` of the report (or of the answers) into `new`."""

    def change(record: Record) -> None:
        message = record["messages"][2 if path == REPORT else 1]
        assert old in message["content"], old
        message["content"] = message["content"].replace(old, new, 1)

    return Mutation(change, path, mark, also)


def shaped(
    change: Callable[[Record], object], path: str, *also: str, mark: Part | None = None
) -> Mutation:
    """Change the record as JSON."""
    return Mutation(change, path, mark, also)


def body(number: int, key: str) -> str:
    """The text of a part of a good record's report."""
    report = parse(records.content(GOOD[number], "assistant"))
    return next(part.body for part in report.parts if part.key == key)


def _sections(trait_texts: list[str], summary: str) -> Callable[[Record], object]:
    """A report of the record's own headings with other texts."""

    def change(record: Record) -> None:
        report = parse(record["messages"][2]["content"])
        texts = [persona.TITLE, persona.OPENING]
        for part, text in zip(report.traits, trait_texts, strict=True):
            texts.append(f"{part.heading}\n{text}")
        texts.append(f"{persona.SUMMARY}\n\n{summary}")
        record["messages"][2]["content"] = "\n\n".join(texts)

    return change


def _swap(first: str, second: str) -> Callable[[Record], object]:
    def change(record: Record) -> None:
        text = record["messages"][2]["content"]
        record["messages"][2]["content"] = (
            text.replace(first, "\0").replace(second, first).replace("\0", second)
        )

    return change


def _turns(*places: int) -> Callable[[Record], object]:
    def change(record: Record) -> None:
        record["messages"] = [copy.deepcopy(record["messages"][place]) for place in places]

    return change


def _content(place: int, text: object) -> Callable[[Record], object]:
    return lambda record: record["messages"][place].update(content=text)


def _english_turn() -> str:
    answer = "I like to go to the same noodle place every weekend"
    return "\n".join(f"{n}. {t.korean}: '{answer}'" for n, t in enumerate(persona.TRAITS, 1))


def _long(record: Record, key: str, sentences: int) -> None:
    """Sentences of 20 characters more, all different."""
    text = record["messages"][2]["content"]
    part = next(part for part in parse(text).parts if part.key == key)
    more = " ".join(f"{word} 모습도 눈에 들어옵니다." for word in _MANY[:sentences])
    record["messages"][2]["content"] = text.replace(part.body, f"{part.body} {more}")


_MANY = [
    f"{first} {second}"
    for first in ("조용한", "따뜻한", "느린", "단단한", "부드러운", "고른", "맑은")
    for second in ("아침의", "저녁의", "골목의", "병동의", "부엌의", "겨울의", "여름의")
]


def _unstructured(record: Record) -> None:
    text = record["messages"][2]["content"]
    for part in parse(text).traits:
        whole = part.body.replace("'", "").replace(". ", "고, ").replace(".", "")
        text = text.replace(part.body, f"{whole}{'면서도 오래 이어져 온 모습' * 6}으로 보입니다.")
    record["messages"][2]["content"] = text


def _much(record: Record, sentences: int) -> None:
    """So many short sentences more in each part, all different: only the whole is too long."""
    text = record["messages"][2]["content"]
    words = iter(f"{word} {noun}" for noun in ("결", "빛") for word in _MANY)
    for part in parse(text).parts[2:]:
        more = " ".join(
            f"{next(words)} 하나도 눈에 들어오는 모습으로 보입니다." for _ in range(sentences)
        )
        text = text.replace(part.body, f"{part.body} {more}")
    record["messages"][2]["content"] = text


def _much_said(record: Record) -> None:
    """Answers of 400 characters each: the report stays as it was."""
    turn = record["messages"][1]["content"]
    more = " ".join(f"{word} 길을 걸어요." for word in _MANY[:40])
    record["messages"][1]["content"] = turn.replace("'\n", f" {more}'\n")


_C = "## 종합 의견"
_ANSWER_2 = (records.answers(GOOD[0]) or {})["conscientiousness"]
_FLAT = [
    "'늘 가던 국숫집' 하고 답하셨습니다. 첫 번째 질문의 답은 여기까지이고 다음으로 넘어갑니다.",
    "'수첩에 시간대별로' 하고 답하셨습니다. 두 번째 질문의 답은 여기까지이고 다음으로 넘어갑니다.",
    "'동료들이랑 수다' 하고 답하셨습니다. 세 번째 질문의 답은 여기까지이고 다음으로 넘어갑니다.",
    "'물 한 잔이라도' 하고 답하셨습니다. 네 번째 질문의 답은 여기까지이고 다음으로 넘어갑니다.",
    "'따뜻한 물에 발을' 하고 답하셨습니다. 다섯 번째 질문의 답은 여기까지이고 끝으로 넘어갑니다.",
]
_ORIGINAL = [body(0, trait.key) for trait in persona.TRAITS]
_ORIGINAL_SUMMARY = body(0, "summary")
_COLD = [
    "'늘 가던 국숫집'에 가는 쪽으로 보입니다. 익숙하고 예측되는 경험을 고르는 경향으로 읽힙니다.",
    "'시간대별로' 적는 습관에서 계획과 점검의 경향이 보입니다. 일정 준비의 수준이 높은 편입니다.",
    "'이불 속'으로 돌아가는 쪽으로 보입니다. 혼자 있는 시간에 충전하는 내향의 경향으로 읽힙니다.",
    "'제 일이 밀려도 옆에 앉아요'라는 대목에서 "
    "협조의 수준이 높아 보입니다. 남을 우선하는 쪽입니다.",
    "'자꾸 떠올라요'라는 대목에서 긴장의 수준이 다소 "
    "높아 보입니다. 스트레스 뒤에 오래 남는 쪽입니다.",
]
_SHORT = [
    "'늘 가던 국숫집'을 아끼는 익숙한 취향이 오래 보입니다.",
    "'시간대별로' 적어 두는 꼼꼼한 계획이 돋보이는 편입니다.",
    "'이불 속'에서 혼자 기운을 되찾는 편이라고 읽힙니다.",
    "'물 한 잔이라도' 건네는 다정한 마음이 크게 느껴집니다.",
    "'자꾸 떠올라요', 긴장이 오래 머무는 듯하지만 섬세합니다.",
]
_BARE = [
    "'늘 가던 국숫집'의 따뜻한 국물이 소중합니다. 익숙한 길은 마음을 놓게 합니다.",
    "'시간대별로' 적은 수첩은 귀한 노력입니다. 계획은 든든합니다.",
    "'이불 속'의 고요는 힘을 줍니다. 혼자만의 시간은 선물입니다.",
    "'물 한 잔이라도' 건네는 손은 따뜻합니다. 배려는 힘입니다.",
    "'따뜻한 물에 발을 담그고' 듣는 라디오는 위로입니다. 긴장은 풀립니다.",
]

_ALL: list[tuple[str, list[Mutation]]] = [
    (
        "record-shape",
        [
            shaped(lambda r: r.pop("messages"), "$"),
            shaped(lambda r: r.update(messages="글"), "$.messages"),
            shaped(lambda r: r["messages"].__setitem__(1, "글"), "$.messages[1]", "role-order"),
            shaped(lambda r: r["messages"][1].pop("content"), "$.messages[1]"),
            shaped(_content(2, ["글"]), "$.messages[2].content"),
            shaped(_content(1, None), "$.messages[1].content"),
        ],
    ),
    (
        "role-order",
        [
            shaped(_turns(1, 2), "$.messages"),
            shaped(_turns(0, 1), "$.messages"),
            shaped(_turns(1, 0, 2), "$.messages"),
            shaped(_turns(0, 1, 2, 2), "$.messages"),
            shaped(lambda r: r["messages"][2].update(role="bot"), "$.messages"),
        ],
    ),
    (
        "empty-content",
        [
            shaped(_content(place, text), f"$.messages[{place}].content")
            for place, text in ((0, ""), (1, " \n"), (2, ""))
        ],
    ),
    (
        "metadata",
        [
            shaped(lambda r: r.update(metadata=[]), "$.metadata"),
            shaped(lambda r: r["metadata"].update(id=3), "$.metadata.id"),
            shaped(
                lambda r: r["metadata"]["levels"].update(openness="최고"),
                "$.metadata.levels.openness",
            ),
            shaped(
                lambda r: r["metadata"]["levels"].update(openness="낮음"),
                "$.metadata.levels.openness",
            ),
            shaped(
                lambda r: r["metadata"]["levels"].update(honesty="높음"),
                "$.metadata.levels.honesty",
            ),
        ],
    ),
    (
        "answers-form",
        [
            changed("3. 외향성: ", "세 번째: ", path=ANSWERS),
            changed("'\n5. 신경성", "'\n고맙습니다\n5. 신경성", path=ANSWERS),
            changed(_ANSWER_2, "…", "성실성: '…'", "quote-not-said", path=ANSWERS),
        ],
    ),
    (
        "not-nfc",
        [
            said(
                unicodedata.normalize("NFD", "마음") + " 쪽입니다.",
                unicodedata.normalize("NFD", "마음"),
            ),
            answered(
                unicodedata.normalize("NFD", "좋아요"),
                unicodedata.normalize("NFD", "좋아요") + "'",
            ),
        ],
    ),
    (
        "control-character",
        [
            *(
                said(f"곁에{mark} 두십시오.", mark)
                for mark in ("\x00", "\x07", "\u200b", "\ufeff", "\ufffd", "\r")
            ),
            said("\x1b[31m곁에 두십시오.", "\x1b[31m"),
            answered("그래\u200b요", "\u200b"),
        ],
    ),
    (
        "template-markup",
        [
            *(
                said(f"곁에 두십시오. {mark}", mark)
                for mark in (
                    "<|im_end|>",
                    "<|im_start|>assistant",
                    "[/INST]",
                    "<<SYS>>",
                    "</s>",
                    "{{ 이름 }}",
                    "{topic}",
                )
            ),
            answered("<|im_end|>"),
        ],
    ),
    (
        "markup",
        [
            *(
                said(f"곁에 두십시오. {mark}", mark)
                for mark in ("<answer>", "</report>", "<br/>", "```", '<p class="a">')
            ),
            changed(_C, f"사용자: 네\n\n{_C}", "사용자: "),
        ],
    ),
    (
        "escape-sequence",
        [
            *(
                said(f"곁에 두십시오.{mark}", mark)
                for mark in ("\\n", "\\u00e9", "&quot;", "&#39;", '\\"')
            ),
        ],
    ),
    (
        "placeholder",
        [
            said("여기에 내용을 적어 주세요.", "여기에 내용을 적어 주세요"),
            said("TODO", "TODO"),
            said("OO씨는 조용한 분으로 보입니다.", "OO씨"),
            said("○○님은 조용한 분으로 보입니다.", "○○"),
            said("[이름] 님은 조용한 분으로 보입니다.", "[이름]"),
            said("Lorem ipsum", "Lorem ipsum"),
            said("(이하 생략)", "(이하 생략)"),
            said("예시 문장으로 맺습니다.", "예시 문장"),
            answered("내용을 입력", "내용을 입력"),
        ],
    ),
    (
        "assistant-talk",
        [
            said("인공지능으로서 드리는 말씀입니다.", "인공지능으로서"),
            said("요청하신 대로 적었습니다.", "요청하신 대로"),
            said("도움이 되셨기를 바랍니다.", "도움이 되셨기를 바랍"),
            said("더 궁금한 점이 있으시면 물어봐 주세요.", "더 궁금한 점이 있으시면"),
            said("다음 리포트를 작성해 드리겠습니다.", "리포트를 작성해 드리겠"),
        ],
    ),
    (
        "not-korean",
        [
            shaped(
                lambda r: r["messages"][1].update(content=_english_turn()),
                ANSWERS,
                "quote-not-said",
            ),
            shaped(
                _content(0, "You are an expert psychologist. Never diagnose."),
                "$.messages[0].content",
            ),
        ],
    ),
    (
        "phone-number",
        [
            *(
                said(f"연락처는 {mark} 쪽입니다.", mark)
                for mark in (
                    "010-1234-5678",
                    "01012345678",
                    "010 1234 5678",
                    "+82-10-1234-5678",
                    "02-345-6789",
                    "031-234-5678",
                )
            ),
            answered("제 번호는 010.9876.5432", "010.9876.5432"),
            answered("번호는 ０１０-１２３４-５６７８", "０１０-１２３４-５６７８"),
        ],
    ),
    (
        "resident-number",
        [
            said("번호는 900101-1234567 쪽입니다.", "900101-1234567"),
            said("번호는 050512-4123456 쪽입니다.", "050512-4123456"),
            answered("제 번호는 8812312345678", "8812312345678"),
        ],
    ),
    (
        "email-address",
        [
            said("편지는 haru.on@example.com 쪽으로 부탁드립니다.", "haru.on@example.com"),
            answered("제 메일은 kim_88@mail.co.kr 이에요", "kim_88@mail.co.kr"),
        ],
    ),
    (
        "bank-number",
        [
            said("번호는 4111-1111-1111-1111 쪽입니다.", "4111-1111-1111-1111"),
            said("국민은행 123456-01-234567 쪽입니다.", "123456-01-234567"),
            answered("계좌는 110-234-567890 이에요", "110-234-567890"),
        ],
    ),
    (
        "missing-section",
        [
            changed("### 개방성 (Openness): 중간\n", ""),
            changed("### 성실성 (Conscientiousness): 높음\n", ""),
            changed("### 외향성 (Extraversion): 다소 낮음\n", ""),
            changed("### 우호성 (Agreeableness): 매우 높음\n", ""),
            changed("### 신경성 (Neuroticism): 다소 높음\n", ""),
            changed(_C + "\n", "", None, "quote-not-said"),  # the name of a type is no longer one
            changed(persona.OPENING + "\n", ""),
            changed("\n\n" + persona.OPENING, ""),
        ],
    ),
    (
        "section-order",
        [
            Mutation(
                _swap(
                    "### 성실성 (Conscientiousness): 높음", "### 외향성 (Extraversion): 다소 낮음"
                ),
                REPORT,
                "### 성실성 (Conscientiousness): 높음",
            ),
            said(
                "\n\n### 신경성 (Neuroticism): 다소 높음\n담담하게 보입니다.",
                "### 신경성 (Neuroticism): 다소 높음",
            ),
        ],
    ),
    (
        "empty-section",
        [
            changed(body(0, "neuroticism"), "...", "### 신경성 (Neuroticism): 다소 높음"),
            changed(body(0, "summary"), "", _C),
        ],
    ),
    (
        "trait-level",
        [
            *(
                changed("(Openness): 중간", f"(Openness){level}", f"### 개방성 (Openness){level}")
                for level in (": 아주 높음", ": 62점", ": 상", "", ": 보통")
            ),
        ],
    ),
    (
        "heading-form",
        [
            changed(_C, "# 종합 의견", "# 종합 의견"),
            changed(_C, "## 종합의견", "## 종합의견"),
            changed("### 개방성 (Openness): 중간", "### 개방성: 중간", "### 개방성: 중간"),
            changed(_C, f"### 조언\n'시간대별로' 쉬어 보셔도 좋겠습니다.\n\n{_C}", "### 조언"),
        ],
    ),
    (
        "preamble",
        [
            changed("## Big5", "안녕하세요!\n\n## Big5", "안녕하세요!"),
            changed("## Big5", "네, 아래와 같습니다.\n\n## Big5", "네, 아래와 같습니다."),
        ],
    ),
    (
        "stray-latin",
        [
            said("당신은 leader 같은 분으로 보입니다.", "leader"),
            said("마음의 balance를 아는 분으로 보입니다.", "balance"),
            said("MBTI로는 담기지 않는 면이 보입니다.", "MBTI"),
            said("Overall 따뜻한 분으로 보입니다.", "Overall"),
        ],
    ),
    (
        "foreign-script",
        [
            said("당신은 温和한 분으로 보입니다.", "温和"),
            said("마음이 きれい한 분으로 보입니다.", "きれい"),
            said("カラ한 분으로 보입니다.", "カラ"),
            said("總合的으로 따뜻한 분으로 보입니다.", "總合的"),
            said("Привет 하고 웃는 분으로 보입니다.", "Привет"),
            said("สวัส 하고 웃는 분으로 보입니다.", "สวัส"),
        ],
    ),
    (
        "loose-jamo",
        [
            said("웃음이 많은 분으로 보입니다 ㅋㅋㅋ", "ㅋㅋㅋ"),
            said("마음이 여린 분으로 보입니다 ㅠㅠ", "ㅠㅠ"),
        ],
    ),
    (
        "section-length",
        [
            changed(
                body(0, "openness"),
                "'늘 가던 국숫집'이 익숙해 보입니다.",
                "'늘 가던 국숫집'이 익숙해 보입니다.",
            ),
            shaped(
                lambda r: _long(r, "openness", 15), REPORT, "report-tokens", mark=Part("openness")
            ),
        ],
    ),
    (
        "summary-length",
        [
            changed(
                body(0, "summary"),
                "계획과 배려가 함께 보이는 따뜻한 분으로 읽힙니다.",
                "계획과 배려가 함께 보이는 따뜻한 분으로 읽힙니다.",
            ),
            shaped(
                lambda r: _long(r, "summary", 26), REPORT, "report-tokens", mark=Part("summary")
            ),
        ],
    ),
    (
        "report-length",
        [
            shaped(
                _sections(
                    _SHORT,
                    "계획과 배려가 함께 보이는 따뜻한 분으로 읽힙니다. "
                    "오래 걷는 힘과 쉬어 가는 지혜를 둘 다 지닌 분으로 보입니다.",
                ),
                REPORT,
            ),
            shaped(lambda r: _much(r, 6), REPORT, "persona-structured", "report-tokens"),
        ],
    ),
    (
        "repeated-sentence",
        [
            said(_ORIGINAL_SUMMARY.split(". ")[0] + "."),
            said(_ORIGINAL[0].split(". ")[1]),
        ],
    ),
    (
        "stated-diagnosis",
        [
            said("당신은 우울증입니다.", "우울증입니다"),
            said("당신은 우울증 입니다.", "우울증 입니다"),
            said("당신은 공황장애이십니다.", "공황장애이십니다"),
            said("당신은 불안장애예요.", "불안장애예요"),
            said("지금은 번아웃입니다.", "번아웃입니다"),
            said("당신은 '강박증'입니다.", "강박증'입니다"),
            said("당신은 경계선 성격입니다.", "경계선 성격입니다"),
            said("당신은 나르시시스트이십니다.", "나르시시스트이십니다"),
            said("당신은 조울증일 수 있습니다.", "조울증일"),
            said("당신의 반응은 비정상입니다.", "비정상입니다"),
            said("당신은 중독자이십니다.", "중독자이십니다"),
            said("그 잠버릇은 불면증이며 오래갑니다.", "불면증이며"),
            said("당신은 사회부적응자입니다.", "사회부적응자입니다"),
            said("당신은 실패자입니다.", "실패자입니다"),
            said("그 걱정은 병입니다.", "병입니다"),
            said("당신은 문제아였습니다.", "문제아였습니다"),
            said("이 떨림은 증상입니다.", "증상입니다"),
            said("당신은 위험군이십니다.", "위험군이십니다"),
            said("성격장애인 당신을 응원합니다.", "성격장애인"),
            said("번아웃일 가능성이 있습니다.", "번아웃일"),
            said("병적인 걱정으로 읽힙니다.", "병적인"),
            said("전형적인 우울증 환자이십니다.", "환자이십니다", "implied-diagnosis"),
        ],
    ),
    (
        "implied-diagnosis",
        [
            said("우울증이 있습니다.", "우울증이 있습니다"),
            said("우울증으로 보입니다.", "우울증으로 보입니다"),
            said("강박증 성향이 보입니다.", "강박증 성향이"),
            said("불면증을 겪고 계십니다.", "불면증을 겪고"),
            said("공황장애가 의심됩니다.", "공황장애가 의심됩니다"),
            said("우울증 초기로 읽힙니다.", "우울증 초기로"),
            said("불안장애에 가깝습니다.", "불안장애에 가깝습니다"),
            said("트라우마에 시달리고 계십니다.", "트라우마에 시달리고"),
            said("번아웃 가능성이 엿보입니다.", "번아웃 가능성이"),
            said("조현병에 해당합니다.", "조현병에 해당합니다"),
            said("우울증이 엿보입니다.", "우울증이 엿보입니다"),
            said("우울증의 징후로 읽힙니다.", "우울증의 징후로"),
            said("우울증을 겪는 당신을 응원합니다.", "우울증을 겪는"),
            said("강박증이 심한 편입니다.", "강박증이 심한"),
        ],
    ),
    (
        "diagnosing",
        [
            said("그렇게 진단합니다.", "진단합니다"),
            said("예민한 성향으로 진단됩니다.", "진단됩니다"),
            said("그렇게 진단할 수 있습니다.", "진단할"),
            said("이런 진단이 나옵니다.", "진단이 나옵니다"),
            said("조심스레 진단을 내립니다.", "진단을 내립니다"),
            said("진단해 보면 따뜻한 분입니다.", "진단해"),
        ],
    ),
    (
        "certainty",
        [
            said("외향적인 분인 것이 확실합니다.", "확실합니다"),
            said("그 점은 분명합니다.", "분명합니다"),
            said("그 다정함은 명백합니다.", "명백합니다"),
            said("틀림없습니다.", "틀림없습니다"),
            said("그 점은 확실하며 변하지 않습니다.", "확실하며"),
            said("이유는 자명합니다.", "자명합니다"),
        ],
    ),
    (
        "certainty-word",
        [
            said("분명히 따뜻한 분으로 보입니다.", "분명히"),
            said("확실히 따뜻한 분으로 보입니다.", "확실히"),
            said("틀림없이 따뜻한 분으로 보입니다.", "틀림없이"),
            said("분명 따뜻한 분으로 보입니다.", "분명"),
            said("의심의 여지가 없습니다.", "의심의 여지가 없습니다"),
            said("단언컨대 따뜻한 분으로 보입니다.", "단언컨대"),
            said("100% 따뜻한 분으로 보입니다.", "100%"),
            said("그렇게 확신합니다.", "확신합니다"),
            said("틀림없는 지도자로 보입니다.", "틀림없는"),
            said("따뜻하다는 것은 분명한 사실로 남습니다.", "분명한 사실"),
        ],
    ),
    (
        "verdict",
        [
            said("성격에 문제가 있습니다.", "문제가 있습니다"),
            said("지금은 정상이 아닙니다.", "정상이 아닙니다"),
            said("비정상적으로 예민한 편입니다.", "비정상적으로"),
            said("심각한 수준으로 보입니다.", "심각한 수준으로"),
            said("병적으로 걱정하시는 편입니다.", "병적으로"),
            said("당신은 정상입니다.", "당신은 정상입니다"),
            said("마음에 심각한 문제가 있습니다.", "심각한 문제가 있습니다"),
            said("아직 정상 범위로 보입니다.", "정상 범위로"),
        ],
    ),
    (
        "treatment",
        [
            said("약물 치료를 권합니다.", "치료를 권합니다"),
            said("치료가 필요합니다.", "치료가 필요합니다"),
            said("처방을 받으셔야 합니다.", "처방을 받으셔야"),
            said("입원이 필요해 보입니다.", "입원이 필요해"),
            said("정신과 진료를 권합니다.", "진료를 권합니다"),
        ],
    ),
    (
        "clinical-mention",
        [
            said("우울증이라고 볼 수는 없습니다.", "우울증"),
            said("의학적 진단이 아닙니다.", "진단"),
            said("친구의 우울증을 곁에서 지켜보았습니다.", "우울증"),
            said("우울증을 앓는 친구의 곁을 지키는 분으로 보입니다.", "우울증"),
        ],
    ),
    (
        "quote-not-said",
        [
            changed("'늘 가던 국숫집'", "'매주 오르는 북한산'", "매주 오르는 북한산"),
            changed("'시간대별로'", "'통장 잔고를 매일'", "통장 잔고를 매일"),
            changed("'이불 속'", "'시끄러운 클럽'", "시끄러운 클럽"),
            changed("'자꾸 떠올라요'", "'회사에서 혼났어요'", "회사에서 혼났어요"),
            changed("'새 기계'", '"피아노 학원"', "피아노 학원"),
            said("'세상이 다 밉더라고요'라는 말이 남습니다.", "세상이 다 밉더라고요"),
        ],
    ),
    ("persona-expert", [shaped(_sections(_FLAT, _ORIGINAL_SUMMARY), REPORT, "persona-careful")]),
    (
        "persona-empathic",
        [
            shaped(
                _sections(
                    _COLD,
                    "계획의 수준이 높고 긴장의 수준이 다소 높은 경향으로 읽힙니다. "
                    "혼자 충전하는 쪽이면서 남을 우선하는 쪽으로 보입니다.",
                ),
                REPORT,
            )
        ],
    ),
    (
        "persona-insightful",
        [
            shaped(
                _sections(
                    [
                        "따뜻한 '늘 가던 국숫집', 익숙한 취향으로 보입니다. "
                        "마음 편한 안정이 느껴집니다.",
                        "'시간대별로' 적는 계획은 꼼꼼해 보입니다. 책임의 노력이 느껴집니다.",
                        "'이불 속'은 혼자 쉬는 곳으로 보입니다. 조용한 기운이 느껴집니다.",
                        "'물 한 잔이라도' 건네는 배려로 보입니다. 다정한 마음이 느껴집니다.",
                        "'자꾸 떠올라요', 예민한 긴장으로 보입니다. 섬세한 감정이 느껴집니다.",
                    ],
                    "이 글을 읽는 동안 귀한 밤길 하나가 그려졌습니다. "
                    "등불이 켜진 복도와 하얀 옷, 그리고 새벽의 라디오가 그 그림 안에 놓입니다.",
                ),
                REPORT,
            )
        ],
    ),
    (
        "persona-careful",
        [
            shaped(
                _sections(
                    _BARE,
                    "두 번 세는 손과 울음 곁에 앉는 마음을 함께 지녀 일도 사람도 안전합니다. "
                    "계획과 배려를 지닌 따뜻한 분입니다. 쉬는 시간도 소중합니다.",
                ),
                REPORT,
            )
        ],
    ),
    ("persona-structured", [shaped(_unstructured, REPORT, "report-tokens")]),
    ("report-tokens", [shaped(lambda r: _much(r, 3), REPORT)]),
    ("context-tokens", [shaped(_much_said, REPORT)]),
]


def _make() -> list[BadRecord]:
    made = []
    for rule, mutations in _ALL:
        for number, mutation in enumerate(mutations, start=1):
            record = copy.deepcopy(GOOD[0])
            mutation.change(record)
            span = _span(record, mutation)
            made.append(
                BadRecord(f"{rule}-{number}", rule, mutation.path, span, record, mutation.also)
            )
    return made


def _span(record: Record, mutation: Mutation) -> tuple[int, int] | None:
    """Where the mark stands; the last place, for mutations add at the end."""
    mark = mutation.mark
    if mark is None:
        return None
    text = record["messages"][1 if mutation.path == ANSWERS else 2]["content"]
    if isinstance(mark, Part):
        mark = next(part.body for part in parse(text).parts if part.key == mark.key)
    start = text.rindex(mark)
    return start, start + len(mark)


BAD = _make()


def _make_in_a_file() -> list[BadRecord]:
    """Copies, near copies, and records whose answers are those of an evaluation case."""
    copied, renamed, reworded, reread = (copy.deepcopy(GOOD[place]) for place in (1, 2, 3, 4))
    renamed["metadata"] = {"id": "renamed"}
    report = reworded["messages"][2]
    report["content"] = report["content"].replace("입니다.", "이라고 하겠습니다.", 1)
    turn = reread["messages"][1]
    turn["content"] = turn["content"].replace("요", "유", 3)
    leaking, leaking_in_part = copy.deepcopy(GOOD[5]), copy.deepcopy(GOOD[6])
    cases = golden.load_cases(golden.cases_file())
    leaking["messages"][1]["content"] = persona.user_turn(cases[0]["answers"])
    most = {**cases[1]["answers"], "openness": (records.answers(GOOD[6]) or {})["openness"]}
    leaking_in_part["messages"][1]["content"] = persona.user_turn(most)
    return [
        BadRecord("exact-duplicate-1", "exact-duplicate", "$", None, copied),
        BadRecord("exact-duplicate-2", "exact-duplicate", "$", None, renamed),
        BadRecord("near-duplicate-1", "near-duplicate", "$", None, reworded),
        BadRecord("near-duplicate-2", "near-duplicate", "$", None, reread, ("quote-not-said",)),
        *(
            BadRecord(
                f"leakage-{number}",
                "leakage",
                ANSWERS,
                (0, len(record["messages"][1]["content"])),
                record,
                ("quote-not-said", "near-duplicate"),
            )
            for number, record in enumerate((leaking, leaking_in_part), start=1)
        ),
    ]


BAD_IN_A_FILE = _make_in_a_file()

if __name__ == "__main__":
    for bad in (*BAD, *BAD_IN_A_FILE):
        print(json.dumps(asdict(bad), ensure_ascii=False))
