"""Stage "push": a model with its card to a repository of the Hugging Face Hub.

The token is read from the environment in the job's own process, and goes into no file. The files
are uploaded one by one, then committed at once: a repository never holds half of them. What the
Hub has of a file's content it does not take again, so that a second run goes on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from haruon_tui import artifacts, stage
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.handover import repository
from haruon_tui.model import hub

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

    from haruon_tui.jobs.context import JobContext

CARD = "README.md"
_MEGABYTE = 1e6
_SECONDS = 0.5


class Params(stage.Params):
    """`files` go to the top of the repository under their own names, `sha256` are their digests
    as their runs wrote them down; `card` is README.md; `replace` allows that files which are there
    with another content get a new version."""

    repository: str
    files: list[stage.InputPath]
    sha256: list[str]
    card: str
    public: bool = False
    replace: bool = False


class Result(stage.Result):
    url: str
    commit: str
    files: list[str]
    bytes: int


def run(params: Params, job: JobContext) -> Result:
    """Upload and commit.

    Raises ConfigurationError where something is there that may not be replaced, StageError for a
    refusal, and for a connection that stays broken.
    """
    repository.require_name(params.repository)
    api = repository.connect()
    job.progress(0, 1, phase="check the files")
    for path, sha256 in zip(params.files, params.sha256, strict=True):
        if artifacts.digest(path) != sha256:
            raise StageError(
                "was changed since: its sha256 differs from its manifest's",
                where=str(path),
                expected=sha256,
                do="haruon gguf quantize --force makes it again",
            )
        job.raise_if_stopped()
    contents = dict(zip((path.name for path in params.files), params.sha256, strict=True))
    with repository.speaking(params.repository):
        repository.make(api, params.repository, public=params.public)
        if not params.replace:
            _require_room(repository.other_contents(api, params.repository, contents, params.card))
        return _upload(params, api, job)


def _require_room(names: list[str]) -> None:
    if names:
        raise ConfigurationError(
            f"has {', '.join(names)} already, with another content",
            where="repository",
            do="haruon export push REPOSITORY --yes puts a new version there; the old one stays "
            "in its history",
        )


def _upload(params: Params, api: HfApi, job: JobContext) -> Result:
    meter = _Meter(job, sum(path.stat().st_size for path in params.files))
    additions = [_addition(path.name, path, meter) for path in params.files]
    for path, addition, sha256 in zip(params.files, additions, params.sha256, strict=True):
        addition.upload_info.sha256 = bytes.fromhex(sha256)  # else the library reads it again
        with meter.shown(path):
            api.preupload_lfs_files(
                params.repository, [addition], num_threads=1, free_memory=False
            )
        job.raise_if_stopped()
    job.progress(meter.total, meter.total, phase="commit", unit="MB")
    done = api.create_commit(
        params.repository,
        [*additions, _addition(CARD, params.card.encode(), meter)],
        commit_message="Model and card",
    )
    names = [CARD, *(path.name for path in params.files)]
    url = f"{hub.endpoint()}/{params.repository}"
    return Result(
        summary=f"{len(names)} files, {meter.total:,.1f} MB, at {url}",
        url=url,
        commit=str(done.oid),
        files=names,
        bytes=sum(path.stat().st_size for path in params.files),
    )


class _Meter:
    """Tells how much was sent: of the file under way as it is read, in megabytes."""

    def __init__(self, job: JobContext, size: int) -> None:
        self.total = round(size / _MEGABYTE, 2)
        self._job = job
        self._before = 0.0
        self._reading: BinaryIO | None = None

    @contextmanager
    def shown(self, path: Path) -> Iterator[None]:
        over = threading.Event()

        def tell() -> None:
            self._tell(path)
            while not over.wait(_SECONDS):
                self._tell(path)

        thread = threading.Thread(target=tell)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._reading = None
        self._before += path.stat().st_size

    @contextmanager
    def reads(self, file: BinaryIO) -> Iterator[BinaryIO]:
        self._reading = file
        yield file

    def _tell(self, path: Path) -> None:
        place = 0
        if file := self._reading:
            with suppress(ValueError, OSError):  # it was closed just now
                place = file.tell()
        done = round((self._before + place) / _MEGABYTE, 2)
        self._job.progress(done, self.total, phase=f"upload {path.name}", unit="MB")


def _addition(name: str, content: Path | bytes, meter: _Meter) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    class Metered(CommitOperationAdd):  # type: ignore[misc]
        """Its file tells the meter how far it was read."""

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            with super().as_file(with_tqdm=False) as file, meter.reads(file) as read:
                yield read

    given: Any = os.fspath(content) if isinstance(content, Path) else content
    return Metered(path_in_repo=name, path_or_fileobj=given)
