"""An export as it lies on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haruon_tui.jobs.context import read_manifest

FORMAT = "haruon-app-1"
"""The form of the manifest; another program's folder has another one or none."""


def read_export(folder: Path) -> dict[str, Any] | None:
    """The manifest of an export; None for any other folder, or none."""
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError):
        return None
    is_ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    return manifest if is_ours else None
