from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from haruon_tui.errors import StageError, Stopped
from haruon_tui.evaluation import gguf_generate, stage
from haruon_tui.evaluation.cases import Case
from haruon_tui.evaluation.generate import Generation, Generator
from haruon_tui.jobs.context import JobContext


def generate(path: Path, cases: list[Case], **options: Any) -> dict[str, Generation]:
    made: list[Generation] = []
    gguf_generate.generate(
        path, cases, on_batch=made.extend, **{"max_new_tokens": 12, "batch_size": 3} | options
    )
    assert len(made) == len({one.case for one in made})
    return {one.case: one for one in made}


def texts(made: dict[str, Generation]) -> dict[str, tuple[str, int, int, bool]]:
    return {
        case: (one.text, one.prompt_tokens, one.tokens, one.stopped) for case, one in made.items()
    }


def test_a_gguf_writes_what_its_hugging_face_model_writes(
    gguf_model: tuple[Path, Path], cases: list[Case]
) -> None:
    folder, gguf = gguf_model
    batches = Generator(folder).generate(
        cases, max_new_tokens=12, batch_size=3, stop_requested=lambda: False
    )
    expected = {one.case: one for batch in batches for one in batch}
    assert len({one.text for one in expected.values()}) > 1
    assert texts(generate(gguf, cases)) == texts(expected)


def test_a_batch_writes_what_each_prompt_alone_would(
    gguf_model: tuple[Path, Path], cases: list[Case]
) -> None:
    alone = texts(generate(gguf_model[1], cases, batch_size=1))
    assert texts(generate(gguf_model[1], cases, batch_size=3)) == alone
    assert texts(generate(gguf_model[1], cases, batch_size=64)) == alone


def test_progress_counts_the_written_reports(
    gguf_model: tuple[Path, Path], cases: list[Case]
) -> None:
    told: list[float] = []
    generate(gguf_model[1], cases, batch_size=2, on_progress=told.append)
    assert told == sorted(told)
    assert [count for count in told if count == int(count)] == [2, 4, 5]


def test_a_stop_keeps_the_batches_before_it(
    gguf_model: tuple[Path, Path], cases: list[Case]
) -> None:
    made: list[Generation] = []
    with pytest.raises(Stopped):
        gguf_generate.generate(
            gguf_model[1],
            cases,
            max_new_tokens=12,
            batch_size=2,
            on_batch=made.extend,
            stop_requested=lambda: len(made) > 0,
        )
    assert len(made) in (2, 4)


@pytest.mark.parametrize("spoil", ["cut", "text", "empty"])
def test_a_file_that_is_no_gguf_says_how_to_make_one(
    gguf_model: tuple[Path, Path], cases: list[Case], tmp_path: Path, spoil: str
) -> None:
    path = Path(shutil.copy(gguf_model[1], tmp_path / "spoilt.gguf"))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "text": b"hello" * 99, "empty": b""}[spoil])
    with pytest.raises(StageError) as failure:
        generate(path, cases)
    assert failure.value.where == str(path)
    assert "haruon gguf" in str(failure.value.do)


def test_reports_that_memory_does_not_hold_at_once_say_what_to_lower(
    gguf_model: tuple[Path, Path], cases: list[Case]
) -> None:
    """Under a limit of the address space: without one the kernel would kill something."""
    asked = {
        "gguf": str(gguf_model[1]),
        "cases": [{"id": case.id, "messages": case.messages} for case in cases],
        "max_new_tokens": 1 << 24,
        "batch_size": 5,
    }
    code = (
        "import json, resource, sys\n"
        "from haruon_tui.errors import StageError\n"
        "from haruon_tui.evaluation.gguf_generate import work\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "try:\n    work(json.load(sys.stdin), print)\n"
        "except StageError as error:\n    print(json.dumps(error.as_dict()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    error = json.loads(done.stdout.splitlines()[-1])
    assert error["what"].startswith("5 reports at once: no room for a context")
    assert error["do"] == "evaluate.batch_size = 2 in haruon.toml"


def test_a_gguf_and_its_model_come_to_the_same_figures(
    gguf_model: tuple[Path, Path], cases_file: Path, tmp_path: Path
) -> None:
    params = stage.Params(
        names=["tuned", "F16"],
        models=list(gguf_model),
        cases=[cases_file],
        max_new_tokens=8,
        batch_size=2,
    )
    result = stage.run(params, JobContext.local(tmp_path / "run"))
    assert result.models["tuned"].figures == result.models["F16"].figures
    assert result.models["F16"].ran_on == "llama.cpp, cpu"
