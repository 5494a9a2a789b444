"""The page of the rules says what the rules are."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "rules_page.py"


def test_the_page_of_the_rules_is_up_to_date() -> None:
    made = runpy.run_path(str(SCRIPT))
    assert made["PAGE"].read_text("utf-8") == made["page"](), "run python scripts/rules_page.py"
