"""The generation against a server that fails in every way: nothing is lost, nothing leaks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import records, rules
from haruon_tui.dataset.generation import plan, stage
from haruon_tui.dataset.generation.ledger import read
from haruon_tui.dataset.validator import Validator, is_valid
from haruon_tui.errors import StageError, Stopped
from haruon_tui.jobs.context import JobContext
from tests.dataset.generation_server import GenerationServer

KEY = "sk-test-9f8e7d6c5b4a39281706"
KEY_NAME = "HARUON_TEST_KEY"

Generate = Callable[..., stage.Result]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, KEY)


def params(url: str, folder: Path, **changed: Any) -> stage.Params:
    given: dict[str, Any] = {
        "provider": "openai",
        "base_url": url,
        "model": "gpt-4o-mini",
        "api_key_env": KEY_NAME,
        "count": 6,
        "examples": 0,
        "temperature": 0.9,
        "max_tokens": 600,
        "tries": 1,
        "seed": 7,
        "in_flight": 3,
        "timeout": 20.0,
        "budget": 0.0,
        "token_budget": 0,
        "retries": 4,
        "backoff_seconds": 0.01,
        "give_up_after": 10,
        "rules_file": rules.file_of("calibrated"),
        "ledgers": folder / "generation",
    }
    return stage.Params(**(given | changed))


@pytest.fixture
def generate(tmp_path: Path) -> Generate:
    """Run the stage in this process; its artefacts are in tmp_path/run/artifacts."""

    def call(url: str, **changed: Any) -> stage.Result:
        job = JobContext.local(tmp_path / "run")
        try:
            return stage.run(params(url, tmp_path, **changed), job)
        finally:
            job.writer.close()

    return call


def accepted(folder: Path) -> list[records.Record]:
    lines = list(records.read(folder / "run" / "artifacts" / "accepted.jsonl"))
    assert all(isinstance(line, records.Line) for line in lines)
    return [line.record for line in lines if isinstance(line, records.Line)]


def first(*faults: str) -> Callable[[int], str]:
    """These faults, then good answers."""
    return lambda number: faults[number] if number < len(faults) else "good"


def log_of(folder: Path) -> str:
    return (folder / "run" / "events.jsonl").read_text("utf-8")


def require_plan(found: list[records.Record], count: int) -> None:
    """Each slot's example once, valid, with the levels that were asked for."""
    assert len({item["metadata"]["id"] for item in found}) == len(found) == count
    checks = Validator("calibrated")
    for number, item in enumerate(found):
        assert item["metadata"]["levels"] == plan.levels(number, 7)
        assert item["metadata"]["source"] == "generated"
        assert is_valid(checks.check(item))


def test_every_fault_is_survived_and_every_example_there_once(
    generate: Generate, tmp_path: Path
) -> None:
    faults = ("429", "500", "cut", "html", "invalid", "schema", "label", "echo")
    with GenerationServer(first(*faults)) as server:
        result = generate(server.url, count=8, tries=3)
    require_plan(accepted(tmp_path), 8)
    assert result.accepted == 8
    assert result.repaired >= 1
    assert result.failures == {
        "rate limit": 1,
        "server error": 2,
        "cut off": 1,
        "no answer": 1,
    }
    assert server.faults - Counter(good=server.faults["good"]) == Counter(faults)
    assert result.input_tokens == 1000 * sum(server.answered.values())
    assert result.output_tokens == 500 * sum(server.answered.values())
    assert result.lost_tokens > 0  # the cut one and the page may have been paid for


def test_a_timeout_is_tried_again_and_counted_as_maybe_paid(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer(first("good", "timeout")) as server:
        result = generate(server.url, count=2, timeout=1.5, in_flight=1)
    assert result.accepted == 2
    assert result.failures == {"timeout": 1}
    assert result.lost_tokens > 600
    assert "no answer in 1.5 s" in log_of(tmp_path)


def test_what_no_repair_mends_is_rejected_with_its_reasons(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer(first("stubborn", "stubborn")) as server:
        result = generate(server.url, count=2, in_flight=1)
    assert result.accepted == 1
    assert result.missing == result.rejected == 1
    assert set(result.reasons) == {"stated-diagnosis", "implied-diagnosis"}
    [line] = (tmp_path / "run" / "artifacts" / "rejected.jsonl").read_text("utf-8").splitlines()
    rejected = json.loads(line)
    assert rejected["slot"] == 0
    assert rejected["levels"] == plan.levels(0, 7)
    assert {reason["rule"] for reason in rejected["reasons"]} == set(result.reasons)
    assert "우울증" in rejected["text"]
    repair = server.bodies[1]["messages"]
    assert "우울증" in repair[-2]["content"]
    assert "report.summary" in repair[-1]["content"]


def test_a_slot_that_stays_wrong_is_asked_for_anew_with_another_person(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer(first("stubborn", "stubborn")) as server:
        result = generate(server.url, count=1, tries=2)
    assert (result.accepted, result.rejected) == (1, 1)
    require_plan(accepted(tmp_path), 1)
    before, after = (server.bodies[n]["messages"][-1]["content"] for n in (0, 2))
    assert before != after
    assert before.splitlines()[:6] == after.splitlines()[:6]  # the levels


@pytest.mark.parametrize(
    ("forms", "refusal", "used"),
    [
        (("json_schema",), 400, ["json_schema"]),
        (("json_object",), 400, ["json_schema", "json_object"]),
        ((), 422, ["json_schema", "json_object", "json_object", "text"]),
        ((), 500, ["json_schema", "json_object", "json_object", "text"]),
    ],
)
def test_structured_output_falls_back_once_and_the_decision_is_remembered(
    generate: Generate, forms: tuple[str, ...], refusal: int, used: list[str]
) -> None:
    with GenerationServer(forms=forms, refusal=refusal) as server:
        assert generate(server.url, count=3).accepted == 3
        asked = [body.get("response_format", {"type": "text"})["type"] for body in server.bodies]
        assert asked == used + [used[-1]] * 2
        assert generate(server.url, count=5).accepted == 5
        assert len(server.bodies) == len(used) + 4


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", "does not know the key"),
        ("402", "no credit left"),
        ("403", "does not allow"),
        ("404", "no such model or address"),
    ],
)
def test_what_no_retry_helps_against_ends_the_job_at_once_and_keeps_what_is_there(
    generate: Generate, tmp_path: Path, fault: str, words: str
) -> None:
    with GenerationServer(first("good", "good", fault, fault, fault)) as server:
        with pytest.raises(StageError, match=words) as caught:
            generate(server.url, in_flight=1)
        assert server.requests == 3
        assert caught.value.where == server.url
        assert caught.value.do
        require_plan(accepted(tmp_path), 2)
        with GenerationServer(port=0):
            assert generate(server.url, in_flight=1, tries=1, count=2).accepted == 2
        assert server.requests == 3


def test_a_server_that_only_fails_is_given_up_and_one_that_is_gone_as_well(
    generate: Generate,
) -> None:
    with (
        GenerationServer(lambda number: "500") as server,
        pytest.raises(StageError, match=r"10 requests in a row came to nothing.*500"),
    ):
        generate(server.url, count=20)
    assert server.requests == 10
    with pytest.raises(StageError, match="cannot be reached"):
        generate(server.url)


def test_a_request_that_always_fails_holds_up_no_other(generate: Generate) -> None:
    with GenerationServer() as server:
        server.choose = lambda number: "good" if number not in (2, 4, 6) else "500"
        result = generate(server.url, count=4, retries=0, in_flight=1)
        assert (result.accepted, result.missing) == (3, 1)
        assert generate(server.url, count=4, retries=3, in_flight=1).accepted == 4


def test_retry_after_is_honoured_by_all_that_are_in_flight(generate: Generate) -> None:
    with GenerationServer(first("good", "429"), retry_after="1.2") as server:
        generate(server.url, count=8, in_flight=3)
    limited = server.arrivals[1]
    later = [arrived - limited for arrived in server.arrivals[2:] if arrived - limited > 0.6]
    assert len(later) >= 3  # but for those already under way
    assert min(later) >= 1.2


def test_a_date_in_retry_after_is_honoured_too(generate: Generate) -> None:
    with GenerationServer(first("503")) as server:
        generate(server.url, count=1)
    waited = server.arrivals[1] - server.arrivals[0]
    assert waited >= 0.0
    assert server.faults == {"503": 1, "good": 1}


def test_requests_are_in_flight_together_but_never_more_than_allowed(generate: Generate) -> None:
    with GenerationServer(delay=0.15) as server:
        generate(server.url, count=12, in_flight=4)
    assert 2 <= server.most_in_flight <= 4
    with GenerationServer(first("401"), delay=0.05) as server:
        with pytest.raises(StageError):
            generate(server.url, count=12, in_flight=4, seed=8)
        assert server.requests == 1  # until it has answered once, one at a time


def test_the_budget_in_tokens_and_money_is_never_passed(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer() as server:
        result = generate(server.url, count=40, token_budget=20_000)
        assert result.ended_by == "budget"
        assert 5 < result.accepted < 14
        assert result.input_tokens + result.output_tokens <= 20_000
        assert "stopped at the budget" in result.summary
        require_plan(accepted(tmp_path), result.accepted)
        spent = server.requests
        # 1,000 tokens in and 500 out cost 0.00045; the price table's own
        more = generate(server.url, count=40, budget=0.0001 + 0.00045 * spent)
        assert more.ended_by == "budget"
        assert more.cost is not None
        assert more.cost <= 0.0001 + 0.00045 * spent
        assert generate(server.url, count=16).accepted == 16
        assert server.requests == 16


def test_an_unknown_price_is_said_and_only_tokens_are_counted(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer(usage=False) as server:
        result = generate(server.url, count=2, model="nobody-knows", budget=0.000001)
    assert result.accepted == 2
    assert result.cost is None
    assert result.output_tokens > 100
    assert "no price of nobody-knows is known" in log_of(tmp_path)
    assert "they are estimated" in log_of(tmp_path)


def test_a_longer_plan_a_bigger_budget_and_another_pace_pay_nothing_twice(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer() as server:
        assert generate(server.url, count=3).accepted == 3
        assert generate(server.url, count=7, in_flight=1, token_budget=10**6).accepted == 7
        assert server.requests == 7
        again = generate(server.url, count=5)
        assert (again.accepted, server.requests) == (5, 7)
    require_plan(accepted(tmp_path), 5)


def test_a_stop_waits_for_what_is_in_flight_and_the_rest_follows_later(
    generate: Generate, tmp_path: Path
) -> None:
    job = JobContext.local(tmp_path / "run")
    with GenerationServer(delay=0.05) as server:

        def stop_after_three(number: int) -> str:
            if number >= 3:
                job.stop.set()
            return "good"

        server.choose = stop_after_three
        with pytest.raises(Stopped):
            stage.run(params(server.url, tmp_path, count=30), job)
        job.writer.close()
        there = accepted(tmp_path)
        assert 3 <= len(there) < 30
        assert server.requests == sum(server.answered.values()) == len(there)
        server.choose = first()
        assert generate(server.url, count=30).accepted == 30
        assert server.requests == 30


def test_the_key_is_nowhere_in_the_workspace_and_in_no_message(
    generate: Generate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with GenerationServer(first("echo", "told", "good", "echo", "html")) as server:
        result = generate(server.url, count=4, in_flight=1)
        assert server.keys == {f"Bearer {KEY}"}  # it was really sent
        assert result.accepted == 4
        server.choose = lambda number: "echo"
        with pytest.raises(StageError) as caught:
            generate(server.url, count=9)
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)
    said = capfd.readouterr()
    assert KEY not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "ledger.jsonl" for path in files)
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
    ledger = params(server.url, tmp_path).ledger.read_text("utf-8")
    assert "your key is [key]" in ledger  # a server that repeats it is not trusted


def test_generated_examples_go_into_a_mix(generate: Generate, tmp_path: Path) -> None:
    from haruon_tui.cli import parser, run

    with GenerationServer() as server:
        generate(server.url, count=10)
    source = tmp_path / "run" / "artifacts" / "accepted.jsonl"
    out = tmp_path / "mixed"
    asked = ["data", "mix", str(source), "--out", str(out), "--no-golden", "--weights"]
    assert run.run(parser.parse([*asked, "generated=2", "--eval-fraction", "0"])) == 0
    train = [json.loads(line) for line in (out / "train.jsonl").read_text("utf-8").splitlines()]
    assert Counter(item["metadata"]["source"] for item in train) == {"generated": 20}


def test_the_composer_needs_no_server_and_no_key(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_NAME)
    result = generate("", provider="composer", count=12)
    assert result.accepted == 12
    assert {item["metadata"]["source"] for item in accepted(tmp_path)} == {"composed"}


def test_the_live_figures_are_those_of_the_ledger(generate: Generate, tmp_path: Path) -> None:
    from haruon_tui.dataset.generation import live

    seen: list[live.Live] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if found := live.read(tmp_path / "run"):
                seen.append(found)
            time.sleep(0.01)

    with GenerationServer(first("stubborn", "stubborn"), delay=0.1) as server:
        watcher = threading.Thread(target=watch)
        watcher.start()
        result = generate(server.url, count=10)
        done.set()
        watcher.join()
    assert any(found.in_flight > 0 for found in seen)
    last = live.read(tmp_path / "run")
    assert last is not None
    assert last.model_dump(include={"accepted", "rejected", "requests", "reasons"}) == {
        "accepted": result.accepted,
        "rejected": result.rejected,
        "requests": result.requests,
        "reasons": result.reasons,
    }
    assert last.latest is not None
    assert last.latest["report"].startswith("## Big5")
    state = read(params(server.url, tmp_path).ledger, params(server.url, tmp_path).rules_digest)
    assert len(state.kept) == result.accepted


def test_a_server_that_dies_in_the_middle_loses_nothing_and_the_other_goes_on(
    generate: Generate, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "tests.dataset.generation_server", "--port", "0"]
    with subprocess.Popen([*program, "--delay", "0.05"], stdout=subprocess.PIPE) as dying:
        try:
            assert dying.stdout
            other = dying.stdout.readline().decode().strip()

            def choose(number: int) -> str:
                if number == 6:
                    dying.kill()
                return "good"

            assert generate(other, count=1, seed=8).accepted == 1  # its first answer takes longer
            with GenerationServer(choose, delay=0.05) as server:
                result = generate(server.url, other_urls=[other], count=20, in_flight=4)
        finally:
            dying.kill()
    assert result.accepted == 20
    require_plan(accepted(tmp_path), 20)
    assert sum(server.answered.values()) < 20  # the other one had answered some of them
    assert log_of(tmp_path).count(f"{other}: ") == 1
    assert "it is left out for" in log_of(tmp_path)


def test_a_server_that_cannot_be_used_or_reached_is_left_out_by_name(
    generate: Generate, tmp_path: Path
) -> None:
    with GenerationServer() as gone:
        pass
    with GenerationServer(lambda number: "401") as stranger, GenerationServer() as server:
        others = [server.url, gone.url]
        assert generate(stranger.url, other_urls=others, count=6).accepted == 6
    assert stranger.requests == 1
    for url in (stranger.url, gone.url):
        assert f"{url}: " in log_of(tmp_path)
    with (
        GenerationServer(lambda number: "401") as one,
        GenerationServer(lambda number: "401") as two,
        pytest.raises(StageError, match="does not know the key"),
    ):
        generate(one.url, other_urls=[two.url], seed=8)


def test_requests_are_spread_over_servers_and_a_limited_one_rests(generate: Generate) -> None:
    with GenerationServer(delay=0.05) as one, GenerationServer(delay=0.05) as two:
        assert generate(one.url, other_urls=[two.url], count=12, in_flight=4).accepted == 12
        assert min(one.requests, two.requests) >= 4
    with (
        GenerationServer(first("good", "429"), retry_after="30") as limited,
        GenerationServer() as server,
    ):
        assert generate(limited.url, other_urls=[server.url], count=12, seed=8).accepted == 12
    assert limited.requests <= 4


def test_what_one_server_answered_is_not_asked_of_another(generate: Generate) -> None:
    with GenerationServer() as server:
        assert generate(server.url, count=4).accepted == 4
        with GenerationServer() as other:
            assert generate(server.url, other_urls=[other.url], count=4).accepted == 4
            assert other.requests == 0
