"""`haruon evaluate` from the shell: what is missing, the bar's exit code, the report, two runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from haruon_tui.dataset.persona import TRAITS
from tests.cli.test_command_line import haruon, spoken


@pytest.fixture(scope="session")
def small_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from haruon_tui.gguf.convert import convert
    from tests.gguf.conftest import build_model

    folder = build_model(tmp_path_factory.mktemp("gguf") / "model")
    out = folder.parent / "small.gguf"
    convert(folder, out)
    return out


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "제 사례.jsonl"
    keys = [trait.key for trait in TRAITS]
    lines = [
        {
            "id": f"mine-{n}",
            "group": "mine",
            "answers": dict.fromkeys(keys, "가끔 그래요." * n),
            "levels": dict.fromkeys(keys, "중간"),
        }
        for n in range(1, 4)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("evaluate needs the result of dataset", "haruon pipeline --to evaluate")),
        (("--model", "tuned"), ("evaluate needs the result of dataset",)),
        (("--model", "tuned", "--cases", "CASES"), ("'tuned'", "haruon pipeline --to merge")),
        (("--model", "F16", "--cases", "CASES"), ("'F16'", "haruon pipeline --to convert")),
        (("--model", "no.gguf", "--cases", "CASES"), ("'no.gguf' is no model", "base, adapter")),
        (("--model", "base", "--cases", "no.jsonl"), ("no.jsonl", "JSONL")),
        (("--history",), ("nothing was evaluated yet", "haruon evaluate")),
        (("--compare", "aaaa", "bbbb"), ("there is no run 'aaaa'",)),
    ],
)
def test_what_is_missing_is_named_with_the_stage_to_run(
    workspace, cases, arguments, words
) -> None:
    given = [str(cases) if one == "CASES" else one for one in arguments]
    result = haruon("evaluate", *given, folder=workspace.folder)
    assert result.returncode == 2
    assert result.stdout == ""
    for word in words:
        assert word in spoken(result)


def test_a_case_that_is_none_is_named_by_file_and_line(workspace, cases, small_gguf) -> None:
    cases.write_text(cases.read_text("utf-8") + '{"id": "x"}\n', "utf-8")
    result = haruon(
        "evaluate", "--model", str(small_gguf), "--cases", str(cases), folder=workspace.folder
    )
    assert result.returncode == 2
    assert f"{cases}:4" in spoken(result)


def test_a_gguf_on_cases_of_ones_own_from_evaluation_to_comparison(
    workspace, cases, small_gguf, tmp_path
) -> None:
    asked = (
        "evaluate", "--model", str(small_gguf), "--cases", str(cases),
        "--set", "evaluate.max_new_tokens=16",
    )  # fmt: skip
    page = tmp_path / "보고.html"
    first = haruon(*asked, "--html", str(page), folder=workspace.folder)
    assert first.returncode == 0, first.stderr
    assert "no proof that it behaves as the model it was made from" in spoken(first)
    assert "haruon gguf verify" in first.stderr
    assert page.read_text("utf-8").startswith("<!doctype html>")

    again = haruon(*asked, "--force", "--json", folder=workspace.folder)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["result"]["cases"] == 3
    assert list(document["result"]["models"]) == ["small"]

    barred = haruon(*asked, "--set", "evaluate.min_complete=0.5", folder=workspace.folder)
    assert barred.returncode == 1
    assert "below the bar: every section there: 0.0%, below 50.0%" in spoken(barred)
    assert "evaluate is done already" in barred.stderr

    history = haruon("evaluate", "--history", "--json", folder=workspace.folder)
    rows = json.loads(history.stdout)
    assert [(row["model"], row["cases"], row["stale"]) for row in rows] == [
        ("small", 3, False)
    ] * 2
    newest, oldest = (row["run"] for row in rows)
    assert rows[0]["figures"] == rows[1]["figures"]

    compared = haruon("evaluate", "--compare", oldest, f"{newest}:small", folder=workspace.folder)
    assert compared.returncode == 0
    assert "3 cases in common; no figure clearly differs" in compared.stdout
    wrong = haruon("evaluate", "--compare", oldest, f"{newest}:big", folder=workspace.folder)
    assert wrong.returncode == 2
    assert "the run has no model 'big'" in spoken(wrong)


def test_a_folder_is_no_file_for_the_report(workspace, cases, small_gguf) -> None:
    copied = Path(shutil.copy(small_gguf, workspace.folder / "own.gguf"))
    result = haruon(
        "evaluate", "--model", copied.name, "--cases", str(cases), "--html", ".",
        "--set", "evaluate.max_new_tokens=16", folder=workspace.folder,
    )  # fmt: skip
    assert result.returncode == 2
    assert "is a folder" in spoken(result)
