"""Files that appear whole or not at all, their digests, and the manifest beside them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically: temporary name, fsync, rename, fsync of the folder."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; on success sync and rename it, on error remove it.

    The body may make a file or a folder there. An existing file at `path` is replaced in one
    step. A folder cannot be replaced so: an existing one is moved aside first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    remove(temporary)
    try:
        yield temporary
        _sync(temporary)
        if temporary.is_dir() and path.exists():
            aside = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(aside)
            temporary.rename(path)
            remove(aside)
        else:
            temporary.replace(path)
        _sync_one(path.parent)
    except BaseException:
        remove(temporary)
        raise


def remove(path: Path) -> None:
    """Remove a file, link or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """sha256 of a file, or of a folder's relative names and contents (hidden files left out)."""
    if not path.is_dir():
        return _file_digest(path)
    tree = hashlib.sha256()
    for relative in _files(path):
        tree.update(f"{relative.as_posix()}\0{_file_digest(path / relative)}\n".encode())
    return tree.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((path / relative).stat().st_size for relative in _files(path))


def _files(folder: Path) -> list[Path]:
    found = [found.relative_to(folder) for found in folder.rglob("*") if found.is_file()]
    return sorted(name for name in found if not any(part.startswith(".") for part in name.parts))


def _file_digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def _sync(path: Path) -> None:
    if path.is_dir():
        for file in path.rglob("*"):
            if file.is_file():
                _sync_one(file)
    _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
