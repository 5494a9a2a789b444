"""`haruon data validate`: check every record of a JSONL file, on all cores."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haruon_tui import artifacts
from haruon_tui.cli import output
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace

_EXAMPLES = 3
_PLAIN_SECONDS = 5.0


def validate(arguments: argparse.Namespace) -> int:
    """Print what is wrong, by rule, with the first examples. Exits 1 when a record is invalid."""
    from haruon_tui.dataset import golden, persona
    from haruon_tui.dataset.file_validation import validate_file

    cases = golden.load_cases(golden.cases_file())
    with _progress(arguments.file) as on_bytes, _findings_file(arguments.findings) as on_finding:
        summary = validate_file(
            arguments.file,
            arguments.rules or _workspace_rules(arguments),
            examples=_EXAMPLES,
            on_bytes=on_bytes,
            on_finding=on_finding,
            tokenizer=arguments.tokenizer or _workspace_tokenizer(arguments),
            cases={case["id"]: persona.user_turn(case["answers"]) for case in cases},
            leave_out=arguments.leave_out,
        )
    if arguments.json:
        output.document(summary.as_dict())
        return Exit.OK if summary.ok else Exit.CHECK_FAILED
    for rule, count in summary.rules.items():
        shown = summary.examples[rule]
        first = shown[0].finding
        output.line(f"{first.severity} {rule}: {count}")
        for found in shown:
            text = f" «{_one_line(found.finding.text)}»" if found.finding.text else ""
            where = f"{summary.path}:{found.line} {found.finding.path}"
            output.line(f"  {where}{text}  {found.finding.message}")
        output.line(f"  try: {first.suggestion}")
    if summary.rules and arguments.findings is None:
        output.line("--findings FILE.jsonl writes every finding, --json the first 1,000")
    if summary.records == 0 and summary.unreadable == 0:
        output.line(f"{summary.path} has no records")
    output.line(
        f"{summary.valid} valid, {summary.invalid} invalid by the rules '{summary.rule_set}'"
    )
    return Exit.OK if summary.ok else Exit.CHECK_FAILED


@contextmanager
def _progress(path: Path) -> Iterator[Callable[[int], None]]:
    """Shows how much of the file is done, and how long the rest will take, on stderr."""
    total = path.stat().st_size if path.is_file() else 0
    if not sys.stderr.isatty():
        yield _plain_lines(path.name, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(output.clean(path.name), total=total)
        yield lambda done: bar.update(task, completed=done)


def _plain_lines(name: str, total: int) -> Callable[[int], None]:
    started = said = time.monotonic()

    def say(done: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _PLAIN_SECONDS and done:
            said = now
            left = (now - started) * (total - done) / done
            share = f"{done / total:.0%}, " if total else ""
            output.line(f"{name}: {share}{output.duration(max(0, left))} left", stderr=True)

    return say


@contextmanager
def _findings_file(path: Path | None) -> Iterator[Callable[[Any], None] | None]:
    """Writes every finding as a JSON line; the file is there whole or not at all."""
    if path is None:
        yield None
        return
    if path.exists():
        raise ConfigurationError("is there already", where=str(path), do="name another file")
    with artifacts.replacing(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        yield lambda found: print(json.dumps(found.as_dict(), ensure_ascii=False), file=out)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _workspace_rules(arguments: argparse.Namespace) -> str:
    try:
        return Workspace.find(arguments.workspace).settings.dataset.rules
    except ConfigurationError:
        if arguments.workspace:
            raise
        return "calibrated"


def _workspace_tokenizer(arguments: argparse.Namespace) -> Path | None:
    """The tokenizer of the workspace's base model, None where there is none yet."""
    from haruon_tui.jobs.store import Store
    from haruon_tui.planning import plan

    try:
        workspace = Workspace.find(arguments.workspace)
        model = plan(workspace, Store(workspace.runs))["model"]
    except ConfigurationError:
        if arguments.workspace:
            raise
        return None
    if model.finished is None:
        return None
    path = model.finished.artifacts / "model" / "tokenizer.json"
    return path if path.is_file() else None
