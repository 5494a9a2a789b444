"""Which container a file or a folder is, told from its content, and the rows that it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from haruon_tui.dataset import regular_file, strict_json, text_encoding
from haruon_tui.dataset.importing import columnar, json_values, text_tables
from haruon_tui.dataset.importing.rows import BadRow, Row
from haruon_tui.errors import ConfigurationError

EXPECTED = "JSONL, JSON, CSV, TSV, Parquet, Arrow, or a Hugging Face dataset folder"
_DATA = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv")
_NO_DATA = ("dataset_info.json", "dataset_dict.json", "state.json", "dataset_infos.json")

RowIterator = Iterator[Row | BadRow]


@dataclass(frozen=True)
class Container:
    """`read` gives the rows from the start, each time anew; `bytes` is the size of its files."""

    kind: str
    evidence: tuple[str, ...]
    read: Callable[[], RowIterator]
    bytes: int


def find(source: Path, wanted: str | None = None, split: str | None = None) -> Container:
    """The container at `source`.

    `wanted` is "csv", "parquet" or "hf-folder" where the caller says what it is; `split` names
    the one part of a folder to read. Raises ConfigurationError.
    """
    if source.is_dir():
        if wanted not in (None, "hf-folder"):
            raise ConfigurationError(f"is a folder, not {wanted}", where=str(source))
        return _folder(source, split)
    if split or wanted == "hf-folder":
        raise ConfigurationError(
            "is no folder",
            where=str(source),
            expected="a Hugging Face dataset folder, for --split and --format hf-folder",
        )
    return _file(source, wanted)


def _file(path: Path, wanted: str | None) -> Container:
    with regular_file.opened(path, EXPECTED) as stream:
        head = stream.read(4096)
        found = text_encoding.find(stream)
        size = stream.seek(0, 2)
    if not head:
        raise ConfigurationError("is empty", where=str(path), expected=EXPECTED)
    if head.startswith(columnar.PARQUET) or wanted == "parquet":
        if not head.startswith(columnar.PARQUET):
            raise ConfigurationError(
                "does not begin with PAR1", where=str(path), expected="a Parquet file"
            )
        return Container(
            "Parquet", ("it begins with PAR1",), partial(columnar.parquet, path), size
        )
    if head.startswith((columnar.ARROW_FILE, columnar.ARROW_STREAM)) and wanted is None:
        mark = ("it begins with the mark of an Arrow file or stream",)
        return Container("Arrow", mark, partial(columnar.arrow, path), size)
    encoded = f"{found.name}: {found.evidence}"
    if wanted is None:
        kind = _json_kind(path, found)
        if kind == "JSONL":
            evidence = ("its first line is a JSON object", encoded)
            return Container("JSONL", evidence, partial(json_values.lines, path, found), size)
        if kind:
            evidence = (kind, encoded)
            return Container("JSON", evidence, partial(json_values.elements, path, found), size)
    dialect = text_tables.sniff(path, found)
    if dialect is None:
        raise ConfigurationError(
            f"is in no form that can be imported; it begins with {_start(path, found)!r}",
            where=str(path),
            expected=EXPECTED,
            do="save it in one of these; a table needs a first row of names and two columns or "
            "more",
        )
    kind = "TSV" if dialect.separator == "\t" else "CSV"
    reader = partial(text_tables.rows, path, found, dialect)
    return Container(kind, (dialect.evidence, encoded), reader, size)


def _json_kind(path: Path, found: text_encoding.Found) -> str | None:
    """The word JSONL, or what shows that a file is JSON of another form; None for no JSON."""
    start = _start(path, found)
    if start.startswith("["):
        return "it begins with ["
    if not start.startswith("{"):
        return None
    with regular_file.opened(path) as stream:
        seen = 0
        for line in text_encoding.lines(stream, found):
            text = getattr(line, "text", "").strip("\ufeff \t\r\n")
            seen += bool(text)
            try:
                if isinstance(strict_json.loads(text), dict):
                    return "JSONL"
            except strict_json.Fault:
                pass
            if seen >= 20:
                break
    several = start.splitlines()[0].strip() == "{"
    return "it begins with { and an object goes over several lines" if several else "JSONL"


def _start(path: Path, found: text_encoding.Found) -> str:
    with regular_file.opened(path) as stream:
        stream.seek(found.mark)
        return stream.read(400).decode(found.encoding, "replace").lstrip("\ufeff \t\r\n")[:40]


def _folder(folder: Path, split: str | None) -> Container:
    parts, evidence = _saved(folder)
    if not parts:
        parts, evidence = _hub(folder)
    if not parts:
        raise ConfigurationError(
            "holds no dataset",
            where=str(folder),
            expected="what datasets' save_to_disk writes, or a Hub folder with Parquet, JSONL, "
            "JSON or CSV files",
        )
    if split is not None:
        if split not in parts:
            raise ConfigurationError(
                f"has no split {split!r}", where=str(folder), expected=", ".join(parts)
            )
        parts = {split: parts[split]}
    elif len(parts) > 1:
        evidence = (*evidence, f"its splits are read one after another: {', '.join(parts)}")
    containers = [_file(path, None) for paths in parts.values() for path in paths]
    first = containers[0]

    def read() -> RowIterator:
        for container in containers:
            yield from container.read()

    inside = f"data files: {len(containers)}, the first {first.kind}: {first.evidence[0]}"
    size = sum(container.bytes for container in containers)
    return Container("Hugging Face folder", (*evidence, inside), read, size)


def _saved(folder: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """The Arrow files by split of what `save_to_disk` wrote."""
    names = _json(folder / "dataset_dict.json").get("splits")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        parts = {name: _state_files(folder / name) for name in names}
        if all(parts.values()):
            return parts, ("dataset_dict.json names its splits",)
    if files := _state_files(folder):
        return {"all": files}, ("state.json names its Arrow files",)
    return {}, ()


def _state_files(folder: Path) -> list[Path]:
    listed = _json(folder / "state.json").get("_data_files")
    names = [
        entry.get("filename")
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict)
    ]
    # A name with folders in it could lead anywhere.
    return [folder / name for name in names if isinstance(name, str) and Path(name).name == name]


def _hub(folder: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """The data files by split of a folder as the Hub has it, by the names of its files."""
    parts: dict[str, list[Path]] = {}
    kinds: set[str] = set()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.suffix.lower() not in _DATA or path.name in _NO_DATA:
            continue
        words = path.stem.lower().replace("_", "-").split("-")
        split = next((word for word in ("train", "validation", "test") if word in words), "all")
        parts.setdefault(split, []).append(path)
        kinds.add(path.suffix.lower())
    return parts, (f"it holds {', '.join(sorted(kinds))} files",)


def _json(path: Path) -> dict[str, Any]:
    try:
        with regular_file.opened(path) as stream:
            value = json.loads(stream.read(1 << 20))
    except (ConfigurationError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
