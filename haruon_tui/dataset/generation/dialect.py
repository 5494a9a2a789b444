"""How a server wants to be asked: which structured output and which parameters it takes.

It is tried from the best down and learned from refusals, which cost nothing:

    json_schema      {"type": "json_schema"}, as OpenAI and vLLM take it
    object_schema    {"type": "json_object", "schema": …}, as llama-cpp-python takes it
    json_object      any JSON object
    text             nothing; the prompt alone asks for JSON
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from haruon_tui.dataset.generation import answer

Form = Literal["json_schema", "object_schema", "json_object", "text"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True)
class Dialect:
    """`completion_tokens` says max_completion_tokens instead of max_tokens; reasoning models take
    no `temperature`."""

    form: Form = "json_schema"
    completion_tokens: bool = False
    temperature: bool = True

    def arguments(
        self, levels: Mapping[str, str], *, max_tokens: int, temperature: float
    ) -> dict[str, Any]:
        """What is sent beside model and messages, for an example with these levels."""
        length = "max_completion_tokens" if self.completion_tokens else "max_tokens"
        sent: dict[str, Any] = {length: max_tokens}
        if self.temperature:
            sent["temperature"] = temperature
        if self.form == "json_schema":
            schema = {"name": "example", "strict": True, "schema": answer.schema()}
            sent["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.form == "object_schema":
            pinned = answer.schema(levels, bounded=True)
            sent["response_format"] = {"type": "json_object", "schema": pinned}
        elif self.form == "json_object":
            sent["response_format"] = {"type": "json_object"}
        return sent

    def after_refusal(self, words: str) -> Dialect | None:
        """What to try next when the server refused a request with these words; None when there is
        nothing left to leave out."""
        if not self.completion_tokens and "max_completion_tokens" in words:
            return replace(self, completion_tokens=True)
        if self.temperature and "temperature" in words:
            return replace(self, temperature=False)
        place = FORMS.index(self.form) + 1
        return replace(self, form=FORMS[place]) if place < len(FORMS) else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Dialect:
        """What as_dict wrote; the best dialect for anything else."""
        try:
            return cls(**written) if written.get("form") in FORMS else cls()
        except TypeError:
            return cls()
