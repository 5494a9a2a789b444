"""Training examples: dataset records turned into token ids and labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from haruon_tui.dataset import records
from haruon_tui.errors import ConfigurationError, StageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from haruon_tui.jobs.context import JobContext

IGNORED = -100
"""The label of a token that the loss does not count."""

GENERATION_MARK = "{% generation %}"
_PROBE = [
    {"role": "user", "content": "질문"},
    {"role": "assistant", "content": "대답"},
    {"role": "user", "content": "다시"},
    {"role": "assistant", "content": "또"},
]


@dataclass
class Examples:
    """Encoded examples, each with `input_ids` and `labels` of equal length, and the ids (or
    line numbers) of the records that were longer than allowed and are not among them."""

    encoded: list[dict[str, list[int]]] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)
    longest: int = 0


def load(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    loss_on: Literal["assistant", "all"],
    max_length: int,
    job: JobContext,
) -> Examples:
    """Encode every record of a JSONL file. Nothing is cut: a cut example has lost the token that
    ends it, and teaches a model not to stop.

    Raises ConfigurationError for a line that is no record, StageError when the chat template
    cannot be used or when no example is short enough.
    """
    template = training_template(tokenizer) if loss_on == "assistant" else None
    examples = Examples()
    for line in records.read(path):
        job.raise_if_stopped()
        if isinstance(line, records.BadLine):
            raise ConfigurationError(line.message, where=f"{path}:{line.number}")
        encoded = _encode(line.record, tokenizer, template, where=f"{path}:{line.number}")
        length = len(encoded["input_ids"])
        examples.longest = max(examples.longest, length)
        if length > max_length:
            name = line.record.get("metadata", {}).get("id", f"line {line.number}")
            examples.too_long.append(str(name))
        else:
            examples.encoded.append(encoded)
    if examples.too_long and not examples.encoded:
        raise StageError(
            f"every example is longer than max_length = {max_length} tokens",
            where=str(path),
            expected=f"at least {examples.longest} for the longest",
            do=f"set max_length = {examples.longest} under [train]",
        )
    return examples


def training_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """A chat template that renders as the tokenizer's own and marks what the assistant says.

    It is only used for encoding; the tokenizer keeps its own template. Raises StageError when
    there is none.
    """
    own = tokenizer.chat_template
    if not isinstance(own, str):
        raise StageError(
            "the base model has no chat template",
            where=str(tokenizer.name_or_path),
            expected="a chat_template in tokenizer_config.json, or chat_template.jinja",
            do="take an -Instruct model, such as Qwen/Qwen2-1.5B-Instruct",
        )
    if GENERATION_MARK in own:
        return own
    for candidate in _candidates(tokenizer):
        if _renders_alike(tokenizer, candidate, own):
            return candidate
    raise StageError(
        "no training template fits the base model's chat template",
        where=str(tokenizer.name_or_path),
        expected="a template that renders as Qwen2's, or one that TRL knows",
        do='set loss_on = "all" under [train], or add {% generation %} to the model\'s template',
    )


def _candidates(tokenizer: PreTrainedTokenizerBase) -> Iterable[str]:
    file = resources.files("haruon_tui.data") / "chat_templates" / "qwen2_training.jinja"
    yield file.read_text(encoding="utf-8").removesuffix("\n")
    from trl.chat_template_utils import get_training_chat_template

    try:
        known = get_training_chat_template(tokenizer)
    except ValueError:  # it knows a fixed set of templates, by their exact text
        return
    if known is not None:
        yield known


def _renders_alike(tokenizer: PreTrainedTokenizerBase, one: str, other: str) -> bool:
    system = [{"role": "system", "content": "지시"}]
    for messages in (_PROBE, system + _PROBE):
        texts = {
            tokenizer.apply_chat_template(messages, tokenize=False, chat_template=template)
            for template in (one, other)
        }
        if len(texts) > 1:
            return False
    return True


def _encode(
    record: dict[str, Any], tokenizer: PreTrainedTokenizerBase, template: str | None, where: str
) -> dict[str, list[int]]:
    messages = record.get("messages")
    if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
        raise ConfigurationError(
            "has no usable messages",
            where=where,
            expected='"messages": a list of {"role": text, "content": text}',
            do="`haruon data validate` names every fault of the file",
        )
    out = tokenizer.apply_chat_template(
        messages,
        tokenize=True,
        return_dict=True,
        chat_template=template,
        return_assistant_tokens_mask=template is not None,
    )
    ids = list(out["input_ids"])
    if template is None:
        return {"input_ids": ids, "labels": list(ids)}
    labels = [
        token if said else IGNORED for token, said in zip(ids, out["assistant_masks"], strict=True)
    ]
    if all(label == IGNORED for label in labels):
        raise ConfigurationError(
            "the assistant says nothing in it", where=where, expected="an assistant message"
        )
    return {"input_ids": ids, "labels": labels}


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str)
    )
