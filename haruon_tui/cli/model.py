"""`haruon model fetch`, `card`, `adopt` and `probe`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from haruon_tui import planning
from haruon_tui.cli import output
from haruon_tui.cli import stage as stage_command
from haruon_tui.errors import ConfigurationError, Exit, StageError
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Store
from haruon_tui.workspace import Workspace

if TYPE_CHECKING:
    from haruon_tui.model.card import Card


def fetch(arguments: argparse.Namespace) -> int:
    """Run the model stage; with a finished one, say first whether its revision has moved."""
    if not arguments.force and not arguments.json:
        workspace = stage_command.workspace_of(arguments)
        step = planning.plan(workspace, Store(workspace.runs))["model"]
        if step.finished and (moved := _moved(step)):
            output.line(moved, stderr=True)
    return stage_command.run_stage(arguments)


def card(arguments: argparse.Namespace) -> int:
    """Show what a model in a folder is, without loading it."""
    from haruon_tui.model.card import card as card_of

    facts = card_of(_folder(arguments))
    if arguments.json:
        output.document(facts.model_dump(mode="json"))
    else:
        for name, value in card_rows(facts):
            output.line(f"{name:<20} {value}")
    return Exit.OK


def adopt(arguments: argparse.Namespace) -> int:
    """Make a folder the workspace's base, after saying what changes."""
    from haruon_tui import settings_file
    from haruon_tui.model.card import card as card_of
    from haruon_tui.model.folder import refuse_remote_code

    workspace = Workspace.find(arguments.workspace)
    model = workspace.settings.model
    folder = arguments.folder.expanduser().resolve()
    facts = card_of(folder)
    trusted = model.trust_remote_code in (str(folder), folder.name)
    refuse_remote_code(folder / "config.json", folder.name, allowed=trusted)
    base = _written(folder, workspace.folder)
    changes = {"model.base": [model.base, str(folder)]}
    if model.revision != "main":
        changes["model.revision"] = [model.revision, "main"]
    settings_file.changed(workspace.file, {"model.base": base})
    if not arguments.json:
        output.line(f"{folder} is whole: {facts.architecture}, {facts.parameters:,} parameters")
        for key, (before, after) in changes.items():
            output.line(f"{workspace.file}: {key} = {before!r} becomes {after!r}")
        output.line("the stages from model on run again; what they made before stays in runs/")
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "haruon.toml would be changed", where=str(workspace.file), do="--yes changes it"
            )
        output.line("Change it? [y/N]", stderr=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Exit.INTERRUPTED
    settings_file.set_base(workspace.file, base)
    if arguments.json:
        output.document({"changed": changes, "card": facts.model_dump(mode="json")})
    else:
        output.line("changed; haruon model fetch takes it over and lets it speak")
    return Exit.OK


def probe(arguments: argparse.Namespace) -> int:
    """Let a model speak, as a job, and show what it says as it says it."""
    from haruon_tui.model.probe import Params

    workspace = Workspace.find(arguments.workspace)
    folder = _folder(arguments)
    trusted = workspace.settings.model.trust_remote_code in (str(folder), folder.name)
    params = Params(folder=folder, prompt=arguments.prompt, remote_code=trusted)
    submission = launch.submit(
        workspace, Store(workspace.runs), "probe", params, reuse=False, fresh=True
    )
    return stage_command.finish(arguments, workspace, submission)


def card_rows(facts: Card) -> list[tuple[str, str]]:
    """The card as names and values."""
    dtypes = ", ".join(f"{name} {count:,}" for name, count in facts.dtypes.items())
    special = ", ".join(
        f"{token.role + ' ' if token.role else ''}{token.text} {token.id}"
        for token in facts.special_tokens
    )
    stops = ", ".join(f"{token.text} {token.id}" for token in facts.stop_tokens)
    return [
        ("architecture", f"{facts.architecture} ({facts.model_type})"),
        ("parameters", f"{facts.parameters:,}"),
        ("weights", f"{output.size(facts.bytes)}, {dtypes}"),
        ("layers", f"{_or_dash(facts.layers)}, hidden size {_or_dash(facts.hidden)}"),
        (
            "attention heads",
            f"{_or_dash(facts.heads)}, {_or_dash(facts.key_value_heads)} for keys and values",
        ),
        ("context", f"{_or_dash(facts.context)} tokens"),
        (
            "vocabulary",
            f"{_or_dash(facts.vocabulary)}, {facts.tokens} of them in the tokenizer, output "
            f"layer {'tied to' if facts.tied_embeddings else 'apart from'} the embedding",
        ),
        ("chat template", facts.template),
        ("special tokens", special or "-"),
        ("generation stops at", stops or "nothing it names"),
        ("licence", facts.license or "not named in README.md"),
    ]


def _or_dash(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _folder(arguments: argparse.Namespace) -> Path:
    """The folder meant: one on this machine, a repository in the cache, else the base of the
    workspace."""
    name = arguments.model
    if name is not None:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder.resolve()
        return _cached(name)
    workspace = Workspace.find(arguments.workspace)
    step = planning.plan(workspace, Store(workspace.runs))["model"]
    if step.finished is None:
        raise ConfigurationError(
            f"the base of this workspace is not there yet: {workspace.settings.model.base}",
            where=str(workspace.folder),
            do="haruon model fetch; or name a folder",
        )
    return step.finished.artifacts / "model"


def _cached(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise ConfigurationError(
            f"{name!r} is no folder here and no model in the Hub's cache",
            expected="a folder with a model, or owner/name of one that was fetched",
            do=f"haruon model fetch --set model.base={name}",
        ) from error


def _written(folder: Path, workspace: Path) -> str:
    """The path as haruon.toml should name it: relative inside the workspace."""
    if folder.is_relative_to(workspace):
        return f"./{folder.relative_to(workspace)}"
    return str(folder)


def _moved(step: planning.Step) -> str | None:
    """One line when the Hub has another commit by now than the finished run is pinned to."""
    from huggingface_hub import constants

    from haruon_tui.model import hub
    from haruon_tui.model.stage import Params

    params, status = step.params, step.finished.status() if step.finished else None
    pinned = (status.result or {}).get("commit") if status else None
    if not isinstance(params, Params) or not pinned or constants.is_offline_mode():
        return None
    try:
        now = hub.listing(params.base, params.revision).commit
    except (hub.Passing, StageError):
        return f"pinned to {pinned[:12]}; the Hub does not say whether that is still current"
    if now == pinned:
        return f"pinned to {pinned[:12]}, which is still {params.revision} on the Hub"
    return (
        f"pinned to {pinned[:12]}; {params.revision} on the Hub has moved to {now[:12]} since: "
        "--force fetches that"
    )
