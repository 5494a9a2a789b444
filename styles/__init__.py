"""One stylesheet per screen, same name."""

from pathlib import Path


def stylesheet(name: str) -> Path:
    """The path of styles/<name>.tcss."""
    return Path(__file__).parent / f"{name}.tcss"
