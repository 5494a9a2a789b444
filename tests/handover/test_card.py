"""The card says what the manifests say, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.handover import card
from haruon_tui.handover.gather import gather
from tests.handover.conftest import DONE, TYPES, Finished, command
from tests.handover.walk import numbers, require_true


def made(finished: Finished) -> card.Card:
    return card.write(gather(finished.store, finished.steps).runs)


def test_every_value_stands_in_its_file_and_no_number_stands_beside_them(whole: Finished) -> None:
    found = made(whole)
    require_true(found.text, map(asdict, found.values), whole.workspace.runs)


def test_a_number_that_no_manifest_holds_would_be_found(whole: Finished) -> None:
    found = made(whole)
    values = list(map(asdict, found.values))
    with pytest.raises(AssertionError):
        require_true(found.text + "\nIt is right in 99.9% of cases.", values, whole.store.folder)
    values[5] = values[5] | {"value": "another"}
    with pytest.raises(AssertionError):
        require_true(found.text, values, whole.workspace.runs)


def test_values_are_written_as_they_are_but_for_rounding(whole: Finished) -> None:
    text = made(whole).text
    assert "| Licence | apache-2.0 |" in text
    assert "| Training loss | 5.8575 (1) | 0.3129 (50) | 0.4532 (60) |" in text
    assert "| Evaluation loss | 0.3987 (50) | 0.3987 (50) | 0.4411 (60) |" in text
    assert "| Golden records, share | 4.3% |" in text
    assert "Means over 81 cases, in brackets the interval of 95 % by bootstrap" in text
    assert "| every section there | 75.3% (68.5% to 93.8%) | 75.3% (68.5% to 93.8%) |" in text
    assert "| quotes that were said | not recorded | not recorded |" in text
    assert (
        "| Q4\\_0 | 986 MB | 8.01 | 20.16 | 1.011±0.003 | 0.0050±0.0004 | 97.0% | 13.3±15.1 |"
        in text
    )
    assert "| Q8\\_0 | not recorded |" in text


def test_the_hashes_of_the_files_are_those_of_the_files(whole: Finished) -> None:
    import hashlib

    text = made(whole).text
    files = [whole["convert"].artifacts / "model.F16.gguf"]
    files += [whole["quantize"].artifacts / f"model.{kind}.gguf" for kind in TYPES]
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert f"| `{file.name}` | {file.stat().st_size} | `{digest}` |" in text


def test_the_hub_reads_its_front_matter(whole: Finished) -> None:
    from huggingface_hub import ModelCard

    read = ModelCard(made(whole).text).data
    assert read.license == "apache-2.0"
    assert read.language == "ko"
    assert read.pipeline_tag == "text-generation"
    assert read.base_model == "tiny"


def test_text_of_a_model_is_no_markup(whole: Finished) -> None:
    text = made(whole).text
    assert "Chat\\|ML \\<b\\>" in text
    assert "<|im_end|>" not in text


def test_it_says_what_it_is_not_for(whole: Finished) -> None:
    text = made(whole).text
    assert "Not a medical diagnosis" in text
    assert "## Limits of use" in text
    assert numbers(text.split("## Limits of use")[1].split("## Provenance")[0]) == set()


def test_without_an_evaluation_it_says_so_and_names_the_stage(finished: Finished) -> None:
    finished.finish(*DONE[:-2])
    gathered = gather(finished.store, finished.steps)
    text = card.write(gathered.runs).text
    assert "## Evaluation\n\nNot evaluated.\n" in text
    assert "## Quantization\n\nNot compared.\n" in text
    assert "not evaluated yet: run haruon evaluate" in gathered.notes
    assert any("run haruon gguf compare" in note for note in gathered.notes)


def test_a_stale_evaluation_is_not_told(whole: Finished) -> None:
    toml = whole.workspace.file
    toml.write_text(toml.read_text() + "[train]\nepochs = 2\n")
    again = Finished(type(whole.workspace)(whole.workspace.folder))
    again.finish("train", "merge", "convert", "quantize")
    gathered = gather(again.store, again.steps)
    assert "Not evaluated." in card.write(gathered.runs).text
    assert (
        "not evaluated for these settings (an older result is stale): run haruon evaluate"
        in gathered.notes
    )


def test_an_evaluation_of_the_base_alone_or_of_another_model_is_none(
    finished: Finished, tmp_path
) -> None:
    finished.finish(*DONE[:-1])
    other = tmp_path / "other.gguf"
    other.write_text("GGUF")
    base = finished["model"].artifacts / "model"
    finished.finish("evaluate", names=["base", "other"], models=[base, other])
    assert "Not evaluated." in made(finished).text


def test_the_newest_evaluation_that_holds_is_told(whole: Finished) -> None:
    file = whole["quantize"].artifacts / "model.Q4_0.gguf"
    whole.finish("evaluate", names=["Q4_0"], models=[file])
    assert "| Figure | Q4\\_0 |" in made(whole).text


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (DONE[:3], "no tuned model yet"),
        (DONE[:4], "no GGUF with a proof: convert is not started"),
    ],
)
def test_without_a_model_or_a_proof_the_stage_to_run_is_named(
    finished: Finished, stages: tuple[str, ...], said: str
) -> None:
    finished.finish(*stages)
    with pytest.raises(ConfigurationError, match=said) as raised:
        gather(finished.store, finished.steps)
    assert "haruon pipeline --to quantize" in str(raised.value.do)


def test_a_result_changed_by_hand_is_refused(whole: Finished) -> None:
    file = whole["evaluate"].artifacts / "evaluation.json"
    file.write_text(file.read_text().replace("0.685", "0.985"))
    with pytest.raises(StageError, match="sha256 differs") as raised:
        made(whole)
    assert raised.value.where == str(file)


def test_the_command_prints_writes_and_keeps_what_is_not_its_own(
    whole: Finished, tmp_path, capsys
) -> None:
    folder, file = whole.workspace.folder, tmp_path / "카드 폴더" / "README.md"
    assert command(folder, "export", "card") == 0
    printed = capsys.readouterr().out
    assert command(folder, "export", "card", str(file)) == 0
    assert file.read_text("utf-8") == printed == made(whole).text
    assert command(folder, "export", "card", str(file)) == 0, "an earlier card is replaced"
    file.write_text("my own words")
    capsys.readouterr()
    assert command(folder, "export", "card", str(file)) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "my own words"
    assert command(folder, "export", "card", str(file), "--force", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    require_true(file.read_text("utf-8"), told["values"], whole.workspace.runs)
