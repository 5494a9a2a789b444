import json
import shutil
from pathlib import Path

import pytest

from haruon_tui.errors import StageError
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.generate import Generation, Generator


def generate(
    folder: Path, cases: list[Case], batch_size: int = 8, max_new_tokens: int = 12
) -> dict[str, Generation]:
    batches = Generator(folder).generate(
        cases, max_new_tokens=max_new_tokens, batch_size=batch_size, stop_requested=lambda: False
    )
    return {one.case: one for batch in batches for one in batch}


def test_a_batch_of_different_lengths_writes_what_each_prompt_alone_would(
    random_model: Path, cases: list[Case]
) -> None:
    alone = generate(random_model, cases, batch_size=1)
    together = generate(random_model, cases, batch_size=3)
    assert len({one.prompt_tokens for one in alone.values()}) == len(cases)
    assert len({one.text for one in alone.values()}) > 1
    assert {id: one.text for id, one in together.items()} == {
        id: one.text for id, one in alone.items()
    }


def test_a_model_that_ends_is_told_from_one_that_is_cut(
    report_model: Path, endless_model: Path, cases: list[Case], report: str
) -> None:
    ended = generate(report_model, cases)["c1"]
    assert (ended.text, ended.tokens, ended.stopped) == (report, 1, True)
    cut = generate(endless_model, cases)["c1"]
    assert (cut.text, cut.tokens, cut.stopped) == ("ab" * 6, 12, False)
    assert cut.seconds > 0


def test_generation_is_greedy_whatever_the_model_brings(
    random_model: Path, cases: list[Case], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(random_model, tmp_path / "model"))
    own = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 1.8, "top_k": 3}
    (folder / "generation_config.json").write_text(json.dumps(own))
    expected = {id: one.text for id, one in generate(random_model, cases).items()}
    assert {id: one.text for id, one in generate(folder, cases).items()} == expected


def test_a_stop_drops_the_batch_under_way(endless_model: Path, cases: list[Case]) -> None:
    asked = 0

    def stop_requested() -> bool:
        nonlocal asked
        asked += 1
        return asked > 20  # in the second batch

    batches = list(
        Generator(endless_model).generate(
            cases, max_new_tokens=12, batch_size=2, stop_requested=stop_requested
        )
    )
    assert [len(batch) for batch in batches] == [2]
    assert asked < 30


def test_progress_counts_the_written_reports(endless_model: Path, cases: list[Case]) -> None:
    told: list[float] = []
    list(
        Generator(endless_model).generate(
            cases,
            max_new_tokens=2,
            batch_size=2,
            stop_requested=lambda: False,
            on_progress=told.append,
        )
    )
    assert told == sorted(told)
    assert [count for count in told if count == int(count)] == [2, 4, 5]


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "all"])
def test_a_folder_that_is_no_model_is_a_clear_error(
    random_model: Path, tmp_path: Path, missing: str
) -> None:
    folder = tmp_path / "model"
    if missing != "all":
        shutil.copytree(random_model, folder)
        (folder / missing).unlink()
    with pytest.raises(StageError) as failure:
        Generator(folder)
    assert failure.value.where == str(folder)
    assert failure.value.do


def test_a_tokenizer_without_a_template_is_a_clear_error(
    random_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(random_model, tmp_path / "model"))
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(StageError, match="chat template"):
        Generator(folder)
