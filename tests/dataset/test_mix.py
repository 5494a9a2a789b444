"""The mix: golden records by their weight, augmented ones marked, nothing held out seen twice."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.dataset import augment, golden, mix, persona, records, split, stage
from haruon_tui.dataset.composer import compose
from haruon_tui.dataset.records import Record
from haruon_tui.dataset.validator import Validator, is_valid
from haruon_tui.errors import ConfigurationError
from haruon_tui.jobs.context import JobContext
from haruon_tui.settings import build, default_settings

GOLDEN = [line.record for line in records.read(golden.reports_file()) if hasattr(line, "record")]
COMPOSED = compose(300, 7).records
VALIDATOR = Validator()
TINY = "28d27c6352f506aae913b413e3a04df9ec8217a8b0930b6fd741c75e662bc2c3"


class NoInputs:
    def artifact(self, stage: str, name: str) -> Path:
        raise AssertionError


def recipe(**given: Any) -> mix.Recipe:
    return mix.Recipe(**{"weights": {}, "augment": 0.0, "ways": augment.WAYS, "seed": 7, **given})


def ids(items: list[Record]) -> list[str]:
    return [item["metadata"]["id"] for item in items]


def of(item: Record) -> str:
    return str(item["metadata"].get("of") or item["metadata"]["id"])


def test_weights_repeat_or_thin_out_the_records_of_a_source() -> None:
    train = GOLDEN + COMPOSED
    mixed = mix.mixed(train, recipe(weights={"golden": 2.5, "composed": 0.5}), VALIDATOR)
    counts = Counter(ids(mixed.records))
    assert mixed.sources == {"golden": 250, "composed": 150}
    assert Counter(counts[id] for id in ids(GOLDEN)) == {2: 50, 3: 50}
    assert Counter(counts[id] for id in ids(COMPOSED)) == {0: 150, 1: 150}
    assert mixed.repeats == 150
    assert mixed.golden_share == 250 / 400
    again = mix.mixed(train, recipe(weights={"golden": 2.5, "composed": 0.5}), VALIDATOR)
    assert ids(again.records) == ids(mixed.records)
    other = mix.mixed(train, recipe(weights={"golden": 2.5, "composed": 0.5}, seed=8), VALIDATOR)
    assert ids(other.records) != ids(mixed.records)


def test_without_weights_and_augmentation_the_order_stays() -> None:
    assert mix.mixed(COMPOSED, recipe(), VALIDATOR).records == COMPOSED


@pytest.mark.parametrize("way", augment.WAYS)
def test_augmented_records_are_valid_new_and_marked_and_no_report_is_altered(
    way: augment.How,
) -> None:
    made = list(augment.augmented(GOLDEN, 60, (way,), 7, VALIDATOR))
    assert len(made) == 60
    by_id = {item["metadata"]["id"]: item for item in GOLDEN}
    turns = {records.content(item, "user") for item in GOLDEN}
    for item in made:
        metadata = item["metadata"]
        origin = by_id[metadata["of"]]
        assert (metadata["source"], metadata["how"]) == ("augmented", way)
        assert metadata["levels"] == origin["metadata"]["levels"]
        assert records.content(item, "assistant") == records.content(origin, "assistant")
        assert records.content(item, "user") not in turns
        turns.add(records.content(item, "user"))
        assert is_valid(VALIDATOR.check(item))
    assert len(set(ids(made))) == 60
    assert made == list(augment.augmented(GOLDEN, 60, (way,), 7, VALIDATOR))


def test_reordering_keeps_every_sentence_and_rewording_every_quotation() -> None:
    by_id = {item["metadata"]["id"]: item for item in GOLDEN}
    for item in augment.augmented(GOLDEN, 40, ("order",), 3, VALIDATOR):
        before = records.answers(by_id[of(item)]) or {}
        after = records.answers(item) or {}
        assert before != after
        for key, text in before.items():
            assert sorted(text.split()) == sorted(after[key].split())
    for item in augment.augmented(GOLDEN, 40, ("wording",), 3, VALIDATOR):
        report = records.content(item, "assistant")
        before, after = (records.content(r, "user") for r in (by_id[of(item)], item))
        quoted = [p for p in augment._quoted(report) if p in before]
        assert all(phrase in after for phrase in quoted)


def test_augmentation_ends_where_the_records_allow_no_more() -> None:
    made = list(augment.augmented(GOLDEN[:2], 10_000, ("order", "length"), 7, VALIDATOR))
    assert 0 < len(made) < 10_000


def test_the_split_keeps_every_share_and_comes_out_the_same_again() -> None:
    items = GOLDEN + COMPOSED
    train, held_out = split.stratified(items, 0.1, 7)
    assert sorted(ids(train + held_out)) == sorted(ids(items))
    assert len(held_out) == 40
    sources = Counter(item["metadata"]["source"] for item in held_out)
    assert abs(sources["golden"] - 10) <= 1
    for trait in persona.TRAITS:
        whole = Counter(item["metadata"]["levels"][trait.key] for item in items)
        held = Counter(item["metadata"]["levels"][trait.key] for item in held_out)
        for level in persona.LEVELS:
            assert abs(held[level] - 0.1 * whole[level]) <= 2, (trait.key, level)
    assert split.stratified(items, 0.1, 7) == (train, held_out)
    assert split.stratified(items, 0.1, 8) != (train, held_out)


def test_what_belongs_together_stays_on_one_side() -> None:
    made = list(augment.augmented(GOLDEN, 150, augment.WAYS, 7, VALIDATOR))
    copies = copy.deepcopy(GOLDEN[:30])
    for number, item in enumerate(copies):  # nearly the same, under a name of its own
        item["metadata"]["id"] = f"own-{number}"
        turn = item["messages"][1]
        turn["content"] = turn["content"].replace("'", "'저는 ", 1)
    train, held_out = split.stratified(GOLDEN + made + copies + GOLDEN[:10], 0.2, 7)
    assert len(held_out) >= 40
    origins = {of(item) for item in train} & {of(item) for item in held_out}
    assert origins == set()
    for number in range(30):
        name, own = f"golden-{number + 1:03d}", f"own-{number}"
        assert GOLDEN[number]["metadata"]["id"] == name
        assert (name in ids(train)) == (own in ids(train))


@pytest.mark.parametrize("divide", [split.stratified, split.shuffled])
@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [
        (100, 0.05, 5),
        (100, 0.001, 1),
        (100, 0.0, 0),
        (3, 0.05, 1),
        (2, 0.49, 1),
        (1, 0.3, 0),
        (0, 0.3, 0),
    ],
)
def test_the_split_keeps_every_record_once_and_no_side_empty(
    divide: Any, count: int, fraction: float, held_out: int
) -> None:
    train, evaluation = divide(GOLDEN[:count], fraction, 1)
    assert len(evaluation) == held_out
    assert sorted(ids(train + evaluation)) == ids(GOLDEN[:count])


def build_dataset(folder: Path, **dataset: Any) -> tuple[stage.Result, list[Record], list[Record]]:
    settings = build({"profile": "qwen2-1.5b", "dataset": {"compose": 60, **dataset}})
    job = JobContext.local(folder)
    result = stage.run(stage.configure(settings, NoInputs()), job)
    parts = [
        [line.record for line in records.read(job.artifacts / name) if hasattr(line, "record")]
        for name in ("train.jsonl", "eval.jsonl")
    ]
    return result, parts[0], parts[1]


def test_the_stage_raises_the_golden_share_and_holds_out_nothing_it_trains_on(
    tmp_path: Path,
) -> None:
    result, train, held_out = build_dataset(
        tmp_path / "run", golden_weight=3, augment=0.5, eval_fraction=0.1
    )
    assert (result.train, result.eval) == (len(train), len(held_out))
    assert result.sources == {"golden": 100, "composed": 60}
    assert result.mix == dict(Counter(item["metadata"]["source"] for item in train))
    assert result.augmented == result.mix["augmented"] > 50
    assert result.repeats == sum(count - 1 for count in Counter(ids(train)).values()) > 100
    assert result.golden_share > 0.7
    assert not {of(item) for item in train} & {of(item) for item in held_out}
    assert {item["metadata"]["source"] for item in held_out} == {"golden", "composed"}
    assert len(set(ids(held_out))) == len(held_out)
    assert "repeated" in result.summary


def test_the_default_mix_needs_no_key_and_has_golden_records_twice() -> None:
    settings = default_settings("qwen2-1.5b").dataset
    assert (settings.golden, settings.golden_weight) == (True, 2.0)
    assert settings.compose > 0
    assert settings.files == []


def test_the_tiny_profiles_dataset_is_what_its_demo_was_measured_on(tmp_path: Path) -> None:
    job = JobContext.local(tmp_path / "run")
    stage.run(stage.configure(default_settings("tiny"), NoInputs()), job)
    digest = hashlib.sha256((job.artifacts / "train.jsonl").read_bytes()).hexdigest()
    assert digest == TINY


def test_generated_records_keep_their_source_and_a_near_case_is_left_out(tmp_path: Path) -> None:
    made = copy.deepcopy(GOLDEN[0])
    made["messages"][1]["content"] = made["messages"][1]["content"].replace("'", "'음, ", 1)
    made["metadata"] = {"id": "g-1", "source": "generated", "levels": {}}
    near = copy.deepcopy(GOLDEN[1])
    case = golden.load_cases(golden.cases_file())[0]
    near["messages"][1]["content"] = persona.user_turn(case["answers"]).replace("'", "'음, ", 1)
    near["messages"][2]["content"] = near["messages"][2]["content"].replace("'", "")
    near["metadata"] = {"id": "near", "source": "file", "levels": {}}
    own = tmp_path / "own.jsonl"
    records.write(own, [made, near])
    result, train, held_out = build_dataset(
        tmp_path / "run", files=[str(own)], golden=False, generated_weight=4, eval_fraction=0.0
    )
    assert result.mix["generated"] == 4
    assert result.left_out == 1
    assert "near" not in ids(train + held_out)


def test_weights_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to train on"):
        build_dataset(tmp_path / "run", golden_weight=0, composed_weight=0)


def haruon(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "haruon_tui", "data", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_commands_mix_split_and_count_files(tmp_path: Path) -> None:
    records.write(tmp_path / "own.jsonl", COMPOSED[:40])
    mixed = haruon(
        "mix", "own.jsonl", "--weights", "golden=2,file=1", "--out", "m", "--json", folder=tmp_path
    )
    assert mixed.returncode == 0, mixed.stderr
    assert json.loads(mixed.stdout)["sources"] == {"golden": 100, "file": 40}
    found = haruon("stats", "m/train.jsonl", "--json", folder=tmp_path)
    told = json.loads(found.stdout)
    assert told["records"] == json.loads(mixed.stdout)["train"]
    assert told["sources"] == json.loads(mixed.stdout)["mix"]
    assert sum(told["levels"]["openness"].values()) == told["records"]
    assert told["lengths"]["report, characters"]["most"] > 300
    divided = haruon("split", "own.jsonl", "--out", "s", "--eval-fraction", "0.2", folder=tmp_path)
    assert divided.returncode == 0, divided.stderr
    assert len((tmp_path / "s" / "eval.jsonl").read_text().splitlines()) == 8
    again = haruon("split", "own.jsonl", "--out", "s", folder=tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    wrong = haruon("mix", "--weights", "gold=2", "--out", "x", folder=tmp_path)
    assert (wrong.returncode, "golden, composed" in wrong.stderr) == (2, True)
    assert not (tmp_path / "x").exists()
