"""How many tokens a text has: by the base model's tokenizer, or an upper estimate without one.

The estimate is tokens <= 0.76 per wide character (Hangul above all) + 0.62 per narrow one + 0.80
per space or line break, and 1.15 times that for what people say: an upper bound for Qwen2's
tokens of the 100 golden records and the guide's reports (docs/measurements.md). Rare syllables and
emoji can have more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from haruon_tui.errors import ConfigurationError

WIDE, NARROW, SPACE = 0.76, 0.62, 0.80
"""Tokens per character of the estimate."""

SPOKEN = 1.15
"""Answers have shorter words and more marks than reports; only the estimate needs to know."""

PER_MESSAGE = 5
"""Tokens that ChatML adds to a message: <|im_start|>, role, line break, <|im_end|>, line break."""

REMEMBERED_PIECES = 20_000
"""Pieces whose tokens are remembered, first come; others are counted at once."""

_PROBE = (
    "하루온은 다섯 답변을 읽습니다. '새로운 걸 배워요', 그리고 Big5 (Openness): 높음 3개!\n\n"
    "## 종합 의견\n끝."
)


class Counter(Protocol):
    exact: bool

    def count(self, text: str, *, spoken: bool = False) -> int:
        """The number of tokens of a text, without those of the chat template."""
        ...

    def at_most(self, text: str, *, spoken: bool = False) -> int:
        """A number that `count` does not pass, found more quickly."""
        ...


class Estimate:
    """Counts without a tokenizer: an upper estimate from the kinds of characters."""

    exact = False

    def count(self, text: str, *, spoken: bool = False) -> int:
        wide = (len(text.encode("utf-8", "replace")) - len(text)) / 2
        spaces = text.count(" ") + text.count("\n")
        narrow = len(text) - wide - spaces
        return round((WIDE * wide + NARROW * narrow + SPACE * spaces) * (SPOKEN if spoken else 1))

    at_most = count


class Tokenizer:
    """Counts with a tokenizer.json.

    Byte-level BPE in the way of GPT-2 and Qwen2 never merges over a single space that begins a
    word, so the pieces between such spaces are counted once each and remembered. Whether that
    holds for this tokenizer is tried on a probe; where it does not, whole texts are encoded.
    """

    exact = True

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError for a file that is no tokenizer."""
        import tokenizers

        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:
            raise ConfigurationError(
                f"is no tokenizer: {error}", where=str(path), expected="a tokenizer.json"
            ) from error
        self._pieces: dict[str, int] = {}
        self._by_piece = self._in_pieces(_PROBE) == self._whole(_PROBE)

    def count(self, text: str, *, spoken: bool = False) -> int:
        return self._in_pieces(text) if self._has_pieces(text) else self._whole(text)

    def at_most(self, text: str, *, spoken: bool = False) -> int:
        """Counts a byte of an unknown piece as a token: byte-level BPE makes no more of it."""
        if not self._has_pieces(text):
            return self._whole(text)
        total, unknown = self._known(text)
        return total + len(" ".join(["", *unknown]).encode("utf-8", "replace"))

    def _has_pieces(self, text: str) -> bool:
        # Two spaces in a row, or one beside a line break, make pieces that are not independent.
        return self._by_piece and not ("  " in text or " \n" in text or "\n " in text)

    def _in_pieces(self, text: str) -> int:
        total, unknown = self._known(text)
        return total + self._whole(" " + " ".join(unknown)) if unknown else total

    def _known(self, text: str) -> tuple[int, list[str]]:
        """The tokens of the pieces that are remembered, and the pieces that are not."""
        first, *words = text.split(" ")
        counts = list(map(self._pieces.get, words))
        unknown: list[str] = []
        if None in counts:
            unknown = [word for word, count in zip(words, counts, strict=True) if count is None]
        total = sum(filter(None, counts)) + (self._whole(first) if first else 0)
        while unknown and len(self._pieces) < REMEMBERED_PIECES:
            word = unknown.pop()
            total += self._pieces.setdefault(word, self._whole(" " + word))
        return total, unknown

    def _whole(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def counter(tokenizer: Path | None) -> Counter:
    """A counter for a tokenizer.json, or the estimate where there is none."""
    return Tokenizer(tokenizer) if tokenizer else Estimate()
