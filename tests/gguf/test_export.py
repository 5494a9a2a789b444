"""`haruon gguf export` and `sizes` work on any folder and file, without a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from haruon_tui.cli.parser import parse
from haruon_tui.cli.run import run
from haruon_tui.gguf.quantize import FILE_TYPES

from .conftest import QWEN2_TEMPLATE


def test_a_folder_becomes_a_proven_file(
    tied_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "모델.gguf"
    command = ["gguf", "export", str(tied_model), str(out), "--type", "BF16", "--json"]
    assert run(parse(command)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(out)
    assert told["bytes"] == out.stat().st_size
    assert all(check["ok"] for check in told["checks"])
    assert [path.name for path in tmp_path.iterdir()] == ["모델.gguf"]


def test_a_file_that_fails_is_kept_under_a_name_that_says_so(
    copied_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    template = copied_model / "chat_template.jinja"
    template.write_text("안녕! " + QWEN2_TEMPLATE, encoding="utf-8")
    out = tmp_path / "out" / "model.gguf"
    assert run(parse(["gguf", "export", str(copied_model), str(out)])) == 1
    assert [path.name for path in out.parent.iterdir()] == ["model.failed-proof.gguf"]
    assert "FAILS  prompts" in capsys.readouterr().out


def test_sizes_are_told_and_nothing_is_made(
    tied_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tied_gguf.parent.iterdir())
    assert run(parse(["gguf", "sizes", str(tied_gguf), "--json"])) == 0
    told = json.loads(capsys.readouterr().out)
    assert {entry["type"] for entry in told} == set(FILE_TYPES)
    assert [e["bytes"] for e in told] == sorted(e["bytes"] for e in told)
    assert sorted(tied_gguf.parent.iterdir()) == before
