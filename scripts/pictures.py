"""Takes the documentation's pictures of the real program: `pictures.py WORKSPACE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from haruon_tui.app import HaruonApp
from haruon_tui.workspace import Workspace

PICTURES = {"4": "training", "5": "evaluate", "6": "gguf", "7": "chat"}
FOLDER = Path(__file__).parent.parent / "docs" / "images"


async def main(workspace: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    app = HaruonApp(Workspace.find(workspace))
    async with app.run_test(size=(130, 38)) as pilot:
        await pilot.pause(3.0)
        for key, name in PICTURES.items():
            await pilot.press(key)
            await pilot.pause(3.0)
            app.save_screenshot(f"{name}.svg", path=str(FOLDER))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
