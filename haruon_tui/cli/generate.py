"""`haruon data generate`: what it would take, and then the job."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from haruon_tui.cli import output
from haruon_tui.cli.stage import finish, workspace_of
from haruon_tui.errors import ConfigurationError, Exit
from haruon_tui.jobs import launch
from haruon_tui.jobs.store import Store

if TYPE_CHECKING:
    from haruon_tui.dataset.generation.estimate import Estimate
    from haruon_tui.dataset.generation.stage import Params


def generate(arguments: argparse.Namespace) -> int:
    """Show the estimate, ask, submit the job and follow it."""
    from haruon_tui.dataset.generation import stage

    workspace = workspace_of(arguments)
    params = stage.configure(workspace.settings)
    if params.provider == "openai":
        found = stage.estimated(params, workspace.folder)
        if arguments.dry_run:
            _show(arguments, params, found)
            return Exit.OK
        stage.require_key(params)
        if found.to_ask and not arguments.yes:
            _confirm(arguments, params, found)
    elif arguments.dry_run:
        output.line(f"{params.count} examples composed offline: no request, no cost")
        return Exit.OK
    submission = launch.submit(
        workspace, Store(workspace.runs), "generate", params, reuse=not arguments.force
    )
    return finish(arguments, workspace, submission)


def _show(arguments: argparse.Namespace, params: Params, found: Estimate) -> None:
    if arguments.json:
        output.document(
            {
                "base_url": params.base_url,
                "other_urls": params.other_urls,
                "model": params.model,
                "ledger": str(params.ledger),
                "wanted": found.wanted,
                "there": found.there,
                "to_ask": found.to_ask,
                "least_tokens": found.least.total,
                "most_tokens": found.most.total,
                "currency": found.prices.currency if found.prices else None,
                "least_cost": found.costs[0] if found.costs else None,
                "most_cost": found.costs[1] if found.costs else None,
                "budget": params.budget,
                "token_budget": params.token_budget,
            }
        )
        return
    for name, words in found.lines(params.model, params.server_words, params.budget_words):
        output.line(f"{name:<9} {words}")


def _confirm(arguments: argparse.Namespace, params: Params, found: Estimate) -> None:
    """Raises ConfigurationError where nobody says yes."""
    refused = ConfigurationError(
        f"{found.to_ask} examples would be asked for, which may cost money",
        where=params.server_words,
        do="--yes asks for them, --dry-run shows what they would take",
    )
    if arguments.json or not sys.stdin.isatty():
        raise refused
    for name, words in found.lines(params.model, params.server_words, params.budget_words):
        output.line(f"{name:<9} {words}", stderr=True)
    output.line("Ask for them? [y/N]", stderr=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise refused
