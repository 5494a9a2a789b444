"""Whether this machine can do what the settings ask. Imports no heavy library.

The checks run at the same time, in threads of their own: one that hangs (a driver, a network, a
disk) costs its own row, never the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from haruon_tui.hardware import (
    accelerator,
    hub,
    libraries,
    memory,
    processor,
    recipe_needs,
    storage,
    system,
    terminal,
)
from haruon_tui.hardware.deadline import Once, ask_all
from haruon_tui.hardware.gpus import Reading, read_gpus, read_processes
from haruon_tui.hardware.needs import NEEDS
from haruon_tui.hardware.row import Row, Verdict
from haruon_tui.settings import Settings

__all__ = ["GROUPS", "SECONDS", "Row", "Verdict", "check_machine", "describe_failures"]

SECONDS = 2.1
"""After this, a check that has not answered gives a row that says unknown."""

_CHILD_MARGIN = 0.2
_LOOK_SECONDS = 0.9
GROUPS = ("machine", "memory", "disk", "GPU", "libraries", "model", "terminal")

Check = Callable[[], Row]


def check_machine(
    settings: Settings,
    workspace: Path,
    reading: Once[Reading] | None = None,
    seconds: float = SECONDS,
) -> list[Row]:
    """Look at everything that `settings` need; `workspace` is the folder that will be written,
    `reading` what the GPUs say, where others want to know it too.

    Takes `seconds` at most. A check that cannot be made, or does not answer in that time, gives a
    row that says unknown, with a warning.
    """
    needs = NEEDS[settings.profile]
    train = settings.train
    chosen = None if settings.hardware.gpus == "auto" else list(settings.hardware.gpus)
    reading = reading or Once(read_gpus)
    detailed = Once(lambda: read_gpus(detail=True) if reading().gpus else reading())
    training = Once(lambda: recipe_needs.training_of(settings))
    writes = Once(lambda: recipe_needs.writes_of(settings, fetched=hub.fetched(settings)))
    cache = hub.cache_folder()

    ends = time.monotonic() + seconds - _CHILD_MARGIN

    def left() -> float:
        return max(0.1, ends - time.monotonic())

    def soon() -> Reading:
        """The GPUs, for rows that say something without them too."""
        return reading.within(_LOOK_SECONDS) or Reading(problem="no answer yet")

    def on_cpu() -> recipe_needs.Training | None:
        """The training, where it is the CPU that will do it."""
        gpus = reading.within(_LOOK_SECONDS)
        if needs.gpu or gpus is None or libraries.apple_silicon():
            return None  # a GPU does it, or may do it
        return training() if chosen == [] or not gpus.gpus else None

    checks: list[tuple[str, str, str, Check]] = [
        ("machine", "os", "Operating system", system.operating_system),
        ("machine", "python", "Python", system.python),
        ("machine", "environment", "Environment", system.environment),
        ("machine", "git", "Git", system.git),
        ("machine", "cpu", "Processor", processor.cores),
        ("machine", "instructions", "Instructions", processor.instructions),
        ("memory", "ram", "Memory", lambda: memory.memory(needs.memory, on_cpu())),
        ("memory", "swap", "Swap", memory.swap),
        (
            "disk",
            "disk",
            "Disk at the workspace",
            lambda: storage.disk(workspace, writes(), needs.disk),
        ),
        (
            "disk",
            "cache-disk",
            "Disk at the model cache",
            lambda: storage.cache_disk(workspace, writes(), cache),
        ),
        (
            "disk",
            "write",
            "Writing",
            lambda: storage.write_speed(workspace, needs.write_speed),
        ),
        (
            "GPU",
            "gpu",
            "GPU",
            lambda: accelerator.gpu(needs.gpu, needs.gpu_memory, reading()),
        ),
        (
            "GPU",
            "vram",
            "GPU memory",
            lambda: accelerator.video_memory(
                training(), needs.gpu, reading(), chosen, memory.usable()
            ),
        ),
        (
            "GPU",
            "processes",
            "Others on the GPU",
            lambda: accelerator.processes(reading(), read_processes(reading().gpus)),
        ),
        ("GPU", "driver", "Driver", lambda: accelerator.driver(reading())),
        (
            "GPU",
            "capability",
            "Compute capability",
            lambda: accelerator.capability(train.precision, detailed()),
        ),
        ("GPU", "mps", "Apple GPU (MPS)", accelerator.mps),
        ("libraries", "torch", "PyTorch", lambda: libraries.torch_build(needs.gpu, soon())),
        (
            "libraries",
            "llama",
            "llama-cpp-python",
            lambda: libraries.llama_cpp(soon(), left()),
        ),
        (
            "libraries",
            "bitsandbytes",
            "bitsandbytes",
            lambda: libraries.bitsandbytes(train.method, left()),
        ),
        ("libraries", "llamafactory", "LLaMA-Factory", lambda: libraries.llamafactory(train)),
        ("model", "model", "Base model", lambda: hub.model(settings)),
        ("model", "hub", "Model hub", lambda: hub.hub(settings)),
        ("model", "token", "Hub token", hub.token),
        ("model", "endpoint", "OpenAI endpoint", lambda: hub.endpoint(settings.generate)),
        ("terminal", "terminal", "Terminal size", terminal.terminal_size),
        ("terminal", "colours", "Colours", terminal.colours),
        ("terminal", "unicode", "Unicode", terminal.unicode),
        ("terminal", "session", "Session", terminal.session),
        ("terminal", "logout", "Jobs outlive a logout", terminal.outlives_logout),
    ]
    return _in_time(checks, seconds)


def describe_failures(rows: Sequence[Row]) -> str:
    """The failing rows in one line: what was found, and what was needed."""
    return "; ".join(
        f"{row.title}: {row.found} (needed: {row.needed})"
        for row in rows
        if row.verdict == "fails"
    )


def _in_time(checks: list[tuple[str, str, str, Check]], seconds: float) -> list[Row]:
    found = ask_all(
        {key: partial(_row, key, title, check) for _, key, title, check in checks}, seconds
    )
    return [
        replace(found.get(key) or _silent(key, title, seconds), group=group)
        for group, key, title, _ in checks
    ]


def _row(key: str, title: str, check: Check) -> Row:
    try:
        return check()
    except TimeoutError as error:
        return _unknown(key, title, str(error))
    except Exception as error:  # noqa: BLE001 - one odd machine must not hide all other rows
        return _unknown(key, title, f"{type(error).__name__}: {error}")


def _silent(key: str, title: str, seconds: float) -> Row:
    return _unknown(key, title, f"no answer within {seconds:.1f} s")


def _unknown(key: str, title: str, why: str) -> Row:
    do = "haruon doctor checks again; the other rows hold"
    return Row(key, title, f"unknown: {why}", "", "warning", do, ("haruon doctor",))
