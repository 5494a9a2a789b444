"""The parts of the generation: plan, prompt, answers, retries, prices, ledger, settings, key."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haruon_tui.dataset.generation import answer, endpoint, plan, prompt, stage
from haruon_tui.dataset.generation.dialect import FORMS, Dialect
from haruon_tui.dataset.generation.endpoint import Answer
from haruon_tui.dataset.generation.ledger import Key, Ledger, read
from haruon_tui.dataset.generation.redaction import Redaction
from haruon_tui.dataset.generation.retry import LONGEST_WAIT, backoff, retry_after
from haruon_tui.dataset.generation.spending import Budget, Prices, Tokens, prices_of
from haruon_tui.dataset.persona import LEVELS, TRAITS
from haruon_tui.errors import ConfigurationError
from haruon_tui.settings import build, commented_toml
from tests.dataset.generation_server import written


def test_500_examples_have_every_level_of_every_trait_and_every_pair_of_levels_alike_often() -> (
    None
):
    wanted = [plan.levels(number, seed=7) for number in range(500)]
    for trait in TRAITS:
        counts = Counter(levels[trait.key] for levels in wanted)
        assert set(counts) == set(LEVELS)
        assert max(counts.values()) - min(counts.values()) <= 2
    for one, other in combinations(TRAITS, 2):
        pairs = Counter((levels[one.key], levels[other.key]) for levels in wanted)
        assert len(pairs) == len(LEVELS) ** 2
        assert max(pairs.values()) - min(pairs.values()) <= 1


def test_the_plan_depends_on_the_seed_alone_and_a_longer_one_starts_like_a_shorter_one() -> None:
    assert [plan.levels(n, 7) for n in range(60)] == [plan.levels(n, 7) for n in range(60)]
    assert [plan.levels(n, 7) for n in range(60)] != [plan.levels(n, 8) for n in range(60)]
    people = [plan.person(number, 0, 7) for number in range(100)]
    assert people[3] == plan.person(3, 0, 7)
    assert people[3] != plan.person(3, 1, 7)
    assert len({(who.age, who.job, who.region, who.speech) for who in people}) == 100


def test_each_prompt_carries_its_levels_and_person_and_other_golden_examples_each_time() -> None:
    for number in (0, 48, 311):
        asked = prompt.messages(number, 0, seed=7, examples=2)
        assert [message["role"] for message in asked] == [
            "system", "user", "assistant", "user", "assistant", "user",
        ]  # fmt: skip
        request = asked[-1]["content"]
        for trait in TRAITS:
            assert f"({trait.key}): {plan.levels(number, 7)[trait.key]}" in request
        who = plan.person(number, 0, 7)
        assert all(word in request for word in (who.age, who.job, who.region, who.speech))
        for example in (asked[2], asked[4]):
            answer.read(example["content"])
    shown = [place for number in range(50) for place in plan.shown(number, 0, 7, 2, 100)]
    assert sorted(shown) == list(range(100))


GOOD = written(prompt.messages(0, 0, seed=7, examples=0))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>먼저 {{생각}}해 보면</think>물론입니다.\n{GOOD}\n도움이 되었기를!",
        GOOD.replace('"summary"', '\n "summary"').replace("}}", "},}", 1),
        GOOD.replace("openness", "개방성"),
        json.dumps({"note": "hello"}) + GOOD,
    ],
    ids=["plain", "fence", "thought", "trailing comma", "korean keys", "another object first"],
)
def test_an_answer_is_read_out_of_what_servers_put_around_it(text: str) -> None:
    read_back = answer.read(text)
    assert read_back.answers == json.loads(GOOD)["answers"]
    assert read_back.levels == plan.levels(0, 7)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.builds(lambda cut: GOOD[:cut], st.integers(0, len(GOOD) - 1)))
def test_any_other_text_is_malformed_and_nothing_else(text: str) -> None:
    with pytest.raises(answer.Malformed):
        answer.read(text)


NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}, 0.0),
        ({"retry-after": "Thu, 26 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e12"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds


def test_the_back_off_doubles_its_range_and_draws_from_all_of_it() -> None:
    rng = Random(3)
    for failures, most in ((1, 1.0), (2, 2.0), (5, 16.0), (50, LONGEST_WAIT)):
        waits = [backoff(failures, 1.0, rng) for _ in range(400)]
        assert max(waits) <= most
        assert min(waits) < most / 10
        assert max(waits) > most * 0.9


def test_prices_come_from_the_table_and_settings_go_before_it() -> None:
    table = prices_of("gpt-4o-mini", -1, -1)
    assert table is not None
    assert (
        table == prices_of("gpt-4o-mini-2024-07-18", -1, -1) == prices_of("x/gpt-4o-mini", -1, -1)
    )
    assert table.cost(1_000_000, 1_000_000) == pytest.approx(table.input + table.output)
    assert prices_of("gpt-4o-mini", 0, 0) == Prices("USD", 0.0, 0.0)
    assert prices_of("my-model", -1, -1) is None
    assert prices_of("my-model", 1, -1) is None
    assert prices_of("my-model", 1, 2) == Prices("USD", 1.0, 2.0)


def test_a_budget_holds_in_money_and_in_tokens() -> None:
    prices = Prices("USD", 1.0, 2.0)
    assert Budget(3.0, 0, prices).allows(Tokens(1_000_000, 1_000_000))
    assert not Budget(3.0, 0, prices).allows(Tokens(1_000_001, 1_000_000))
    assert not Budget(0, 100, prices).allows(Tokens(60, 41))
    assert Budget(3.0, 0, None).allows(Tokens(10**12, 10**12))  # no price: money has no bound
    assert Budget(0, 0, prices).allows(Tokens(10**12, 10**12))


def test_a_dialect_learns_from_refusals_until_nothing_is_left() -> None:
    forms = []
    dialect: Dialect | None = Dialect()
    while dialect is not None:
        forms.append(dialect.form)
        dialect = dialect.after_refusal("no such response_format")
    assert tuple(forms) == FORMS
    reasoning = Dialect().after_refusal("use 'max_completion_tokens' instead")
    assert reasoning is not None
    reasoning = reasoning.after_refusal("'temperature' does not support 0.9")
    assert reasoning is not None
    sent = reasoning.arguments(plan.levels(0, 7), max_tokens=9, temperature=0.9)
    assert sent["max_completion_tokens"] == 9
    assert "temperature" not in sent
    assert "max_tokens" not in sent
    assert sent["response_format"]["type"] == "json_schema"
    assert Dialect.read(reasoning.as_dict()) == reasoning
    assert Dialect.read({"form": "new", "x": 1}) == Dialect()


ANSWER = Answer("글", "stop", 10, 20, True)


def test_the_ledger_says_after_a_torn_line_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    first, second = Key(0, 0, "write"), Key(1, 0, "write")
    with Ledger(path, "r") as ledger:
        ledger.answered(ledger.sent(Tokens(30, 50)), first, ANSWER)
        ledger.judged(first, [], {"metadata": {"id": "a"}})
        whole = path.read_bytes()
        ledger.answered(ledger.sent(Tokens(30, 50)), second, ANSWER)
    lines = path.read_bytes().splitlines(keepends=True)
    sent, torn = lines[-2], lines[-1]
    for cut in range(1, len(torn)):
        path.write_bytes(whole + sent + torn[:cut])
        assert read(path, "r").answers == {first: ANSWER}  # a reader leaves the file alone
        with Ledger(path, "r") as ledger:
            state = ledger.state
            assert state.answers == {first: ANSWER}
            assert state.kept == {0: first}
            assert state.next(0, 2) is None
            assert state.next(1, 2) == second
            assert state.paid == Tokens(10, 20)
            assert state.lost == Tokens(30, 50)  # it was in flight
            ledger.answered(ledger.sent(Tokens(30, 50)), second, ANSWER)
        again = read(path, "r")
        assert again.answers == {first: ANSWER, second: ANSWER}
        assert again.unreadable == 0
        assert again.requests == 3


def test_a_line_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path, "r") as ledger:
        ledger.answered(ledger.sent(Tokens(1, 2)), Key(0, 0, "write"), ANSWER)
    good = path.read_bytes()
    path.write_bytes(b'\xff\xfe rubbish\n[]\n{"kind": "sent"}\nnull\n' + good)
    state = read(path, "r")
    assert state.answers == {Key(0, 0, "write"): ANSWER}
    assert state.unreadable == 4


def test_two_jobs_never_write_one_ledger(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "l.jsonl", "r"),
        pytest.raises(ConfigurationError, match="another job"),
        Ledger(tmp_path / "l.jsonl", "r"),
    ):
        pass


def test_a_change_of_the_rules_judges_what_is_paid_for_anew(tmp_path: Path) -> None:
    path, key = tmp_path / "ledger.jsonl", Key(0, 0, "write")
    with Ledger(path, "old") as ledger:
        ledger.answered(ledger.sent(Tokens(1, 2)), key, ANSWER)
        ledger.judged(key, [("certainty", "…")], None)
        assert ledger.state.next(0, 1) == Key(0, 0, "repair")
    state = read(path, "new")
    assert state.next(0, 1) == key
    assert key in state.answers  # so that it is judged and not asked for


def test_the_key_is_hidden_in_every_spelling() -> None:
    key = 'sk-"quoted"/+한'
    hide = Redaction(key).text
    for form in (
        key,
        json.dumps(key),
        json.dumps(key, ensure_ascii=False),
        base64.b64encode(key.encode()).decode(),
    ):
        assert "quoted" not in hide(f"before {form} after")
        assert base64.b64encode(key.encode()).decode() not in hide(form)
    assert Redaction(None).text("nothing to hide") == "nothing to hide"


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://x/v1", "http://", "http://a:99999/", "https://u:secret@h/v1",
     "https://h/v1?key=secret", "https://h/v1#secret"],
)  # fmt: skip
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_showing_it(
    url: str,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        endpoint.checked_url(url)
    assert "secret" not in str(caught.value).replace("maybe a secret", "")
    assert caught.value.where == "generate.base_url"


def test_a_missing_key_and_a_key_in_the_wrong_place_are_named_but_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="NO_KEY is not set"):
        endpoint.key_of("NO_KEY", "https://api.example.com/v1")
    assert endpoint.key_of("NO_KEY", "http://localhost:1/v1") == "none"
    assert endpoint.key_of("NO_KEY", "http://127.0.0.1:1/v1") == "none"
    with pytest.raises(ConfigurationError) as caught:
        endpoint.key_of("sk-abc-123", "https://api.example.com/v1")
    assert "abc" not in str(caught.value)
    monkeypatch.setenv("ODD_KEY", "sk-비밀")
    with pytest.raises(ConfigurationError) as caught:
        endpoint.key_of("ODD_KEY", "https://api.example.com/v1")
    assert "비밀" not in str(caught.value)


def test_without_a_model_the_settings_say_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        stage.configure(build({"profile": "qwen2-1.5b"}))
    assert caught.value.where == "generate.model"
    assert "base_url" in str(caught.value)
    named = build({"profile": "qwen2-1.5b", "generate": {"model": "gpt-4o-mini"}})
    params = stage.configure(named)
    assert params.base_url == endpoint.DEFAULT_URL
    assert params.count == 500
    assert "[generate]" in commented_toml("tiny")
    assert "never the key" in commented_toml("tiny")
