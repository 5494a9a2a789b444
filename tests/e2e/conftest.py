"""A workspace whose training takes seconds: a base built in a few steps, few examples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from haruon_tui.workspace import Workspace


@pytest.fixture(scope="session")
def quick_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 of the tiny shape, hardly trained: it loads, trains and merges like any other."""
    from haruon_tui.dataset import composer
    from haruon_tui.jobs.context import JobContext
    from haruon_tui.model import tiny

    folder = tmp_path_factory.mktemp("base")
    recipe = dataclasses.replace(tiny.RECIPE, steps=2, layers=2)
    texts = list(composer.base_corpus(recipe.seed))[:300]
    tiny.build(recipe, texts, folder / "model", JobContext.local(folder / "job"))
    return folder / "model"


@pytest.fixture
def quick_workspace(workspace: Workspace, quick_base: Path) -> Workspace:
    """Trains about fifty steps with checkpoints every ten."""
    workspace.file.write_text(
        f"""profile = "tiny"
[model]
base = "{quick_base}"
[dataset]
compose = 100
[train]
rank = 8
alpha = 16
epochs = 4
eval_every = 10
log_every = 1
"""
    )
    return workspace
