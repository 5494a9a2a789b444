"""LLaMA-Factory, a program of another environment: whether it is there, and in which version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from haruon_tui.errors import ConfigurationError

INSTALL = (
    "python3 -m venv ~/llamafactory && ~/llamafactory/bin/pip install llamafactory==0.9.5 "
    "torch==2.11.0 torchvision==0.26.0 torchaudio==2.11.0"
)
CLI = "~/llamafactory/bin/llamafactory-cli"
_SERIES = "0.9."
_ASK_SECONDS = 30.0


def version(cli: str) -> str:
    """The version of LLaMA-Factory beside its `llamafactory-cli`. Raises ConfigurationError where
    it is missing, or of a series whose files are not known here."""
    where = "train.llamafactory_cli"
    do = f'{INSTALL}; then llamafactory_cli = "{CLI}" under [train]'
    program = Path(cli).expanduser() if "/" in cli else Path(shutil.which(cli) or cli)
    if not program.is_file():
        raise ConfigurationError(f"there is no {cli}", where=where, do=do)
    python = program.resolve().with_name("python")
    asked = "import importlib.metadata as m; print(m.version('llamafactory'))"
    try:
        answer = subprocess.run(
            [python, "-c", asked], capture_output=True, text=True, timeout=_ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        answer = None
    found = answer.stdout.strip() if answer and answer.returncode == 0 else ""
    if not found:
        raise ConfigurationError(
            f"the Python beside {program} knows no llamafactory", where=where, do=do
        )
    if not found.startswith(_SERIES):
        raise ConfigurationError(
            f"LLaMA-Factory {found} is not known here", where=where, expected=f"{_SERIES}x", do=do
        )
    return found
