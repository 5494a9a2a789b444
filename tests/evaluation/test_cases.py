import json
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import persona
from haruon_tui.errors import ConfigurationError
from haruon_tui.evaluation.cases import Case, read_cases


def test_cases_are_read_in_order_and_ask_the_guides_prompt(
    cases: list[Case], cases_file: Path
) -> None:
    assert read_cases(cases_file) == cases
    assert cases[0].messages == persona.prompt_messages(cases[0].answers)


def test_the_limit_counts_per_group(cases_file: Path) -> None:
    assert [case.id for case in read_cases(cases_file, limit=1)] == ["c1", "c2"]


def write(path: Path, *cases: dict[str, Any]) -> Path:
    lines = [json.dumps(case, ensure_ascii=False) + "\n" for case in cases]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_a_wrong_case_is_named_by_line(case: Case, tmp_path: Path) -> None:
    good = case.model_dump()
    path = write(tmp_path / "cases.jsonl", good, good | {"id": "two", "levels": {}})
    with pytest.raises(ConfigurationError, match="levels") as failure:
        read_cases(path)
    assert failure.value.where == f"{path}:2"


def test_an_id_used_twice_is_an_error(case: Case, tmp_path: Path) -> None:
    path = write(tmp_path / "cases.jsonl", case.model_dump(), case.model_dump())
    with pytest.raises(ConfigurationError, match="'one' is used twice"):
        read_cases(path)


def test_no_case_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no evaluation case"):
        read_cases(write(tmp_path / "empty.jsonl"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_cases(tmp_path / "missing.jsonl")
