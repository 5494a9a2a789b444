"""llama.cpp's own converter, run from its source, and what is compared of the files it writes.

The source is that of llama-cpp-python's archive on the package index, vendor/llama.cpp; nothing
of it is kept here. The environment variable LLAMA_CPP names the folder.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DIFFERENCES = {
    "general.name": "ours is the name asked for, theirs is made of the folder's",
    "tokenizer.ggml.eot_token_id": "ours only: the end of a turn, said twice",
    "tokenizer.ggml.add_eos_token": "ours always, theirs only after some post-processors",
    "tokenizer.ggml.add_sep_token": "theirs only, where a post-processor joins two texts",
}
"""The keys of the metadata that may differ, and why."""

_RUN = """
import runpy, sys
root, sys.argv = sys.argv[1], sys.argv[1:]
sys.path.insert(0, root)
from conversion.base import TextModel
known, taken_for = TextModel.get_vocab_base_pre, sys.argv.pop(1)
def get_vocab_base_pre(self, tokenizer):
    try:
        return known(self, tokenizer)
    except NotImplementedError:
        if not taken_for:
            raise
        return taken_for
TextModel.get_vocab_base_pre = get_vocab_base_pre
try:
    import sentencepiece
except ImportError:  # only asked for a file that is not there
    def no_file(self):
        raise FileNotFoundError
    TextModel._set_vocab_sentencepiece = TextModel._set_vocab_llama_hf = no_file
sys.argv[0] = f"{root}/convert_hf_to_gguf.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""It knows a tokenizer by the hash of what it makes of a text, and refuses a made-up one: that is
taken for what the second argument says, if it says anything."""


def folder() -> Path | None:
    """llama.cpp's source, if the environment names it."""
    named = os.environ.get("LLAMA_CPP")
    return Path(named) if named else None


def run(source: Path, model: Path, out: Path, dtype: str, *, taken_for: str = "") -> float:
    """Convert with llama.cpp's converter; returns the seconds it took, imports included."""
    started = time.monotonic()
    command = [sys.executable, "-c", _RUN, str(source), taken_for, str(model)]
    done = subprocess.run(
        [*command, "--outfile", str(out), "--outtype", dtype.lower()],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"llama.cpp's converter failed:\n{done.stderr[-2000:]}")
    return time.monotonic() - started


def contents(path: Path) -> dict[str, Any]:
    """Of a GGUF file: the metadata, with lists as their digests, and a digest of all tensors
    with name, type, shape and data."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    tensors = hashlib.sha256()
    for tensor in sorted(reader.tensors, key=lambda tensor: str(tensor.name)):
        tensors.update(f"{tensor.name} {tensor.tensor_type.name} {tensor.shape.tolist()}".encode())
        tensors.update(tensor.data.tobytes())
    metadata = {}
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        value = field.contents()
        if isinstance(value, list):
            value = hashlib.sha256("\n".join(map(str, value)).encode()).hexdigest()
        metadata[key] = [*(kind.name for kind in field.types), value]
    return {"tensors": tensors.hexdigest(), "metadata": metadata}


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What is not equal and not among DIFFERENCES."""
    found = [] if ours["tensors"] == theirs["tensors"] else ["tensors"]
    keys = ours["metadata"].keys() | theirs["metadata"].keys()
    return found + sorted(
        key
        for key in keys - DIFFERENCES.keys()
        if ours["metadata"].get(key) != theirs["metadata"].get(key)
    )
