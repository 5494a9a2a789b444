"""One file from a server to the disk: resumed, checked by its digest, whole or marked unfinished.

huggingface_hub deletes what it has of a file when a download breaks (since 2.0 under a name of
its own for each process), so that 3 GB begin anew. Here the part is kept as <digest>.incomplete
beside the cache's files and goes on by an HTTP range.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from haruon_tui.errors import StageError, Stopped
from haruon_tui.model import hub
from haruon_tui.model.hub import Passing, RepositoryFile

RETRIES = 5
"""Tries in a row that bring nothing; each byte starts the count again."""

SILENCE_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 8.0
UNFINISHED = ".incomplete"
_BLOCK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Say = Callable[[str], None]


class Transfer:
    """Brings files of one repository. The counters may be read from another thread."""

    def __init__(self, base: str, revision: str, say: Say, stop: threading.Event) -> None:
        """`say` gets a line for every break."""
        self.base = base
        self.revision = revision
        self.arrived = 0
        """Bytes over the network."""
        self.finished = 0
        """Bytes of the files that are whole."""
        self.doing = ""
        self._part: Path | None = None
        self._say = say
        self._stop = stop

    @property
    def present(self) -> int:
        """Bytes on the disk: those of whole files, and the part of the one under way."""
        part = self._part
        return self.finished + (size_on_disk(part) if part else 0)

    def bring(self, file: RepositoryFile, url: str, target: Path) -> None:
        """Make `target` the whole, checked file. Raises StageError, Stopped, OSError."""
        if not target.exists():
            part = self._part = unfinished(target)
            begun = size_on_disk(part)
            self._fill(file, url, part)
            if not self._right(file, part):
                if not begun:
                    raise wrong_digest(file, self.base)
                self._say(f"{file.name}: the part of an earlier try was damaged; once more")
                self._fill(file, url, part)
                if not self._right(file, part):
                    raise wrong_digest(file, self.base)
            part.replace(target)
        self._part = None
        self.finished += file.size

    def _right(self, file: RepositoryFile, part: Path) -> bool:
        """Whether the part is the file; one that is not is removed, for nothing in it is sure."""
        self.doing = "checking"
        if matches(part, file.digest, self._stop):
            return True
        part.unlink()
        return False

    def _fill(self, file: RepositoryFile, url: str, part: Path) -> None:
        self.doing = "downloading"
        fruitless = 0
        while True:
            before = self.arrived
            try:
                self._stream(file, url, part)
                return
            except Passing as broken:
                fruitless = 1 if self.arrived > before else fruitless + 1
                kept = size_on_disk(part)
                if fruitless > RETRIES:
                    raise StageError(
                        f"{file.name} could not be fetched: {broken}",
                        where=f"model.base = {self.base!r}",
                        expected="a server that goes on sending",
                        do=f"run the same again: it goes on after the {kept:,} bytes that are "
                        "here; or set HF_ENDPOINT to a mirror",
                    ) from broken
                wait = min(LONGEST_WAIT_SECONDS, 2.0 ** (fruitless - 1))
                self._say(
                    f"{file.name}: {broken}; {kept:,} of {file.size:,} bytes are here, "
                    f"try {fruitless} of {RETRIES} in {wait:.0f} s"
                )
                if self._stop.wait(wait):
                    raise Stopped from broken

    def _stream(self, file: RepositoryFile, url: str, part: Path) -> None:
        """Append what is missing. Raises Passing where the connection breaks."""
        import httpx2
        from huggingface_hub.utils import get_session

        with part.open("ab", buffering=0) as stream:
            begin = stream.tell()
            if begin > file.size:
                stream.truncate(0)
                begin = 0
            if begin == file.size:
                return
            asked = hub.headers() | {"Accept-Encoding": "identity"}
            if begin:
                asked["Range"] = f"bytes={begin}-"
            try:
                with get_session().stream(
                    "GET", url, headers=asked, timeout=httpx2.Timeout(SILENCE_SECONDS)
                ) as response:
                    self._accept(response, file, stream, begin)
                    for block in response.iter_bytes():
                        self._append(stream, block, file)
                        if self._stop.is_set():
                            raise Stopped
            except httpx2.TransportError as error:
                raise Passing(hub.unreachable(error)) from error
            os.fsync(stream.fileno())
            if stream.tell() < file.size:
                raise Passing("the server ended early")

    def _accept(self, response: object, file: RepositoryFile, stream: FileIO, begin: int) -> None:
        status: int = response.status_code  # type: ignore[attr-defined]
        given = response.headers  # type: ignore[attr-defined]
        if status in hub.RETRIED_STATUS:
            raise Passing(f"{hub.endpoint()} answers with status {status}")
        if status == 206 and given.get("Content-Range", "").startswith(f"bytes {begin}-"):
            return
        if status in (200, 206, 416) and begin:  # it ignores ranges, or has another file there
            stream.truncate(0)
            if status != 200:
                raise Passing("the server does not go on where it was asked to")
        elif status != 200:
            code = given.get("X-Error-Code") or ""
            raise hub.refusal(status, code, f"{self.base}/{file.name}", self.revision)

    def _append(self, stream: FileIO, block: bytes, file: RepositoryFile) -> None:
        if stream.tell() + len(block) > file.size:
            stream.truncate(0)
            raise StageError(
                f"{file.name} is longer than the Hub says",
                where=f"model.base = {self.base!r}",
                expected=f"{file.size:,} bytes",
                do="try again; if it stays so, the mirror in HF_ENDPOINT serves another file",
            )
        rest = memoryview(block)
        try:
            while rest:  # unbuffered: progress counts what is on the disk, and a break keeps it
                rest = rest[stream.write(rest) :]
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise disk_full(Path(str(stream.name))) from error
            raise
        self.arrived += len(block)


def unfinished(target: Path) -> Path:
    """The name under which a file lies until it is whole."""
    return target.with_name(target.name + UNFINISHED)


def size_on_disk(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def matches(path: Path, digest: str, stop: threading.Event) -> bool:
    """Whether a file has this digest: sha256, or git's sha1 of "blob <size>\\0" and the content.

    Raises Stopped between two blocks.
    """
    size = path.stat().st_size
    hasher = hashlib.sha256() if len(digest) == 64 else hashlib.sha1(usedforsecurity=False)
    if len(digest) == 40:
        hasher.update(b"blob %d\0" % size)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
            if stop.is_set():
                raise Stopped
    return hasher.hexdigest() == digest


def wrong_digest(file: RepositoryFile, base: str) -> StageError:
    return StageError(
        f"{file.name} is not the file that the Hub names: its digest is another",
        where=f"model.base = {base!r}",
        expected=f"{'sha256' if len(file.digest) == 64 else 'git blob'} {file.digest}",
        do="try again; if it stays so, a proxy or the mirror in HF_ENDPOINT changes it",
    )


def disk_full(part: Path) -> StageError:
    return StageError(
        "the disk is full",
        where=str(part),
        expected="room for the rest of the model",
        do="free some space, or set HF_HOME to a folder on a larger disk; what is here is kept, "
        "and the same command goes on from it",
    )
