"""The kit compiles against llama.rn's types, is clean, and its tests and the agreement hold."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from haruon_tui.export import kit
from haruon_tui.export.rule_data import rule_data
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
    found = corpus()
    _put_agreement(checked_kit, found)
    passed = re.search(r"Tests: +(\d+) passed, \d+ total", npm_run(checked_kit, "jest"))
    assert passed
    assert int(passed[1]) >= len(found["texts"]) + 90
    assert len(found["texts"]) > SPOILT + 700
    assert sum(bool(text["exact"]) for text in found["texts"]) > 400


def test_the_guides_rule_set_agrees_as_well(checked_kit: Path) -> None:
    rules = checked_kit / "src" / "generated" / "rules.json"
    kept = rules.read_text("utf-8")
    try:
        rules.write_text(json.dumps(rule_data("guide"), ensure_ascii=False), encoding="utf-8")
        found = corpus("guide")
        _put_agreement(checked_kit, found)
        words = npm_run(checked_kit, "jest", "agreement", "report", "ReportScreen")
    finally:
        rules.write_text(kept, encoding="utf-8")
    passed = re.search(r"(\d+) passed, \d+ total", words.partition("Tests:")[2])
    assert passed
    assert int(passed[1]) >= len(found["texts"])
    assert sum(bool(text["exact"]) for text in found["texts"]) > 400


def _put_agreement(folder: Path, found: dict[str, Any]) -> None:
    there = folder / "__tests__"
    shutil.copy(_AGREEMENT, there)
    (there / "corpus.json").write_text(json.dumps(found, ensure_ascii=True), encoding="utf-8")


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((kit.source() / "package-lock.json").read_text("utf-8"))
    assert len(lock["packages"]) > 100
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
