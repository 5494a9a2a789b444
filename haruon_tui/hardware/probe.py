"""Questions about a native library, answered by a child process that may take long or crash.

`python -m haruon_tui.hardware.probe NAME FILE` asks one and writes its answer to FILE.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from haruon_tui import artifacts

_CHILD_SECONDS = 60


def ask(name: str, marks: list[str], seconds: float) -> dict[str, Any]:
    """The answer to question `name`: what the child found, or {"problem": why there is none}.

    Answers are kept under `marks` (versions of all that could change them). A child that needs
    longer than `seconds` goes on for a minute at most, and its answer is there the next time.
    Raises TimeoutError then.
    """
    key = json.dumps([name, sys.executable, *marks])
    file = (
        _cache_root() / "probes" / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    )
    if (kept := _read(file)) is not None:
        return kept
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "haruon_tui.hardware.probe", name, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {seconds:g} s; the next check may have it") from None
    if (answer := _read(file)) is not None:
        return answer
    reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return {"problem": f"the library ended its process ({reason})"}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        answer = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _cache_root() -> Path:
    if chosen := os.environ.get("HARUON_CACHE_DIR"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("haruon")


def llama_cpp() -> dict[str, Any]:
    """Whether the llama.cpp library loads, and what it says of offloading to a GPU."""
    import ctypes
    import importlib.util

    package = importlib.util.find_spec("llama_cpp")
    if package is None or not package.submodule_search_locations:
        return {"problem": "not installed"}
    folder = Path(package.submodule_search_locations[0]) / "lib"
    name = next(folder / n for n in ("libllama.so", "libllama.dylib") if (folder / n).exists())
    try:
        library = ctypes.CDLL(str(name))
        library.llama_supports_gpu_offload.restype = ctypes.c_bool
        library.llama_print_system_info.restype = ctypes.c_char_p
        library.llama_backend_init()
        return {
            "offload": bool(library.llama_supports_gpu_offload()),
            "system": library.llama_print_system_info().decode("utf-8", errors="replace"),
        }
    except (OSError, AttributeError) as error:
        return {"problem": str(error)}


def bitsandbytes() -> dict[str, Any]:
    """Whether a matrix can be quantized to NF4 and back, on the GPU where there is one."""
    try:
        import bitsandbytes.functional as functional
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        given = torch.linspace(-1, 1, 4096, device=device).reshape(64, 64)
        packed, state = functional.quantize_4bit(given, quant_type="nf4")
        off = (functional.dequantize_4bit(packed, state) - given).abs().max().item()
    except Exception as error:  # noqa: BLE001 - whatever it raises, it cannot be used
        return {"problem": f"{type(error).__name__}: {error}"[:300]}
    # Half the widest gap between two NF4 levels is 0.152.
    return {"device": device} if off < 0.16 else {"problem": f"NF4 is off by {off:.2f}"}


_QUESTIONS = {"llama_cpp": llama_cpp, "bitsandbytes": bitsandbytes}


def _main(name: str, file: Path) -> None:
    signal.alarm(_CHILD_SECONDS)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # one that asks already will have the answer
        if _read(file) is None:
            artifacts.write_json(file, _QUESTIONS[name]())


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
