"""What the Chat screen reads of a workspace: its models, its evaluation cases, its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruon_tui.chat.models import files_in
from haruon_tui.chat.tree import ROOT, Turn
from haruon_tui.dataset.persona import user_turn
from haruon_tui.screens.reading import read_page

PREFERRED = "Q4_K_M"


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file of this workspace."""

    path: Path
    bytes: int

    @property
    def type(self) -> str:
        return self.path.name.removesuffix(".gguf").rpartition(".")[2]


def model_files(folders: list[Path]) -> list[ModelFile]:
    """The GGUF files in these folders."""
    return [ModelFile(path, path.stat().st_size) for path in files_in(folders)]


def default_model(files: list[ModelFile]) -> Path | None:
    """The preferred type, else the first."""
    preferred = [file.path for file in files if file.type == PREFERRED]
    return next(iter(preferred or [file.path for file in files]), None)


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The first cases of a cases.jsonl. Raises OSError."""
    return [case for case in read_page(path).items if case and "answers" in case]


def quoted(answer: dict[str, Any]) -> Turn:
    """The chat stage's answer.json as a turn."""
    of = answer.get("timings") or {}
    words = [f"{of.get('generated_tokens', 0)} tokens"]
    if of.get("time_to_first_token") is not None:
        words.append(f"first after {of['time_to_first_token']:.2f} s")
    if of.get("tokens_per_second") is not None:
        words.append(f"{of['tokens_per_second']:.1f} tokens/s")
    words.append("ended by itself" if answer.get("stopped") else "did not end by itself")
    return Turn(
        number=-1,
        parent=ROOT,
        prompt=user_turn(answer["case"]["answers"]),
        model=str(answer.get("model", "")),
        answer=str(answer.get("text", "")),
        note=", ".join(words),
        open=False,
        quoted=True,
    )
