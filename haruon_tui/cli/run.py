"""Runs a parsed command: finds its handler, and turns errors into words and exit codes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback

from haruon_tui.errors import Exit, HaruonError


def run(arguments: argparse.Namespace) -> int:
    """Run the command's handler and return the exit code. Never raises."""
    module, function = arguments.handler.split(":")
    try:
        handler = getattr(importlib.import_module(f"haruon_tui.cli.{module}"), function)
        return int(handler(arguments))
    except HaruonError as error:
        return _say(arguments, error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:  # noqa: BLE001 - a traceback is for --debug alone
        return _say(
            arguments,
            HaruonError(
                f"{type(error).__name__}: {error}", do="the same command with --debug says where"
            ),
        )


def _say(arguments: argparse.Namespace, error: HaruonError) -> int:
    if arguments.debug:
        traceback.print_exc()
    if arguments.json:
        print(json.dumps({"error": error.as_dict()}, ensure_ascii=False, indent=2))
    print(f"haruon: {error}", file=sys.stderr)
    return error.exit_code
