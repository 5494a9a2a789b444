"""The lines that bring a file or a folder to another machine, and check it there.

They are run on the other machine: servers can seldom reach a laptop, laptops can reach servers.
"""

from __future__ import annotations

import getpass
import re
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.export.place import read_export

SUMS = ".sha256sums"
"""Written into a folder that is to be copied: the digest of each of its files."""

LEFT_OUT = "node_modules"
"""`npm ci` makes it again."""

_HOST = re.compile(r"(?:[\w.][\w.-]*@)?(?:[\w.][\w.-]*|\[[0-9A-Fa-f:.%\w]+\])")
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_PATTERN = re.compile(r"[*?\[\]{}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Lines:
    """`bring` copies with rsync and goes on where it was cut, `bring_old` with one older than 3,
    where that differs; `bring_whole` does without and begins anew; `verify` (GNU) and `verify_mac`
    end with status 0 only for an undamaged copy."""

    source: Path
    bytes: int
    files: int
    bring: str
    bring_old: str
    bring_whole: str
    verify: str
    verify_mac: str


def explained(found: Lines) -> list[tuple[str, str]]:
    """The lines, each with what it is for."""
    lines = [
        ("On the other machine; the same line goes on where it was cut:", found.bring),
        ("With an rsync older than 3, as macOS has it:", found.bring_old),
        ("Without rsync, from the beginning each time:", found.bring_whole),
        ("Then this says OK, or the copy is damaged:", found.verify),
        ("The same on macOS:", found.verify_mac),
    ]
    return [(about, line) for about, line in lines if line]


def here() -> str:
    """This machine as its user reaches it, as far as it knows itself."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def lines(source: Path, *, origin: str | None = None, to: str = ".") -> Lines:
    """The lines for a file or folder, with the digests of now. A folder gets its list of digests.

    Raises ConfigurationError for a source, host or name that no line can be made of, StageError
    for an export that is not as it was written.
    """
    source = source.expanduser().absolute()
    origin = _require_host(origin or here())
    _require_copyable(source)
    flags = "-a --partial --progress"
    copied = [source]
    if source.is_dir():
        flags += f" --exclude {LEFT_OUT}"
        copied = _files(source)
        names = {file.relative_to(source).as_posix(): artifacts.digest(file) for file in copied}
        _require_as_exported(source, names)
        sums = _write_sums(source, names)
        place, name, more = _joined(to, source.name), SUMS, f" && %s -c {SUMS}"
    else:
        sums, place, name, more = artifacts.digest(source), to, source.name, ""
    line = shlex.quote(f"{sums}  {name}")

    def verify(program: str) -> str:
        checked = f"printf '%s\\n' {line} | {program} -c -" + more.replace("%s", program)
        return f"(cd {_quoted(place)} && {checked})"

    # An old rsync gives the name to the shell over there; since 3, -s leaves it as it is. All of
    # them, and sftp, take some signs for a pattern.
    old = ""
    escaped = _PATTERN.sub(r"\\\g<0>", str(source))
    here_to = _quoted(to) + "/"
    if not _PLAIN.fullmatch(str(source)):
        old = f"rsync {flags} {shlex.quote(f'{origin}:{shlex.quote(str(source))}')} {here_to}"
        flags += " -s"
    remote = shlex.quote(f"{origin}:{escaped}")
    return Lines(
        source=source,
        bytes=sum(file.stat().st_size for file in copied),
        files=len(copied),
        bring=f"rsync {flags} {remote} {here_to}",
        bring_old=old,
        bring_whole=f"scp -rps {remote} {here_to}",
        verify=verify("sha256sum"),
        verify_mac=verify("shasum -a 256"),
    )


def _require_host(origin: str) -> str:
    if not _HOST.fullmatch(origin):
        raise ConfigurationError(
            f"{origin!r} is no machine that ssh could reach",
            where="--from",
            expected="user@host or host, as in --from kim@192.168.0.7",
        )
    return origin


def _require_copyable(source: Path) -> None:
    if not source.is_file() and not source.is_dir():
        raise ConfigurationError(
            "is not there",
            where=str(source),
            expected="a GGUF, or the folder of an export",
            do="haruon export app makes the folder, haruon gguf quantize the GGUF",
        )
    if _CONTROL.search(str(source)):
        raise ConfigurationError(
            "has a backslash or a control character in its name, which spoils a list of digests",
            where=repr(str(source)),
            do="rename it, or choose another place with haruon export app --out",
        )


def _files(folder: Path) -> list[Path]:
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and LEFT_OUT not in file.relative_to(folder).parts
        and file != folder / SUMS
    )
    if not files:
        raise ConfigurationError("is an empty folder", where=str(folder))
    for file in files:
        _require_copyable(file)
    return files


def _require_as_exported(folder: Path, found: dict[str, str]) -> None:
    """An export's own manifest says what its files were when it was written."""
    for name, about in ((read_export(folder) or {}).get("files") or {}).items():
        sha256 = about.get("sha256") if isinstance(about, dict) else about
        if found.get(name) != sha256:
            raise StageError(
                "is missing" if name not in found else "was changed since it was exported",
                where=str(folder / name),
                expected=f"sha256 {sha256}, as its manifest says",
                do="haruon export app --force",
            )


def _write_sums(folder: Path, names: dict[str, str]) -> str:
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in names.items())
    try:
        artifacts.write_text(folder / SUMS, text)
    except OSError as error:
        raise ConfigurationError(
            f"the list of digests cannot be written: {error.strerror or error}",
            where=str(folder / SUMS),
            do="copy from a folder that you may write",
        ) from error
    return artifacts.digest(folder / SUMS)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _quoted(folder: str) -> str:
    """Quoted for a shell, which still puts in the home folder for `~`."""
    folder = folder.rstrip("/") or "/"
    if folder == "~":
        return folder
    if folder.startswith("~/"):
        return f"~/{shlex.quote(folder[2:])}"
    return shlex.quote(f"./{folder}" if folder.startswith("-") else folder)
