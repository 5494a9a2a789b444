"""A base model from the Hugging Face Hub: pinned to a commit, kept in the Hub's own cache.

The cache is laid out as huggingface_hub does it (blobs by digest, snapshots of links, refs; see
https://huggingface.co/docs/huggingface_hub/guides/manage-cache), so that other programs find the
model there and what they fetched is found here. A snapshot appears when all of its files are
whole.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from haruon_tui.errors import StageError, Stopped
from haruon_tui.model import hub, transfer
from haruon_tui.model.folder import INDEX, TAKEN, refuse_remote_code, require_model
from haruon_tui.model.hub import Listing, Passing, RepositoryFile

if TYPE_CHECKING:
    from haruon_tui.jobs.context import JobContext

ASK_RETRIES = 3
_REPORT_SECONDS = 0.5
_RATE_SECONDS = 10.0
_MEGABYTE = 1e6

Value = TypeVar("Value")


@dataclass(frozen=True)
class Fetched:
    """A whole snapshot. `arrived` counts the bytes that came over the network this time."""

    folder: Path
    commit: str
    arrived: int
    offline: bool = False


def fetch(base: str, revision: str, job: JobContext, *, remote_code: bool = False) -> Fetched:
    """Get a repository's weights, tokenizer and configuration at a commit of `revision`.

    Goes on where an earlier try ended. Offline, or with the Hub out of reach, takes what the
    cache holds and says so. `remote_code` takes the repository's *.py files too. Raises
    StageError, Stopped (at once: what is there stays), OSError.
    """
    hub.require_name(base)
    if _offline():
        job.log("offline mode (HF_HUB_OFFLINE): taking what the cache holds")
        return _from_cache(base, revision, job, StageError("offline mode is on"))
    work = _Fetch(base, revision, job, remote_code=remote_code)
    try:
        return work.run()
    except _OutOfReach as error:
        job.log(f"{error.spoken.what}: looking into the cache", "warning")
        return _from_cache(base, revision, job, error.spoken)


class _OutOfReach(Exception):
    """The Hub did not even tell which files there are."""

    def __init__(self, spoken: StageError) -> None:
        super().__init__(spoken.what)
        self.spoken = spoken


class _Fetch:
    """The network is used in a thread of its own: a stop never waits for a silent server."""

    def __init__(self, base: str, revision: str, job: JobContext, *, remote_code: bool) -> None:
        self._base = base
        self._revision = revision
        self._job = job
        self._remote_code = remote_code
        self._halt = threading.Event()
        self._repository = repository_folder(base)
        say: Callable[[str], None] = lambda text: job.log(text, "warning")  # noqa: E731
        self._transfer = transfer.Transfer(base, revision, say, self._halt)
        self._total = 0
        self._result: Fetched | None = None
        self._error: BaseException | None = None

    def run(self) -> Fetched:
        thread = threading.Thread(target=self._work, name="fetch", daemon=True)
        thread.start()
        report = _Report(self._job, self._transfer)
        try:
            while thread.is_alive():
                self._job.raise_if_stopped()
                report.say(self._total)
                thread.join(_REPORT_SECONDS)
        except BaseException:
            self._halt.set()
            thread.join(1.0)  # between two blocks it ends at once; a silent server is left alone
            raise
        if self._error:
            raise self._error
        report.say(self._total)
        assert self._result is not None
        return self._result

    def _work(self) -> None:
        try:
            self._result = self._fetch()
        except BaseException as error:  # noqa: BLE001 - it is raised in the job's own thread
            self._error = error

    def _fetch(self) -> Fetched:
        found = self._ask()
        small, weights = wanted(found.files, remote_code=self._remote_code)
        require_safetensors(weights, found.files, self._base)
        with _alone(self._repository, self._halt, self._job):
            self._bring(found.commit, small)
            if config := next((file for file in small if file.name == "config.json"), None):
                refuse_remote_code(self._blob(config), self._base, allowed=self._remote_code)
            weights = self._shards(small, weights)
            self._bring(found.commit, weights)
            folder = self._link(found.commit, [*small, *weights])
        return Fetched(folder, found.commit, self._transfer.arrived)

    def _ask(self) -> Listing:
        base, revision, halt = self._base, self._revision, self._halt
        for attempt in range(1, ASK_RETRIES + 2):
            try:
                return hub.listing(base, revision)
            except Passing as broken:
                if attempt > ASK_RETRIES:
                    spoken = StageError(
                        str(broken),
                        where=f"model.base = {base!r}",
                        expected="the Hugging Face Hub, or a mirror of it",
                        do="check the network and HF_ENDPOINT; or set model.base to a folder "
                        "that holds the model",
                    )
                    raise _OutOfReach(spoken) from broken
                wait = 2.0 ** (attempt - 1)
                self._job.log(
                    f"{broken}; try {attempt} of {ASK_RETRIES} in {wait:.0f} s", "warning"
                )
                if halt.wait(wait):
                    raise Stopped from broken
        raise AssertionError

    def _bring(self, commit: str, files: Iterable[RepositoryFile]) -> None:
        """Make each of the files whole in the cache, when there is room for all of them."""
        files = list(files)
        missing = [file for file in files if not self._blob(file).exists()]
        parts = [transfer.size_on_disk(transfer.unfinished(self._blob(file))) for file in missing]
        need = sum(file.size for file in missing) - sum(parts)
        require_room(need, sum(file.size for file in files), self._repository, self._job.folder)
        if need and sum(parts):
            self._job.log(f"going on after {sum(parts):,} bytes of an earlier try")
        self._total += sum(file.size for file in files)
        for file in files:
            blob = self._blob(file)
            if blob.exists():
                self._transfer.doing = "checking"
                if not transfer.matches(blob, file.digest, self._halt):
                    self._job.log(f"{file.name} in the cache is damaged: once more", "warning")
                    blob.unlink()
            self._transfer.bring(file, hub.url_of(self._base, file.name, commit), blob)

    def _shards(
        self, small: Iterable[RepositoryFile], weights: tuple[RepositoryFile, ...]
    ) -> tuple[RepositoryFile, ...]:
        """The weights that the index names, where there is an index."""
        index = next((file for file in small if file.name == INDEX), None)
        if index is None:
            return weights
        try:
            named = set(json.loads(self._blob(index).read_bytes())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            named = set()
        if not named or not named <= {file.name for file in weights}:
            raise StageError(
                "names weights that are not in the repository",
                where=f"{self._base}/{INDEX}",
                expected="the *.safetensors files of the same commit",
                do="take another revision (model.revision), or tell the model's owner",
            )
        return tuple(file for file in weights if file.name in named)

    def _link(self, commit: str, files: Iterable[RepositoryFile]) -> Path:
        """The snapshot of the commit: links to the blobs, there at once. Then the reference."""
        folder = self._repository / "snapshots" / commit
        building = folder if folder.is_dir() else folder.with_name(f".{commit}.{os.getpid()}")
        building.mkdir(parents=True, exist_ok=True)
        for file in files:
            link = building / file.name
            if not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.join("..", "..", "blobs", file.digest))
        if building != folder:
            building.rename(folder)
        if self._revision != commit:
            from haruon_tui.artifacts import write_text

            write_text(self._repository / "refs" / self._revision, commit)
        return folder

    def _blob(self, file: RepositoryFile) -> Path:
        return self._repository / "blobs" / file.digest


class _Report:
    """Progress in megabytes, and the rate of the last seconds as the metric "MB/s"."""

    def __init__(self, job: JobContext, work: transfer.Transfer) -> None:
        self._job = job
        self._work = work
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._said = 0.0

    def say(self, total: int) -> None:
        now, done = time.monotonic(), self._work.present
        self._seen.append((now, self._work.arrived))
        while now - self._seen[0][0] > _RATE_SECONDS:
            self._seen.popleft()
        self._job.progress(
            round(done / _MEGABYTE, 2),
            round(max(total, done) / _MEGABYTE, 2),
            phase=self._work.doing or "asking the Hub",
            unit="MB",
        )
        if self._work.doing == "downloading" and now - self._said >= 1.0:
            self._said = now
            begin, before = self._seen[0]
            rate = (self._work.arrived - before) / max(now - begin, 1e-3)
            self._job.metric(round(done / _MEGABYTE), **{"MB/s": round(rate / _MEGABYTE, 2)})


def repository_folder(base: str) -> Path:
    """Where the cache keeps a repository: HF_HOME or HF_HUB_CACHE move it."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / str(repo_folder_name(repo_id=base, repo_type="model"))


def wanted(
    files: Iterable[RepositoryFile], *, remote_code: bool
) -> tuple[tuple[RepositoryFile, ...], tuple[RepositoryFile, ...]]:
    """The small files to take (configuration, tokenizer, licence) and the weights."""
    suffixes = (*TAKEN, ".py") if remote_code else TAKEN
    taken = [f for f in files if f.name.endswith(suffixes) or f.name == "LICENSE"]
    weights = [f for f in taken if f.name.endswith(".safetensors")]
    small = tuple(f for f in taken if f not in weights)
    if not any(f.name == INDEX for f in small):
        weights = [f for f in weights if f.name == "model.safetensors"] or weights
    return small, tuple(weights)


def require_safetensors(
    weights: Iterable[RepositoryFile], files: Iterable[RepositoryFile], base: str
) -> None:
    """Raise StageError for a repository without *.safetensors."""
    if any(weights):
        return
    other = [f.name for f in files if f.name.endswith((".bin", ".pt", ".pth", ".gguf", ".h5"))]
    raise StageError(
        "has no *.safetensors weights" + (f", only {', '.join(other[:3])}" if other else ""),
        where=f"model.base = {base!r}",
        expected="weights in safetensors files: a pickle can run code when it is loaded",
        do="take a repository that has them, or load the model with transformers, "
        "save_pretrained() it, and haruon model adopt that folder",
    )


def require_room(need: int, whole: int, cache: Path, workspace: Path) -> None:
    """Raise StageError unless the disks hold `need` more bytes in the cache and, where the
    workspace is on another disk and must have its own copy, `whole` bytes there."""
    _require_free(need, cache, "HF_HOME to a folder on a larger disk")
    if _device(cache) != _device(workspace):
        _require_free(whole, workspace, "HF_HOME to a folder on the workspace's disk, or move it")


def _require_free(need: int, folder: Path, other: str) -> None:
    free = shutil.disk_usage(_existing(folder)).free
    if need > free:
        raise StageError(
            f"the disk has {free / 1e9:.2f} GB free, and the model needs {need / 1e9:.2f} GB",
            where=str(folder),
            expected=f"{need:,} bytes free",
            do=f"free some space (haruon jobs prune), or set {other}",
        )


def _device(folder: Path) -> int:
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def _from_cache(base: str, revision: str, job: JobContext, why: StageError) -> Fetched:
    """The whole snapshot that the cache holds, its files checked against their names."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(base, revision=revision, local_files_only=True))
    except IncompleteSnapshotError as error:
        folder = Path(error.snapshot_path)  # it may lack files that are not needed here
    except LocalEntryNotFoundError as error:
        raise _not_cached(base, revision, why) from error
    try:
        require_model(folder)
    except StageError as error:
        raise _not_cached(base, revision, why) from error
    links = [link for link in sorted(folder.iterdir()) if link.is_symlink()]
    for number, link in enumerate(links):
        job.progress(number, len(links), phase="checking", unit="files")
        digest = link.resolve().name
        if hub.is_digest(digest) and not transfer.matches(link, digest, job.stop):
            raise StageError(
                f"{link.name} is damaged: its digest is not its name",
                where=str(link.resolve()),
                expected=f"a file with the digest {digest}",
                do="delete that file and fetch the model again with the Hub in reach",
            )
    job.log(f"from the cache: {base} at commit {folder.name}")
    return Fetched(folder, folder.name, 0, offline=True)


def _not_cached(base: str, revision: str, why: StageError) -> StageError:
    return StageError(
        f"{base} at {revision} is not whole in the cache, and {why.what}",
        where=str(repository_folder(base)),
        expected="the whole model in the cache, or the Hub in reach",
        do="unset HF_HUB_OFFLINE, check the network and HF_ENDPOINT, or set model.base to a "
        "folder that holds the model",
    )


@contextmanager
def _alone(repository: Path, halt: threading.Event, job: JobContext) -> Iterator[None]:
    """Hold the repository's lock: two programs that fetch one model do not mix their bytes."""
    lock = repository.parent / ".locks" / repository.name / "haruon.lock"
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as gate:
        waited = False
        while True:
            try:
                fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waited:
                    job.log("another program is fetching this model: waiting for it")
                waited = True
                if halt.wait(0.2):
                    raise Stopped from None
        yield
