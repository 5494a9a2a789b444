"""The kit compiles against llama.rn's types, is clean, and its tests and the agreement hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from haruon_tui.export import kit
from tests.export.conftest import npm_run
from tests.export.corpus import SPOILT, corpus

_AGREEMENT = Path(__file__).with_name("agreement.test.ts")


def test_the_kit_compiles_against_the_types_of_llama_rn(checked_kit: Path) -> None:
    types = checked_kit / "node_modules" / "llama.rn" / "lib" / "typescript" / "index.d.ts"
    assert types.exists()
    read = npm_run(checked_kit, "tsc", "--noEmit", "--listFiles")
    assert str(types) in read
    assert str(checked_kit / "src" / "useOnDeviceSLLM.ts") in read


def test_the_kit_is_clean_under_its_linter(checked_kit: Path) -> None:
    assert npm_run(checked_kit, "eslint", ".") == ""


def test_the_rules_agree_with_python_and_the_tests_of_the_kit_pass(checked_kit: Path) -> None:
    there = checked_kit / "__tests__"
    found = corpus()
    shutil.copy(_AGREEMENT, there)
    (there / "corpus.json").write_text(json.dumps(found, ensure_ascii=True), encoding="utf-8")
    passed = re.search(r"Tests: +(\d+) passed, \d+ total", npm_run(checked_kit, "jest"))
    assert passed
    assert int(passed[1]) >= len(found["texts"]) + 90
    assert len(found["texts"]) > SPOILT + 700
    assert sum(bool(text["exact"]) for text in found["texts"]) > 400


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((kit.source() / "package-lock.json").read_text("utf-8"))
    assert len(lock["packages"]) > 100
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
