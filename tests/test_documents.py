"""What the documents point to is there: pages, pictures, tests, benches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_page_picture_test_and_bench_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [path for path in re.findall(r"\btests/[\w/.]+\w", text) if not _there(path)]
    missing += [
        name
        for name in re.findall(r"-m bench (\w+)", text)
        if not (ROOT / "bench" / f"{name}.py").is_file()
    ]
    missing += sorted(set(re.findall(r"`(test_\w+)`", text)) - _tests())
    assert not missing


def _there(path: str) -> bool:
    return (ROOT / path).exists()


def _tests() -> set[str]:
    sources = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py")]
    return {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
