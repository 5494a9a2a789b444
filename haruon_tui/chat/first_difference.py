"""Where answers that came token by token first differ."""

from __future__ import annotations

from collections.abc import Sequence


def first_differences(answers: Sequence[Sequence[str]], over: Sequence[bool]) -> list[int | None]:
    """For each answer, in pieces of one token, the character at which the token starts that holds
    the first difference; None for all as long as there is none.

    `over` says which answers are whole. One under way that is the start of another does not
    differ from it yet.
    """
    nothing: list[int | None] = [None] * len(answers)
    if len(answers) < 2:
        return nothing
    texts = ["".join(pieces) for pieces in answers]
    shortest = min(map(len, texts))
    at = next(
        (place for place in range(shortest) if len({text[place] for text in texts}) > 1), shortest
    )
    if at == shortest:
        ended = any(done and len(text) == shortest for text, done in zip(texts, over, strict=True))
        if not ended or len(set(map(len, texts))) == 1:
            return nothing
    return [_token_start(pieces, at) for pieces in answers]


def _token_start(pieces: Sequence[str], at: int) -> int:
    start = 0
    for piece in pieces:
        if start + len(piece) > at:
            return start
        start += len(piece)
    return start
