"""Whether this machine can do what a profile asks. Imports no heavy library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from haruon_tui.errors import ConfigurationError
from haruon_tui.hardware import accelerator, system, terminal
from haruon_tui.hardware.needs import NEEDS
from haruon_tui.hardware.row import Row, Verdict

__all__ = ["Row", "Verdict", "check_machine", "describe_failures"]

Check = Callable[[], Row]


def check_machine(profile: str, workspace: Path) -> list[Row]:
    """Look at everything that `profile` needs; `workspace` is the folder that will be written.

    A check that cannot be made gives a row that says unknown, with a warning. Raises
    ConfigurationError for a profile that is not known.
    """
    needs = NEEDS.get(profile)
    if needs is None:
        raise ConfigurationError(
            f"there is no profile {profile!r}", where="profile", expected=", ".join(NEEDS)
        )
    checks: list[tuple[str, str, Check]] = [
        ("os", "Operating system", system.operating_system),
        ("python", "Python", system.python),
        ("git", "Git", system.git),
        ("cpu", "Processor", system.processor),
        ("ram", "Memory", partial(system.memory, needs.memory)),
        ("swap", "Swap", system.swap),
        ("disk", "Free disk space", partial(system.disk, workspace, needs.disk)),
        ("write", "Write permission", partial(system.write_permission, workspace)),
        ("gpu", "GPU", partial(accelerator.gpu, needs.video_memory)),
        ("torch", "PyTorch", partial(accelerator.torch_build, needs.video_memory is not None)),
        ("llama", "llama-cpp-python", accelerator.llama_cpp),
        ("bitsandbytes", "bitsandbytes", accelerator.bitsandbytes),
        ("terminal", "Terminal size", terminal.terminal_size),
        ("colours", "Colours", terminal.colours),
        ("unicode", "Unicode", terminal.unicode),
        ("session", "Session", terminal.session),
        ("logout", "Jobs outlive a logout", terminal.outlives_logout),
    ]
    return [_row(key, title, check) for key, title, check in checks]


def describe_failures(rows: Sequence[Row]) -> str:
    """The failing rows in one line: what was found, and what was needed."""
    return "; ".join(
        f"{row.title}: {row.found} (needed: {row.needed})"
        for row in rows
        if row.verdict == "fails"
    )


def _row(key: str, title: str, check: Check) -> Row:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - one odd machine must not hide all other rows
        found = f"unknown: {type(error).__name__}: {error}"
        return Row(
            key, title, found, "", "warning", "the check itself failed; the other rows hold"
        )
