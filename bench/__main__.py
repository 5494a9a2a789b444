"""`python -m bench [NAME]`: print each measurement as one JSON line."""

from __future__ import annotations

import importlib
import json
import sys

ALL = ("startup", "lateness", "browser", "training_screen")


def main() -> None:
    for name in sys.argv[1:] or ALL:
        module = importlib.import_module(f"bench.{name}")
        print(json.dumps({"bench": name, **module.measure()}, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
