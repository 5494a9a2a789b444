"""What is exported says what was measured, and nothing is written over."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.comparison import export, phone
from haruon_tui.comparison.columns import columns, sort_rows, with_error
from haruon_tui.comparison.rows import load_note, read_rows, reports_right
from haruon_tui.errors import ConfigurationError

KNOWN = phone.load()


def report(case: str, text: str, *, complete: bool, right: bool, safe: bool) -> dict[str, Any]:
    traits = {"openness": {"expected": "높음", "found": "높음" if right else "낮음"}}
    score = {"complete": complete, "safe": safe, "traits": traits}
    return {"case": case, "text": text, "tokens": 9, "stopped": True, "score": score}


GOOD: dict[str, Any] = {
    "type": "Q4_K_M",
    "file": "model.Q4_K_M.gguf",
    "loads": True,
    "bytes": 986_048_123,
    "bits_per_weight": 4.876,
    "peak_rss_bytes": 1_345_678_848,
    "load_seconds": 0.5123,
    "load_cold_seconds": 2.25,
    "prompt": {"tokens": 512, "mean": 1234.56, "sd": 10.52, "samples": [1224.04, 1245.08]},
    "generate": {"tokens": 128, "mean": 34.51, "sd": 0.42, "samples": [34.09, 34.93]},
    "context": 2048,
    "buffers": {"model": 940_000_000, "KV": 58_720_256, "compute": 317_718_528},
    "quality": {
        "tokens": 2040,
        "chunks": 8,
        "perplexity": [12.3456, 0.41],
        "perplexity_ratio": [1.0312345678901234, 0.0021],
        "divergence": [0.0521, 0.0013],
        "same_top": [0.9123, 0.0044],
        "rms_probability_change": [0.0312, 0.0009],
    },
    "reports": [
        report("a", "개방성: 높음 | \n=1+1", complete=True, right=True, safe=True),
        report("b", "다른 글", complete=False, right=True, safe=True),
    ],
    "busy_percent": 3.4,
}
FAILED: dict[str, Any] = {
    "type": "Q4_0",
    "file": "model.Q4_0.gguf",
    "bytes": 935,
    "loads": False,
    "reports": [],
    "error": "ended by SIGABRT: a | <b>pipe</b>\nand \x1b[31ma line",
    "busy_percent": 43.0,
}
ROWS = [GOOD, FAILED]


def test_csv_gives_every_figure_back_as_it_was_measured() -> None:
    read = list(csv.DictReader(io.StringIO(export.export(ROWS, "csv", KNOWN))))
    for row, line in zip(ROWS, read, strict=True):
        known = export.flat(row, KNOWN)
        assert {name: text for name, text in line.items() if text} == {
            name: str(value) for name, value in known.items() if value != ""
        }
    good, failed = read
    assert float(good["perplexity_ratio"]) == GOOD["quality"]["perplexity_ratio"][0]
    assert float(good["prompt_tokens_per_s"]) == 1234.56
    assert int(good["bytes"]) == GOOD["bytes"]
    assert int(good["phone_memory_bytes"]) == sum(GOOD["buffers"].values())
    assert float(good["phone_report_s_estimate_least"]) > 0
    assert float(good["phone_report_s_estimate_least"]) < float(
        good["phone_report_s_estimate_most"]
    )
    assert (good["reports_complete"], good["reports_levels"]) == ("1", "2")
    assert "SIGABRT" in failed["error"]
    assert failed["divergence"] == ""


def test_json_gives_the_rows_back_with_their_reports() -> None:
    read = json.loads(export.export(ROWS, "json", KNOWN))
    assert read["rows"] == ROWS
    assert read["recommended"] == "model.Q4_K_M.gguf"
    kinds = [limit["kind"] for limit in read["limits"]["model.Q4_K_M.gguf"]]
    assert kinds == ["measured", "measured", "estimate", "estimate"]


def test_markdown_is_one_table_whatever_a_text_holds() -> None:
    text = export.export(ROWS, "md", KNOWN)
    table = [line for line in text.splitlines() if line.startswith("|")]
    shown = columns(KNOWN.target, KNOWN)
    assert len(table) == 2 + len(ROWS)
    assert {line.replace("\\|", "").count("|") for line in table} == {len(shown) + 1}
    assert "\x1b" not in text
    assert "Take Q4\\_K\\_M" in text
    assert "estimate " in table[2]
    assert "SIGABRT" in text


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "comparison.md"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        export.write(ROWS, path, "md", KNOWN, replace=False)
    assert path.read_text() == "mine"
    export.write(ROWS, path, "md", KNOWN, replace=True)
    assert "Q4\\_K\\_M" in path.read_text("utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export.write(ROWS, path / "below.md", "md", KNOWN, replace=True)


def test_what_is_not_known_sorts_last_in_either_direction() -> None:
    by = {column.key: column for column in columns(KNOWN.target, KNOWN)}
    small = {**GOOD, "type": "Q4_1", "quality": {**GOOD["quality"], "divergence": [0.1, 0.01]}}
    rows = [FAILED, small, GOOD]
    for reverse, expected in ((False, ["Q4_K_M", "Q4_1", "Q4_0"]), (True, ["Q4_1", "Q4_K_M"])):
        made = [row["type"] for row in sort_rows(rows, by["divergence"], reverse=reverse)]
        assert made[: len(expected)] == expected
        assert made[-1] == "Q4_0"


def test_cells_say_what_is_measured_and_what_is_estimated() -> None:
    for column in columns(KNOWN.target, KNOWN):
        cell = column.cell(GOOD)
        assert cell != "–", column.key
        assert cell.startswith("estimate ") == column.estimated, column.key
        assert column.cell({}) in ("–", "?"), column.key


def test_an_error_decides_how_many_digits_are_shown() -> None:
    assert with_error(0.0521, 0.0013) == "0.052±0.001"
    assert with_error(1.03123, 0.00021) == "1.0312±0.0002"
    assert with_error(1e-9, 1e-10) == "0"
    assert with_error(1.0, 0.0) == "1"
    assert with_error(4e-5, 2e-6) == "4e-05"


def test_reports_are_counted_by_what_is_right_in_them() -> None:
    assert reports_right(GOOD) == {"complete": 1, "levels": 2, "safe": 2, "of": 2}
    assert reports_right(FAILED) is None


def test_a_busy_machine_is_named_with_the_rows_it_spoils() -> None:
    assert "not idle" in load_note(ROWS)
    assert "Q4_0" in load_note(ROWS)
    assert "Q4_K_M" not in load_note(ROWS)
    assert "speeds hold" in load_note([GOOD])
    assert load_note([{"type": "F16"}]) == ""


def test_damaged_rows_are_left_out_and_the_others_stay(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    damaged: list[Any] = [
        3,
        {"row": 3},
        {"row": {}},
        {"row": {**GOOD, "prompt": 5}},
        {"row": {**GOOD, "quality": {"divergence": ["x", 1]}}},
        {"row": {**GOOD, "buffers": {"KV": 1}}},
        {"row": {**GOOD, "reports": [4]}},
    ]
    for at, content in enumerate([*damaged, {"row": GOOD}]):
        (scratch / f"{at}.row.json").write_text(json.dumps(content), "utf-8")
    (scratch / "half.row.json").write_text('{"row": {"type"')
    assert read_rows(tmp_path) == [GOOD]


def test_the_command_says_where_nothing_was_compared(tmp_path: Path) -> None:
    from haruon_tui.workspace import Workspace

    Workspace.init(tmp_path, "tiny")
    done = subprocess.run(
        [sys.executable, "-m", "haruon_tui", "gguf", "table", "-C", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "haruon gguf compare" in done.stderr
    assert "Traceback" not in done.stderr
