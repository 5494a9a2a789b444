"""LLaMA-Factory as the engine: what it is told, what it logs, what comes back, how it ends.

A script that writes lines recorded of LLaMA-Factory 0.9.5 stands in for it here, as its own
environment is gigabytes. The real one: docs/scaling.md has the command.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from haruon_tui.errors import ConfigurationError, StageError, Stopped
from haruon_tui.hardware import libraries
from haruon_tui.hardware.llamafactory import version
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader
from haruon_tui.settings import TrainSettings, build
from haruon_tui.training import engines, llamafactory, recipe_fields, stage

RECORDED = """\
{"current_steps": 5, "total_steps": 15, "loss": 4.858264923095703, "lr": 0.001999417022366174, \
"epoch": 0.052, "percentage": 5.26, "elapsed_time": "0:00:15", "remaining_time": "0:04:41", \
"throughput": 725.69, "total_tokens": 11359}
{"current_steps": 10, "total_steps": 15, "loss": 1.954193115234375, "lr": 0.001979084087682323, \
"epoch": 0.105, "percentage": 10.53, "elapsed_time": "0:00:34", "remaining_time": "0:04:54", \
"throughput": 654.27, "total_tokens": 22686}
{"current_steps": 10, "total_steps": 15, "eval_loss": 0.5068052411079407, "epoch": 0.315, \
"percentage": 31.58, "elapsed_time": "0:01:30", "remaining_time": "0:03:15", \
"throughput": 755.07, "total_tokens": 22686}
{"current_steps": 10, "total_steps": 15, "loss": 1.954193115234375, "lr": 0.001979084087682323, \
"epoch": 0.105, "percentage": 10.53, "elapsed_time": "0:00:34", "remaining_time": "0:04:54"}
{"current_steps": 15, "total_steps": 15, "loss": 1.0900367736816405, "lr": 0.0019302784433378331, \
"epoch": 0.157, "percentage": 15.79, "elapsed_time": "0:00:47", "remaining_time": "0:04:13", \
"throughput": 715.52, "total_tokens": 34065}
{"current_steps": 15, "total_steps": 15, "epoch": 1.0, "percentage": 100.0, \
"elapsed_time": "0:04:17", "remaining_time": "0:00:00", "throughput": 838.29, \
"total_tokens": 34065}
"""
PROGRAM = """#!{python}
import json, pathlib, shutil, sys, time, yaml
wanted = yaml.safe_load(open(sys.argv[2]))
out = pathlib.Path(wanted["output_dir"])
out.mkdir(parents=True, exist_ok=True)
here = pathlib.Path(__file__).parent
(here / "told.json").write_text(json.dumps(wanted))
with open(out / "trainer_log.jsonl", "a") as log:
    for line in (here / "lines").read_text().splitlines(keepends=True):
        log.write(line)
        log.flush()
then = (here / "then").read_text() if (here / "then").exists() else ""
if then == "hang":
    time.sleep(600)
if then:
    sys.exit(then)
for file in (here / "trained").iterdir():
    shutil.copy2(file, out / file.name)
"""


@pytest.fixture
def environment(tmp_path: Path, small_base: Path) -> Path:
    """A folder with a `llamafactory-cli`, a `python` that knows it, and what it trains."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "lines").write_text(RECORDED)
    for name, text in (
        ("llamafactory-cli", PROGRAM.format(python=sys.executable)),
        ("python", "#!/bin/sh\necho 0.9.5\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    model = AutoModelForCausalLM.from_pretrained(small_base)
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(folder / "trained")
    return folder


@pytest.fixture
def params(environment: Path, small_base: Path, dataset: Any) -> stage.Params:
    return stage.Params(
        model=small_base,
        train_file=dataset.train,
        eval_file=dataset.eval,
        settings=settings(llamafactory_cli=str(environment / "llamafactory-cli")),
    )


def settings(**changed: Any) -> TrainSettings:
    values = {"engine": "llamafactory", "max_length": 2048, "kernels": "standard", **changed}
    return build({"profile": "tiny", "train": values}).train


def test_its_log_becomes_the_runs_and_its_adapter_the_artefact(
    params: stage.Params, environment: Path, small_base: Path, tmp_path: Path
) -> None:
    job = JobContext.local(tmp_path / "run")
    result = stage.run(params, job)
    assert (result.steps, result.best_step, result.tokens) == (15, 10, 34065)
    assert result.final_loss == pytest.approx(1.09003677)
    assert result.best_eval_loss == pytest.approx(0.50680524)
    told = EventReader(job.folder / "events.jsonl").read()
    curve = [(e["step"], e["values"]) for e in told if e["kind"] == "metric"]
    assert [(step, "loss" in values) for step, values in curve] == [
        (5, True),
        (10, True),
        (10, False),
        (15, True),
    ]
    assert curve[0][1]["tokens_per_second"] == 725.69
    assert curve[0][1]["learning_rate"] == pytest.approx(0.0019994, rel=1e-4)
    done = [(e["done"], e["total"]) for e in told if e["kind"] == "progress"]
    assert done[-1] == (15, 15)
    adapter = job.artifacts / "adapter"
    assert (adapter / "adapter_model.safetensors").is_file()
    template = "chat_template.jinja"
    assert (adapter / template).read_bytes() == (small_base / template).read_bytes()
    data = json.loads((job.scratch / "llamafactory/data/dataset_info.json").read_text("utf-8"))
    assert data["training"]["formatting"] == "sharegpt"
    assert data["training"]["columns"] == {"messages": "messages"}
    wanted = json.loads((environment / "told.json").read_text())
    assert (wanted["stage"], wanted["template"], wanted["lora_target"]) == ("sft", "qwen", "all")
    assert wanted["train_on_prompt"] is False
    assert wanted["learning_rate"] == params.settings.learning_rate
    assert "resume_from_checkpoint" not in wanted


def test_a_failure_is_told_in_its_last_words_and_resuming_takes_its_newest_whole_checkpoint(
    params: stage.Params, environment: Path, tmp_path: Path
) -> None:
    (environment / "then").write_text("ValueError: no such target module")
    job = JobContext.local(tmp_path / "run")
    with pytest.raises(StageError, match="ended with 1: ValueError: no such target module"):
        stage.run(params, job)
    job.writer.close()
    for step, text in ((5, "{}"), (10, "{}"), (15, '{"global_st')):
        checkpoint = job.scratch / f"llamafactory/out/checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text(text)
    (environment / "then").unlink()
    again = JobContext.local(tmp_path / "run")
    stage.run(params, again)
    wanted = json.loads((environment / "told.json").read_text())
    assert wanted["resume_from_checkpoint"].endswith("checkpoint-10")
    told = EventReader(job.folder / "events.jsonl").read()
    steps = [e["step"] for e in told if e["kind"] == "metric" and "loss" in e["values"]]
    assert steps == [5, 10, 15], "a step that is logged again is reported once"


def test_a_stop_ends_it_and_all_that_it_started(
    params: stage.Params, environment: Path, tmp_path: Path
) -> None:
    (environment / "then").write_text("hang")
    job = JobContext.local(tmp_path / "run")
    threading.Thread(target=_stop_once_running, args=(job, environment), daemon=True).start()
    with pytest.raises(Stopped):
        stage.run(params, job)
    assert not _running(environment)


def _stop_once_running(job: JobContext, environment: Path) -> None:
    deadline = time.monotonic() + 60
    while not (environment / "told.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    job.stop.set()


def _running(environment: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if str(environment / "llamafactory-cli") in command:
            found.append(process.pid)
    return found


def test_a_missing_program_or_another_version_says_how_to_get_it(
    environment: Path, tmp_path: Path
) -> None:
    assert version(str(environment / "llamafactory-cli")) == "0.9.5"
    with pytest.raises(ConfigurationError) as raised:
        version(str(tmp_path / "none" / "llamafactory-cli"))
    assert "pip install llamafactory==0.9.5" in (raised.value.do or "")
    (environment / "python").write_text("#!/bin/sh\necho 0.8.3\n")
    with pytest.raises(ConfigurationError, match=r"0\.8\.3 is not known here"):
        version(str(environment / "llamafactory-cli"))
    (environment / "python").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ConfigurationError, match="knows no llamafactory"):
        version(str(environment / "llamafactory-cli"))
    row = libraries.llamafactory(settings(llamafactory_cli=str(tmp_path / "none")))
    assert row.verdict == "fails"
    assert 'train.engine = "built-in"' in row.settings
    assert libraries.llamafactory(build({"profile": "tiny"}).train).verdict == "not applicable"


def test_the_form_offers_what_the_engine_has_a_use_for() -> None:
    own = {field.name for field in recipe_fields.fields("built-in")}
    other = {field.name for field in recipe_fields.fields("llamafactory")}
    assert "llamafactory_cli" in other - own
    assert {"processes", "kernels", "sample_every", "on_out_of_memory"} <= own - other
    assert {"rank", "learning_rate", "method", "engine", "eval_every"} <= own & other
    engines.require(settings())
    with pytest.raises(ConfigurationError, match="trains in one process"):
        engines.require(settings(processes=2))


def test_each_method_is_told_in_its_own_terms(tmp_path: Path) -> None:
    def told(**changed: Any) -> dict[str, Any]:
        return llamafactory.configuration(
            settings(**changed), tmp_path, tmp_path, tmp_path, device="cuda", evaluates=False
        )

    assert told(method="dora")["use_dora"] is True
    assert told(method="rslora")["use_rslora"] is True
    assert told(method="qlora")["quantization_bit"] == 4
    assert told(method="full")["finetuning_type"] == "full"
    assert "lora_rank" not in told(method="full")
    assert told(targets=["q_proj", "v_proj"])["lora_target"] == "q_proj,v_proj"
    assert told(loss_on="all")["train_on_prompt"] is True
    assert told(precision="fp32")["bf16"] is told(precision="fp32")["fp16"] is False
    assert told()["eval_strategy"] == "no"
