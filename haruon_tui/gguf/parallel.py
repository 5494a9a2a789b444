"""Several texts written at once by one GGUF: each pass reads the weights once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import llama_cpp

from haruon_tui.gguf.native import Model

_PASS = 2048
"""Tokens of one pass; llama.cpp's own limit."""

Entry = tuple[int, int, int, bool]
"""Token, its position, its text, and whether what follows it is asked for."""


@dataclass
class Written:
    """The tokens of one text, without the one that ended it; `stopped` when one did."""

    tokens: list[int] = field(default_factory=list)
    stopped: bool = False


class ParallelModel(Model):
    """A model opened for several `sequences`."""

    def __enter__(self) -> ParallelModel:
        return self

    def generate_all(
        self,
        prompts: Sequence[Sequence[int]],
        limit: int,
        on_pass: Callable[[int], None] = lambda longest: None,
    ) -> list[Written]:
        """Up to `limit` of the likeliest tokens after each prompt, in the order of the prompts,
        of which there are at most as many as sequences. `on_pass` gets the length of the longest
        text so far. Raises StageError when the context does not hold them.
        """
        self.forget()
        texts = [Written() for _ in prompts]
        batch = llama_cpp.llama_batch_init(_PASS, 0, 1)
        try:
            following = self._read(batch, prompts)
            for longest in range(1, limit + 1):
                for place, token in following.items():
                    if self.ends_generation(token):
                        texts[place].stopped = True
                    else:
                        texts[place].tokens.append(token)
                on_pass(longest)
                entries = [
                    (token, len(prompts[place]) + longest - 1, place, True)
                    for place, token in following.items()
                    if not texts[place].stopped
                ]
                if not entries or longest == limit:
                    break
                following = self._following(batch, entries)
        finally:
            llama_cpp.llama_batch_free(batch)
        return texts

    def _read(self, batch: Any, prompts: Sequence[Sequence[int]]) -> dict[int, int]:
        entries = [
            (token, position, place, position == len(prompt) - 1)
            for place, prompt in enumerate(prompts)
            for position, token in enumerate(prompt)
        ]
        following: dict[int, int] = {}
        for start in range(0, len(entries), _PASS):
            following |= self._following(batch, entries[start : start + _PASS])
        return following

    def _following(self, batch: Any, entries: Sequence[Entry]) -> dict[int, int]:
        """The likeliest next token of each text that asks for it."""
        batch.n_tokens = len(entries)
        for index, (token, position, place, asked) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = place
            batch.logits[index] = asked
        self._decode(batch)
        return {
            place: int(self._row(index).argmax())
            for index, (_, _, place, asked) in enumerate(entries)
            if asked
        }
