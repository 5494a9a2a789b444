"""The page in a real browser where there is one; what it must never hold in any."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.evaluation import html_report, stage
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.generate import Generation
from haruon_tui.evaluation.scoring import score

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
EVIL = (
    "</pre><script>console.error('run')</script><img src=http://x.example/a onerror=alert(1)>\x1b"
)


def lines_and_document(cases: list[Case], texts: dict[str, str]) -> tuple[Any, Any]:
    lines, models = [], {}
    for name, text in texts.items():
        made = {
            case.id: Generation(
                case=case.id, text=text, prompt_tokens=9, tokens=40, stopped=True, seconds=0.1
            )
            for case in cases
        }
        scored = [(case, score(case, text, True, 40, "calibrated")) for case in cases]
        models[name] = stage.report(scored, made, 7, "transformers, cpu, float32")
        lines += [stage.line(name, case, made[case.id], one) for case, one in scored]
    result = stage.Result(
        summary="so & so <b>",
        cases=len(cases),
        models=models,
        judged={"tuned": {"warm": 4.5, "reports": 5}},
    )
    params = stage.Params(
        names=list(texts),
        models=[Path(name) for name in texts],
        cases=[Path("cases.jsonl")],
        max_new_tokens=8,
        batch_size=2,
    )
    return stage.document(params, result), lines


@pytest.fixture
def page(cases: list[Case], report: str) -> str:
    evil = cases[0].model_copy(
        update={"id": EVIL, "answers": dict.fromkeys(cases[0].answers, EVIL)}
    )
    document, lines = lines_and_document(
        [evil, *cases[1:]], {"base": f"{EVIL} {report}", f"tuned{EVIL}": report}
    )
    return html_report.page(document, lines, title=EVIL)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_no_text_becomes_an_element_and_nothing_is_fetched(page: str) -> None:
    elements = Elements(page).found
    assert {"svg", "table", "details"} <= {tag for tag, _ in elements}
    assert not {"script", "img", "iframe", "object"} & {tag for tag, _ in elements}
    addresses = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "data", "action", "style")
    ]
    assert addresses == ["data:,"]
    assert not re.search(r"@import|url\(", page)
    assert "\x1b" not in page


def test_every_part_is_there(page: str) -> None:
    for words in (
        "Figures over all cases", "held-out combinations", "Persona qualities",
        "개방성 (Openness)",
        "The judge", "The worst reports", "Rules that found something", "percentile bootstrap",
    ):  # fmt: skip
        assert words in page


@pytest.mark.parametrize("count", [1, 9])
def test_one_model_or_many_make_a_page(cases: list[Case], report: str, count: int) -> None:
    document, lines = lines_and_document(cases, {f"m{n}": report for n in range(count)})
    page = html_report.page(document, lines, title="run")
    assert page.count("<li><span class='swatch") == count


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_browser_opens_it_without_network_and_has_nothing_to_say(
    page: str, tmp_path: Path
) -> None:
    assert console(page, tmp_path / "page") == []
    noisy = page.replace("</main>", "<script>1</script></main>")
    assert console(noisy, tmp_path / "noisy")  # what is wrong would be seen


def console(page: str, folder: Path) -> list[str]:
    """What the console of a headless Chromium without network says of the page."""
    folder.mkdir()
    (folder / "page.html").write_text(page, "utf-8")
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "The worst reports" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]
