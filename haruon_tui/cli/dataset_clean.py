"""`haruon data clean` and `haruon data stats`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui.cli import output
from haruon_tui.cli.meter import Meter
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.workspace import Workspace

if TYPE_CHECKING:
    from haruon_tui.settings import Settings


def clean(arguments: argparse.Namespace) -> int:
    """Clean a file into another. Exits 1 when nothing of it is usable."""
    from haruon_tui.dataset import clean as cleaning
    from haruon_tui.dataset import golden, persona, rules

    settings = settings_of(arguments)
    name = arguments.rules or (settings.dataset.rules if settings else rules.DEFAULT)
    cases = {
        case["id"]: persona.user_turn(case["answers"])
        for case in golden.load_cases(golden.cases_file())
    }
    out = out_file(arguments.out, arguments.file)
    with Meter("cleaning", quiet=arguments.json) as meter:
        result = cleaning.clean(
            arguments.file, out, rules.load(name), cases=cases, progress=meter.at
        )
    if arguments.json:
        output.document(result.as_dict())
        return Exit.OK if result.kept else Exit.CHECK_FAILED
    output.line(f"{result.source}: {result.encoding}, by the rules '{result.rule_set}'")
    output.line(
        f"{result.lines} lines = {result.kept} kept + {result.dropped} dropped "
        f"({result.exact_duplicates} exact, {result.near_duplicates} near duplicates) "
        f"+ {result.rejected} rejected; {result.blank} blank besides"
    )
    output.line(f"{result.fixed} records fixed")
    for fix, count in result.fixes.items():
        output.line(f"  {fix}: {count}")
    if result.reasons:
        output.line("reasons for rejecting, by rule (a record may have several)")
        for reason, count in sorted(result.reasons.items(), key=lambda pair: -pair[1]):
            output.line(f"  {reason}: {count}")
    for what, file in (
        ("kept", result.file),
        ("rejected", result.rejects),
        ("changes", result.changes),
    ):
        output.line(f"{what}: {file}")
    return Exit.OK if result.kept else Exit.CHECK_FAILED


def stats(arguments: argparse.Namespace) -> int:
    """Counts, sources, levels and lengths of a dataset file. Exits 1 when it has no record."""
    from haruon_tui.dataset import statistics, token_lengths

    tokenizer = arguments.tokenizer or _tokenizer(arguments)
    if tokenizer is not None and tokenizer.is_dir():
        tokenizer = tokenizer / "tokenizer.json"
    with Meter("counting", quiet=arguments.json) as meter:
        found = statistics.of_file(arguments.file, token_lengths.counter(tokenizer), meter.at)
    if arguments.json:
        output.document(found.as_dict())
        return Exit.OK if found.records else Exit.CHECK_FAILED
    bad = f", {found.unreadable} unreadable lines" if found.unreadable else ""
    output.line(f"{found.path}: {found.records} records{bad}")
    output.line(
        f"golden: {found.golden_share:.0%} of the records; augmented: {found.augmented} of them"
    )
    output.table(("source", "records"), _rows(found.sources))
    output.table(
        ("trait", *next(iter(found.levels.values()))),
        [(trait, *map(str, levels.values())) for trait, levels in found.levels.items()],
    )
    head = ("length", "least", "10 %", "half", "90 %", "most")
    output.table(
        head,
        [
            (name, *(f"{value:,}" for value in values.values()))
            for name, values in found.lengths.items()
        ],
    )
    if not found.exact_tokens:
        output.line("tokens are an upper estimate: --tokenizer FOLDER counts them")
    return Exit.OK if found.records else Exit.CHECK_FAILED


def settings_of(arguments: argparse.Namespace) -> Settings | None:
    """The settings of the workspace, None outside of one."""
    try:
        return Workspace.find(arguments.workspace).settings
    except ConfigurationError:
        if arguments.workspace:
            raise
        return None


def out_file(out: Path, source: Path) -> Path:
    """The file meant by --out: in a folder, the source's name."""
    return out / source.name if out.is_dir() else out


def _tokenizer(arguments: argparse.Namespace) -> Path | None:
    """The tokenizer of the workspace's base model, where it is there."""
    from haruon_tui import planning
    from haruon_tui.jobs.store import Store

    try:
        workspace = Workspace.find(arguments.workspace)
        finished = planning.plan(workspace, Store(workspace.runs))["model"].finished
    except ConfigurationError:
        return None
    file = finished.artifacts / "model" / "tokenizer.json" if finished else None
    return file if file and file.is_file() else None


def _rows(counts: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]
