"""The program `haruon`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from haruon_tui.cli.parser import parse
    from haruon_tui.cli.run import run

    return run(parse(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
