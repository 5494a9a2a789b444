"""Whether the app's context holds every prompt with the longest answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case
from haruon_tui.export.prompt import joined


class Tokenizes(Protocol):
    def tokenize(self, text: str, *, rendered: bool = False) -> list[int]:
        """The token ids of a text."""
        ...


def fits(
    model: Tokenizes, parts: list[str], cases: Sequence[Case], context: int, max_tokens: int
) -> dict[str, Any]:
    """The tokens of the longest prompt, and what the context has left beside it and the longest
    answer. Raises StageError that names the first case that does not fit."""
    longest, longest_case = 0, ""
    for case in cases:
        tokens = len(model.tokenize(joined(parts, case.answers), rendered=True))
        if tokens + max_tokens > context:
            raise StageError(
                f"the prompt of case {case.id} has {tokens} tokens; with {max_tokens} new ones "
                f"that is more than the context of {context}",
                where="chat.context",
                do=f"--set chat.context={_next_power(tokens + max_tokens)}, or a smaller "
                "chat.max_tokens",
            )
        if tokens > longest:
            longest, longest_case = tokens, case.id
    return {
        "cases": len(cases),
        "longest_prompt_tokens": longest,
        "longest_prompt_case": longest_case,
        "tokens_left": context - max_tokens - longest,
    }


def _next_power(tokens: int) -> int:
    return 1 << (tokens - 1).bit_length()
