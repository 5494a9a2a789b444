"""The kit for React Native: its source from data/app_kit, and what is generated beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from haruon_tui.evaluation.cases import Case
from haruon_tui.export.patterns import character_tables
from haruon_tui.export.prompt import joined
from haruon_tui.export.rule_data import form_data, rule_data

GENERATED = Path("src", "generated")
GOLDEN = Path("__tests__", "golden.json")

README = "README.md"
"""For the team of the app; it lies above the kit."""

_NOT_THE_KIT = frozenset({README, "__init__.py", "__pycache__", "node_modules", "coverage"})


def source() -> Path:
    """Where the kit's source lies."""
    return Path(str(files("haruon_tui.data.app_kit")))


def write(
    folder: Path, manifest: Mapping[str, Any], pieces: list[str], cases: Iterable[Case]
) -> None:
    """Write the kit for the model of `manifest` into the new folder `folder`.

    Beside the source: src/generated (the manifest, the prompt's pieces, the rules, the characters)
    and the golden prompts of the evaluation cases for its tests.
    """
    shutil.copytree(source(), folder, ignore=lambda _, names: _NOT_THE_KIT & set(names))
    generated = folder / GENERATED
    generated.mkdir(parents=True)
    rules = rule_data(manifest["rules"]["name"])
    _write(generated / "manifest.json", manifest)
    _write(generated / "prompt.json", {"pieces": pieces})
    _write(generated / "rules.json", rules)
    _write(generated / "form.json", form_data())
    _write(generated / "characters.json", character_tables(), indent=None)
    golden = [
        {"id": case.id, "answers": case.answers, "prompt": joined(pieces, case.answers)}
        for case in cases
    ]
    _write(folder / GOLDEN, golden)


def _write(path: Path, value: Any, *, indent: int | None = 1) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
