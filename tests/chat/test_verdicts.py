from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.chat.verdicts import About, Reported, Round
from haruon_tui.dataset import golden, records
from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case, read_cases
from haruon_tui.evaluation.scoring import score
from haruon_tui.evaluation.summary import summarise
from tests.dataset.bad_records import BAD

ABOUT = About("model.Q4_K_M.gguf", "/models/model.Q4_K_M.gguf", "calibrated", "run-1")
CASES = read_cases(golden.cases_file())
TEXTS = [records.content(bad.record, "assistant") for bad in BAD]


def reported(case: Case, text: str, *, of_set: bool = True) -> Reported:
    scored = score(case, text, True, len(text), ABOUT.rules)
    return Reported(case, of_set, text, "stop", len(text), scored)


_CHILD = """
import sys
from pathlib import Path
from haruon_tui.chat.verdicts import Round
from tests.chat.test_verdicts import ABOUT, CASES, TEXTS, reported

kept = Round.begin(Path(sys.argv[1]), ABOUT)
for number, case in enumerate(CASES):
    kept.add_report(reported(case, TEXTS[number]))
    kept.say(case.id, "good" if number % 2 else "bad")
    kept.note(case.id, f"메모 {number} 👍")
    print(number, flush=True)
"""


def test_what_is_said_to_be_saved_survives_kill_9(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout
    for line in child.stdout:
        if int(line) == 4:
            os.kill(child.pid, signal.SIGKILL)
            break
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    found = Round.last(tmp_path, ABOUT)
    assert found is not None
    for number, case in enumerate(CASES[:5]):
        one = found.reports[case.id]
        assert (one.case, one.text) == (case, TEXTS[number])
        assert one.verdict == ("good" if number % 2 else "bad")
        assert one.note == f"메모 {number} 👍"
        assert one.score == score(case, TEXTS[number], True, len(TEXTS[number]), "calibrated")


def test_a_line_cut_off_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    kept = Round.begin(tmp_path, ABOUT)
    kept.add_report(reported(CASES[0], TEXTS[0]))
    kept.say(CASES[0].id, "bad")
    whole = kept.path.read_bytes()
    for cut in range(1, 60):
        kept.path.write_bytes(whole[:-cut])
        read = Round.read(kept.path)
        assert read is not None
        read.note(CASES[0].id, "뒤에")
        again = Round.read(kept.path)
        assert again is not None
        assert again.reports[CASES[0].id].note == "뒤에"
        assert again.reports[CASES[0].id].verdict in (None, "bad")


def test_a_new_report_of_a_case_has_no_verdict_yet_and_the_last_word_holds(tmp_path: Path) -> None:
    kept = Round.begin(tmp_path, ABOUT)
    kept.add_report(reported(CASES[0], TEXTS[0]))
    kept.say(CASES[0].id, "bad")
    kept.say(CASES[0].id, "unsure")
    kept.note(CASES[0].id, "zuerst")
    assert kept.reports[CASES[0].id].verdict == "unsure"
    kept.add_report(reported(CASES[0], TEXTS[1]))
    assert (kept.reports[CASES[0].id].verdict, kept.reports[CASES[0].id].note) == (None, "")
    read = Round.read(kept.path)
    assert read is not None
    assert read.reports == kept.reports


def test_the_tally_is_what_evaluate_says_of_the_same_outputs(tmp_path: Path) -> None:
    kept = Round.begin(tmp_path, ABOUT)
    scored = []
    for number, case in enumerate(CASES):
        one = reported(case, TEXTS[number * 3])
        kept.add_report(one)
        scored.append((case, one.score))
    kept.say(CASES[0].id, "good")
    kept.note(CASES[2].id, "짧다")
    own = CASES[0].model_copy(update={"id": "own", "levels": {}})
    kept.add_report(reported(own, TEXTS[0], of_set=False))
    read = Round.last(tmp_path, ABOUT)
    assert read is not None
    tally = read.tally(CASES)
    assert tally.groups == summarise(scored)
    assert tally.reports == len(CASES)
    assert tally.verdicts == {"good": 1, "bad": 0, "unsure": 0, "none": len(CASES) - 1}
    assert tally.notes == [(CASES[2].id, "짧다")]


def test_only_a_round_of_the_same_model_rules_and_cases_is_gone_on_with(tmp_path: Path) -> None:
    assert Round.last(tmp_path, ABOUT) is None
    kept = Round.begin(tmp_path, ABOUT)
    kept.add_report(reported(CASES[0], "짧은 글\ud800"))  # a lone surrogate
    (kept.path.parent / "99999999-rubbish.jsonl").write_bytes(b"\xff\x00 no round\n")
    found = Round.last(tmp_path, ABOUT)
    assert found is not None
    assert found.path == kept.path
    assert found.reports[CASES[0].id].text == "짧은 글\ud800"
    assert Round.last(tmp_path, About(ABOUT.model, "/elsewhere", "calibrated", "run-1")) is None


def test_what_cannot_be_written_counts_as_not_said(tmp_path: Path) -> None:
    (tmp_path / "chat").write_text("a file where the folder should be")
    kept = Round.begin(tmp_path, ABOUT)
    with pytest.raises(StageError) as refused:
        kept.add_report(reported(CASES[0], TEXTS[0]))
    assert "not saved" in refused.value.what
    assert kept.reports == {}


def test_every_line_is_ascii_json_with_its_kind(tmp_path: Path) -> None:
    kept = Round.begin(tmp_path, ABOUT)
    kept.add_report(reported(CASES[0], TEXTS[0]))
    kept.say(CASES[0].id, "good")
    lines = [json.loads(line) for line in kept.path.read_bytes().decode("ascii").splitlines()]
    assert [line["kind"] for line in lines] == ["round", "report", "verdict"]
