"""The GGUF screen: the files as they are made, what was measured of each, and the proof."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Static

from haruon_tui.screens.actions import Mode, bindings
from haruon_tui.screens.history import size
from haruon_tui.screens.plain_text import one_line
from haruon_tui.screens.reading import read_json, read_off_loop
from haruon_tui.screens.stage_screen import StageScreen
from haruon_tui.styles import stylesheet

if TYPE_CHECKING:
    from pathlib import Path

    from haruon_tui.jobs.events import Event
    from haruon_tui.jobs.store import Run
    from haruon_tui.planning import Step
    from haruon_tui.screens.history import History
    from haruon_tui.screens.session import Session

COLUMNS = (
    "Type",
    "Size",
    "Bits/weight",
    "Loads in",
    "pp t/s",
    "tg t/s",
    "PPL / F16",
    "KL, nats",
    "Same top",
    "Reports",
)
_EMPTY = "No GGUF file yet: convert makes the first. R runs every stage that is missing."
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)
_NEWS = ("log", "artifact", "finished", "failed", "stopped")

Row = dict[str, Any]
"""A file with what is known of it: some keys of haruon_tui.comparison.benchmark.Row."""


@dataclass(frozen=True)
class Files:
    """What lies on the disk: a row per file, and the lines of the proof of the conversion."""

    rows: tuple[Row, ...] = ()
    proof: tuple[dict[str, Any], ...] = ()


class GgufScreen(StageScreen):
    """A table of the files above, reasons of failures and the proof below."""

    CSS_PATH = stylesheet("gguf")
    BINDINGS = bindings("gguf", "stage", "job")

    def __init__(self, mode: Mode, session: Session) -> None:
        super().__init__(mode, session)
        self._folders: dict[str, Path] = {}
        self._reading = False
        self._read_again = False

    def compose_body(self) -> ComposeResult:
        yield Static(_EMPTY, id="empty", markup=False)
        table: DataTable[Text] = DataTable(id="files", cursor_type="row", fixed_columns=1)
        yield table
        with VerticalScroll(id="proof"):
            yield Static("", id="proof-text", markup=False)

    def on_mount(self) -> None:
        self.query_one("#files", DataTable).add_columns(*COLUMNS)
        self._show(Files())
        super().on_mount()

    def show_plan(self, steps: dict[str, Step]) -> None:
        folders = {
            stage: run.folder for stage in self.mode.stages if (run := self._run(steps, stage))
        }
        if folders != self._folders:
            self._folders = folders
            self._read()

    def show_update(self, history: History, events: list[Event]) -> None:
        if any(event["kind"] in _NEWS for event in events):
            self._read()

    def show_result(self, stage: str, run: Run, result: dict[str, Any] | None) -> None:
        self._read()

    def _run(self, steps: dict[str, Step], stage: str) -> Run | None:
        """The run whose files are shown: what earlier settings made is not."""
        if active := self.session.active(stage):
            return active.run
        step = steps.get(stage)
        if step is None or step.state == "stale":
            return None
        return step.finished or step.latest

    def _read(self) -> None:
        """Read the files again; while that is under way, once more after it."""
        self._read_again = self._reading
        if self._reading:
            return
        self._reading = True
        folders = dict(self._folders)

        def show(files: Files) -> None:
            self._reading = False
            self._show(files)
            if self._read_again:
                self._read()

        read_off_loop(self, lambda: read_files(folders), show)

    def _show(self, files: Files) -> None:
        table = self.query_one("#files", DataTable)
        row = table.cursor_row
        table.clear()
        for file in files.rows:
            table.add_row(*map(Text, cells(file)))
        table.move_cursor(row=min(row, max(0, table.row_count - 1)))
        table.display = bool(files.rows)
        self.query_one("#empty").display = not (files.rows or files.proof)
        self.query_one("#proof-text", Static).update(proof_text(files))


def read_files(folders: dict[str, Path]) -> Files:
    """What the runs in these folders, by stage, have made so far. Never raises for a file that
    is missing or half made."""
    rows: dict[str, Row] = {}
    for stage in ("convert", "quantize"):
        if folder := folders.get(stage):
            made = _made(folder / "artifacts")
            rows |= {row["file"]: row for row in made}
    if folder := folders.get("compare"):
        for measured in _measured(folder):
            name = measured.get("file", "")
            rows[name] = {**rows.get(name, {}), **measured}
    convert = folders.get("convert")
    return Files(tuple(rows.values()), _proof(convert / "artifacts") if convert else ())


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table; a dash for what is not known."""
    failed = "✗ " if row.get("error") else ""
    return (
        failed + one_line(row.get("type", "?")),
        size(row["bytes"]) if "bytes" in row else "–",
        f"{row['bits_per_weight']:.2f}" if "bits_per_weight" in row else "–",
        f"{row['load_seconds']:.2f} s" if "load_seconds" in row else "–",
        _speed(row.get("prompt")),
        _speed(row.get("generate")),
        _quality(row, "perplexity_ratio", "{:.4f}"),
        _quality(row, "divergence", "{:.2g}"),
        _quality(row, "same_top", "{:.1%}"),
        _reports(row),
    )


def proof_text(files: Files) -> Text:
    """Why files failed, then the proof of the conversion as a checklist."""
    text = Text()
    for row in files.rows:
        if row.get("error"):
            text.append(f"✗ {one_line(row.get('type'))}: {one_line(row['error'])}\n", "bold")
    if files.proof:
        text.append("Proof that the F16 file behaves as the model\n", "bold")
    for check in files.proof:
        sign = "✓" if check.get("ok") else "✗"
        line = f"{sign} {one_line(check.get('name'))}: {one_line(check.get('detail'))}\n"
        text.append(line, "" if check.get("ok") else "bold")
    return text


def _speed(measured: dict[str, Any] | None) -> str:
    return f"{measured['mean']:,.1f} ± {measured['sd']:,.1f}" if measured else "–"


def _quality(row: Row, key: str, form: str) -> str:
    measured = row.get("quality")
    return form.format(measured[key][0]) if measured else "–"


def _reports(row: Row) -> str:
    """How many of the reports have every section and an end, of all that were written."""
    reports = row.get("reports")
    if not reports:
        return "–"
    whole = sum(made["score"]["complete"] and made["stopped"] for made in reports)
    return f"{whole}/{len(reports)}"


def _made(artifacts: Path) -> list[Row]:
    """The GGUF files there, in the order in which they were made."""
    rows: list[Row] = []
    with contextlib.suppress(*_DAMAGED):
        for name, entry in read_json(artifacts / "manifest.json")["artifacts"].items():
            if name.endswith(".gguf"):
                quantized = entry.get("quantized") or {}
                known = {"bits_per_weight": quantized["bits_per_weight"]} if quantized else {}
                kind = name.removesuffix(".gguf").rpartition(".")[2]
                rows.append({"type": kind, "file": name, "bytes": entry["bytes"], **known})
    return rows


def _measured(run: Path) -> list[Row]:
    """The rows of a comparison: of its document, else those that it has kept so far."""
    with contextlib.suppress(*_DAMAGED):
        return list(read_json(run / "artifacts" / "comparison.json")["rows"])
    rows = []
    for path in sorted((run / "scratch").glob("*.row.json")):
        with contextlib.suppress(*_DAMAGED):
            rows.append(read_json(path)["row"])
    return rows


def _proof(artifacts: Path) -> tuple[dict[str, Any], ...]:
    with contextlib.suppress(*_DAMAGED):
        return tuple(json.loads((artifacts / "proof.json").read_bytes()))
    return ()
