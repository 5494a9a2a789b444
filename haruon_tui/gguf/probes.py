"""The texts on which a GGUF must behave as the model it was made from."""

from __future__ import annotations

from haruon_tui.dataset import persona

TOKENS = {
    "Korean": "저는 새로운 것을 배우는 걸 좋아해요. 근데 가끔은 좀 귀찮기도 하고요ㅎㅎ ㅠㅠ",
    "Korean report": f"{persona.TITLE}\n{persona.OPENING}\n### 개방성 (Openness): **높음**\n- 끝",
    "Korean, rare syllables": "뷁 쀍 꿹 갃 힣 훼 뙈 ㄱㄴㄷ ㅏㅑㅓ",
    "Hanja and Japanese": "漢字와 한글, 日本語のひらがな・カタカナ",
    "English": "I'll say it's what they've done; we'd DON'T. It'S 3.14159, isn't it?",
    "numbers": "2024년 3월 15일 오후 2:30, 1,234,567원 0x1F ½ ² Ⅷ",
    "code": 'def f(x: int) -> str:\n\tif x >= 10:\n        return f"{x!r}"  # ok\n\n\n',
    "JSON": '{"role":"user","content":"\\uc548\\ub155","n":[1,2,3]}',
    "emoji": "좋아요 👍🏽 가족 👨‍👩‍👧‍👦 국기 🇰🇷 하트 ❤️ 😂😂",
    "spaces": "  앞에 둘,   가운데 셋,    넷   ",
    "line breaks": "\n\n첫 줄\r\n둘째 줄\n \n\t\n   끝\n",
    "unusual spaces": "a\u00a0b\u3000c\u200bd\u2009e\ufefff",
    "control characters": "a\x01b\x7fc\u0085d",
    "special tokens": "<|im_start|>user\n안녕<|im_end|>\n<|im_start|>assistant\n<|endoftext|>",
    "almost special": "<|im_start|> <|im_end |> <im_end> <|im_ end|>",
    "other scripts": "Привет, мир! مرحبا नमस्ते ไทย עברית",
    "empty": "",
}
"""By name. All are in Unicode's composed form (NFC): llama.cpp, unlike the tokenizer of Qwen2,
does not compose decomposed Hangul by itself, so a caller must."""

ANSWERS = {
    "openness": "새로운 음식을 먹어 보거나 가 보지 않은 동네를 걷는 일을 좋아해요.",
    "conscientiousness": "할 일을 적어 두고 하나씩 지우면서 끝내는 편이에요.",
    "extraversion": "모임에 다녀오면 즐겁지만 집에서 혼자 쉬는 시간이 꼭 필요해요.",
    "agreeableness": "친구가 힘들다고 하면 하던 일을 미루고 이야기를 들어 줘요.",
    "neuroticism": "발표를 앞두면 실수할까 봐 전날부터 걱정이 많아져요.",
}
"""Five answers for a report, by trait."""

CHATS: dict[str, list[dict[str, str]]] = {
    "a report is asked for": persona.prompt_messages(ANSWERS),
    "a conversation": [
        {"role": "system", "content": "한국어로 짧게 답하세요."},
        {"role": "user", "content": "안녕하세요!"},
        {"role": "assistant", "content": "안녕하세요.\n무엇을 도와드릴까요?"},
        {"role": "user", "content": "  '인용'과 \"따옴표\", {{ 괄호 }}  "},
    ],
}

LOGITS = (
    f"{persona.TITLE}\n{persona.OPENING}\n### 개방성 (Openness): 높음\n"
    "새로운 음식을 먹어 보거나 가 보지 않은 동네를 걷는 일을 좋아한다고 답하셨습니다. 낯선 것을 "
    "두려워하기보다 궁금해하는 마음이 엿보이며, 익숙한 하루에도 작은 변화를 만들 줄 아는 분으로 "
    "보입니다.\n### 성실성 (Conscientiousness): 다소 높음\n할 일을 적어 두고 하나씩 지워 가는 "
    "습관은 스스로 정한 약속을 지키려는 태도를 보여 줍니다. 다만 계획이 어긋나는 날에는 조금 "
    "느긋해져도 좋겠습니다."
)
"""Korean prose on which the logits are compared."""

LOGIT_TOKENS = 256

GREEDY_TOKENS = 16
