"""Which quantization is recommended, and how the phone's limits are worked out."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from haruon_tui.comparison import phone
from haruon_tui.comparison.choice import choose, pareto

GB = 1_000_000_000


def row(kind: str, size: float, divergence: float, ratio: float, **more: Any) -> dict[str, Any]:
    """A row at Qwen2-1.5B's shape: 56 MiB of cache and 303 MiB to compute in."""
    return {
        "type": kind,
        "file": f"model.{kind}.gguf",
        "bytes": round(size * GB),
        "buffers": {"model": round(size * GB), "KV": 56 << 20, "compute": 303 << 20},
        "quality": {"divergence": [divergence, 0.0], "perplexity_ratio": [ratio, 0.0]},
        **more,
    }


ROWS = [
    row("F16", 3.094, 0.0, 1.0),
    row("Q4_0", 0.935, 0.09, 1.066),
    row("Q4_1", 1.017, 0.07, 1.035),
    row("Q4_K_M", 0.986, 0.05, 1.031),
    row("Q5_K_M", 1.125, 0.02, 1.010),
    row("Q8_0", 1.647, 0.001, 1.002),
]


def changed(**limits: Any) -> phone.Phones:
    """data/phones with other limits."""
    file = resources.files("haruon_tui.data.phones") / "phones.json"
    read = json.loads(file.read_text("utf-8"))
    read["limits"] |= limits
    return phone.load(json.dumps(read))


def test_sizes_are_exact_and_times_are_ranges_by_the_formula() -> None:
    known = phone.load()
    target = known.target
    app, memory, load, report = phone.budget(ROWS[3], target, known)
    assert (app.least, app.most) == (0.986 * GB + known.app_bytes_besides_model,) * 2
    assert memory.least == memory.most == 0.986 * GB + (56 << 20) + (303 << 20)
    assert not app.estimated
    assert not memory.estimated
    assert load.estimated
    assert report.estimated
    read = 0.986 * GB + (56 << 20)
    assert report.least == pytest.approx(500 * read / (0.75 * 51.2e9))
    assert report.most == pytest.approx(500 * read / (0.6 * 51.2e9))
    assert load.least < load.most < 5


def test_a_limit_inside_the_range_of_an_estimate_stays_open() -> None:
    known = phone.load()
    verdicts = {
        row["type"]: [figure.verdict for figure in phone.budget(row, known.target, known)]
        for row in ROWS
    }
    assert verdicts["Q4_K_M"] == ["kept", "kept", "kept", "open"]
    assert verdicts["Q5_K_M"] == ["kept", "kept", "kept", "broken"]
    assert verdicts["Q8_0"][0] == "broken"
    assert verdicts["F16"] == ["broken", "broken", "kept", "broken"]


def test_the_recommendation_changes_when_a_limit_changes() -> None:
    usual = choose(ROWS, phone.load())
    assert usual.file == "model.Q4_K_M.gguf"
    assert "may keep" in usual.sentence
    assert "+3.1 %" in usual.sentence
    slower = choose(ROWS, changed(report_seconds=60))
    assert slower.file == "model.Q5_K_M.gguf"
    assert "may keep" not in slower.sentence
    larger = choose(ROWS, changed(report_seconds=60, app_bytes=2 * GB, memory_bytes=3 * GB))
    assert larger.file == "model.Q8_0.gguf"
    smaller = choose(ROWS, changed(app_bytes=1.0 * GB))
    assert smaller.file == "model.Q4_0.gguf"
    none = choose(ROWS, changed(app_bytes=0.5 * GB))
    assert none.file == "model.Q4_0.gguf"
    assert "No file keeps" in none.sentence
    assert "app takes 0.99 of 0.50 GB" in none.sentence


def test_a_large_loss_asks_for_a_look_at_the_reports() -> None:
    rows = [ROWS[1], row("Q4_1", 1.017, 0.1, 1.07)]
    assert "read its reports first" in choose(rows, phone.load()).sentence


def test_broken_rows_and_rows_without_quality_are_not_recommended() -> None:
    broken = row("Q4_0", 0.9, 0.0, 1.0, error="ended by SIGSEGV")
    unmeasured = {**ROWS[1]}
    del unmeasured["quality"]
    assert choose([broken, unmeasured], phone.load()).file is None
    assert choose([broken, unmeasured, ROWS[3]], phone.load()).file == "model.Q4_K_M.gguf"


def test_the_front_holds_what_no_other_file_beats_in_size_and_divergence() -> None:
    assert pareto(ROWS) == [
        "model.Q4_0.gguf",
        "model.Q4_K_M.gguf",
        "model.Q5_K_M.gguf",
        "model.Q8_0.gguf",
        "model.F16.gguf",
    ]
