"""The two Qwen2-1.5B bases that the guide leaves open, and what the choice between them means."""

from __future__ import annotations

from importlib import resources

from pydantic import BaseModel, ConfigDict, TypeAdapter


class Choice(BaseModel):
    """Published values of a base model on the Hub; `meaning` is for the one who chooses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    parameters: int
    bytes: int
    context: int
    chat_template: str
    tokenizer_eos: str
    generation_stops: str
    tied_embeddings: bool
    license: str
    meaning: str


class _File(BaseModel):
    source: str
    models: tuple[Choice, ...]


def choices() -> tuple[Choice, ...]:
    """The models of data/models/qwen2.json, the base first."""
    text = resources.files("haruon_tui.data.models").joinpath("qwen2.json").read_text("utf-8")
    return TypeAdapter(_File).validate_json(text).models


def rows(both: tuple[Choice, ...]) -> list[tuple[str, ...]]:
    """Names and values to compare, one value for each model."""
    return [
        ("", *(c.kind for c in both)),
        ("tokenizer's eos", *(c.tokenizer_eos for c in both)),
        ("generation stops", *(c.generation_stops for c in both)),
        ("chat template", *(c.chat_template for c in both)),
        ("context", *(f"{c.context:,} tokens" for c in both)),
        ("parameters", *(f"{c.parameters / 1e6:,.1f} M" for c in both)),
        ("download", *(f"{c.bytes / 1e9:.2f} GB" for c in both)),
        ("output layer", *("tied" if c.tied_embeddings else "its own" for c in both)),
        ("licence", *(c.license for c in both)),
    ]
