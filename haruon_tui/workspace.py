"""A workspace: one folder with haruon.toml and the runs made from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError

if TYPE_CHECKING:
    from haruon_tui.settings import Settings

FILE_NAME = "haruon.toml"


class Workspace:
    """The folder and its settings. Settings are read again when haruon.toml has changed."""

    def __init__(self, folder: Path, overrides: dict[str, Any] | None = None) -> None:
        """`overrides` are laid over haruon.toml, section by section, for this object alone."""
        self.folder = folder.resolve()
        self.overrides = overrides or {}
        self._settings: Settings | None = None
        self._stamp: tuple[int, int] | None = None

    @classmethod
    def find(cls, start: Path | None = None) -> Workspace:
        """The workspace that holds `start` (the current folder), looking upwards.

        Raises ConfigurationError where there is none.
        """
        folder = (start or Path.cwd()).resolve()
        if not folder.is_dir():
            raise ConfigurationError(
                "is no folder", where=str(folder), do="haruon init DIR makes a workspace"
            )
        for candidate in (folder, *folder.parents):
            if (candidate / FILE_NAME).is_file():
                return cls(candidate)
        raise ConfigurationError(
            f"is no haruon workspace: neither it nor a folder above has a {FILE_NAME}",
            where=str(folder),
            do="`haruon init` makes this folder one, `haruon init DIR` another",
        )

    @classmethod
    def init(cls, folder: Path, profile: str, *, force: bool = False) -> Workspace:
        """Make `folder` a workspace. Raises ConfigurationError where one is already there
        (unless `force`) or the folder cannot be written."""
        from haruon_tui.settings import commented_toml

        file = folder / FILE_NAME
        text = commented_toml(profile)
        if file.exists() and not force:
            raise ConfigurationError(
                "is there already",
                where=str(file),
                do="edit it, or use --force to write the defaults (the old one stays as "
                f"{FILE_NAME}.old)",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if file.exists():
                artifacts.write_text(file.with_name(f"{FILE_NAME}.old"), file.read_text("utf-8"))
            artifacts.write_text(file, text)
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder)

    @property
    def file(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def settings(self) -> Settings:
        """What haruon.toml says now. Raises ConfigurationError when it is wrong."""
        try:
            status = self.file.stat()
        except OSError as error:
            raise ConfigurationError(
                f"cannot be read: {error.strerror}", where=str(self.file), do="haruon init"
            ) from error
        stamp = (status.st_mtime_ns, status.st_size)
        if self._settings is None or stamp != self._stamp:
            from haruon_tui.settings import load_settings  # pydantic: not before the first frame

            self._settings = load_settings(self.file, self.overrides)
            self._stamp = stamp
        return self._settings

    def require_writable(self) -> None:
        """Raise ConfigurationError unless runs can be made here."""
        try:
            self.runs.mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if not os.access(self.runs, os.W_OK | os.X_OK):
            raise _unwritable(self.runs, PermissionError(13, os.strerror(13)))


def _unwritable(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be written: {error.strerror or error}",
        where=str(folder),
        expected="a folder with write permission and free space",
        do=f"ls -ld {folder}; df -h {folder}; or choose another folder: haruon init DIR",
    )
