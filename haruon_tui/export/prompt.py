"""The prompt as pieces: what stands around the five answers in the file's own chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from haruon_tui.dataset import persona
from haruon_tui.errors import StageError

_MARKS = {trait.key: f"⟦{trait.key}⟧" for trait in persona.TRAITS}
_PROBES = (
    {
        trait.key: f"  {trait.korean} 'q' {{{{ x }}}} \\n #{number}  "
        for number, trait in enumerate(persona.TRAITS)
    },
    {trait.key: "" for trait in persona.TRAITS},
)


class Renders(Protocol):
    def render_chat(self, messages: list[dict[str, str]]) -> str:
        """The prompt for these messages, ready for the answer."""
        ...


def pieces(model: Renders) -> list[str]:
    """Six texts: the prompt is the first, the first answer, the second, the second answer, …

    Raises StageError where the template does more with an answer than to write it down.
    """
    rest = model.render_chat(persona.prompt_messages(_MARKS))
    found = []
    for mark in _MARKS.values():
        before, there, rest = rest.partition(mark)
        if not there:
            raise _changes_answers()
        found.append(before)
    found.append(rest)
    for answers in _PROBES:
        if joined(found, answers) != model.render_chat(persona.prompt_messages(answers)):
            raise _changes_answers()
    return found


def joined(parts: list[str], answers: Mapping[str, str]) -> str:
    """The prompt for these answers."""
    given = [answers[trait.key] for trait in persona.TRAITS]
    return "".join(text for pair in zip(parts, [*given, ""], strict=True) for text in pair)


def _changes_answers() -> StageError:
    return StageError(
        "the chat template does more with the answers than to write them down",
        where="tokenizer.chat_template",
        expected="the prompt to be fixed text around the five answers",
        do="use a base whose template writes messages as they are, such as Qwen2's",
    )
