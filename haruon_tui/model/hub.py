"""What the Hugging Face Hub says of a model: its commit, its files with their digests, or no."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from haruon_tui.errors import StageError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
ASK_SECONDS = 10.0
RETRIED_STATUS = (408, 429, 500, 502, 503, 504)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Passing(Exception):
    """A failure that another try may not meet: no connection, a timeout, a busy server."""


@dataclass(frozen=True)
class RepositoryFile:
    """A file of a repository. `digest` is the sha256 of its content (64 hexadecimal digits) for
    large files, else its git blob id (40); `size` in bytes."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Listing:
    """The top-level files of a repository at one commit."""

    commit: str
    files: tuple[RepositoryFile, ...]


def is_digest(text: str) -> bool:
    """Whether it is a sha256 or a git blob id in hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def token() -> str | None:
    """The Hub token of the environment. A token that `hf auth login` saved is left alone."""
    found = (os.environ.get(name, "").strip() for name in TOKEN_VARIABLES)
    return next((value for value in found if value), None)


def endpoint() -> str:
    """The Hub's address: HF_ENDPOINT, or the public one."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def headers() -> dict[str, str]:
    """The headers of a request, with the token where there is one."""
    from huggingface_hub.utils import build_hf_headers

    return dict(build_hf_headers(token=token() or False))


def url_of(base: str, name: str, commit: str) -> str:
    """Where a file of the repository is served."""
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(base, name, revision=commit, endpoint=endpoint()))


def require_name(base: str) -> None:
    """Raise StageError unless `base` can be the name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(base)
    except HFValidationError as error:
        raise StageError(
            "is no name that the Hub knows, and no folder on this machine",
            where=f"model.base = {base!r}",
            expected='"tiny", owner/name on the Hugging Face Hub, or a folder that is there',
            do="write owner/name, or set model.base to a folder that holds the model",
        ) from error


def listing(base: str, revision: str) -> Listing:
    """Ask the Hub once which commit `revision` is and which files it has.

    Raises Passing, and StageError for a refusal.
    """
    import httpx2
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), token=token() or False)
    try:
        info = api.model_info(base, revision=revision, files_metadata=True, timeout=ASK_SECONDS)
    except httpx2.HTTPStatusError as error:  # also every HfHubHTTPError of the library
        raise _answer(error.response, base, revision) from error
    except httpx2.HTTPError as error:
        response = getattr(error, "response", None)
        if response is not None:
            raise _answer(response, base, revision) from error
        raise Passing(unreachable(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _not_a_hub(base) from error
    return _listing(info, base)


def unreachable(error: Exception) -> str:
    """Why there was no answer, in words."""
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return f"no answer from {endpoint()} for {ASK_SECONDS:.0f} s"
    if isinstance(error, httpx2.ConnectError):
        return f"{endpoint()} cannot be reached ({error})"
    return f"the connection to {endpoint()} broke ({type(error).__name__})"


def refusal(status: int, code: str, base: str, revision: str) -> StageError:
    """The Hub's no in words. `code` is its X-Error-Code header."""
    where = f"model.base = {base!r}"
    expected = "a model on the Hugging Face Hub that you may read"
    sent = token() is not None
    if code == "RevisionNotFound":
        return StageError(
            f"{base} has no revision {revision!r}",
            where=f"model.revision = {revision!r}",
            expected="a branch, a tag or a commit of that repository",
            do=f'look at {endpoint()}/{base}/commits/main, or set model.revision = "main"',
        )
    if code == "GatedRepo":
        what = "is gated: its owner lets only accounts in that have accepted the terms"
        do = f"accept them at {endpoint()}/{base}, then set HF_TOKEN to a token of that account"
    elif status == 404 or (code == "RepoNotFound" and sent):
        what = f"is not on the Hub ({status})"
        do = "check the spelling: owner/name, as in Qwen/Qwen2-1.5B-Instruct"
    elif status == 401 and sent:
        what = (
            "was refused (401): the token in HF_TOKEN is not accepted, or there is no such model"
        )
        do = "set HF_TOKEN to a valid token, or unset it for a public model; check the spelling"
    elif status in (401, 403):
        what = f"was refused ({status}): it does not exist, or it is private or gated"
        do = "check the spelling; for a private or gated model set HF_TOKEN"
    else:
        what = f"was refused by {endpoint()} with status {status}"
        do = "try again later, or set HF_ENDPOINT to a mirror"
    return StageError(what, where=where, expected=expected, do=do)


def _answer(response: object, base: str, revision: str) -> Exception:
    status = int(getattr(response, "status_code", 0))
    code = getattr(response, "headers", {}).get("X-Error-Code") or ""
    if status in RETRIED_STATUS:
        return Passing(f"{endpoint()} answers with status {status}")
    return refusal(status, code, base, revision)


def _listing(info: ModelInfo, base: str) -> Listing:
    files = [_file(sibling, base) for sibling in info.siblings or () if _plain(sibling.rfilename)]
    if not info.sha or not _COMMIT.fullmatch(info.sha):
        raise _not_a_hub(base)
    return Listing(info.sha, tuple(files))


def _plain(name: str) -> bool:
    """Whether it lies at the top of the repository and under an ordinary name."""
    return not name.startswith(".") and not any(sign in name for sign in "/\\\0")


def _file(sibling: RepoSibling, base: str) -> RepositoryFile:
    large = sibling.lfs
    size = large.size if large else sibling.size
    digest = large.sha256 if large else sibling.blob_id
    if not isinstance(size, int) or not digest or not is_digest(digest):
        raise _not_a_hub(base)
    return RepositoryFile(sibling.rfilename, size, digest)


def _not_a_hub(base: str) -> StageError:
    return StageError(
        f"{endpoint()} does not answer as the Hugging Face Hub does",
        where=f"model.base = {base!r}",
        expected="the commit of the revision, and size and digest of each file",
        do="set HF_ENDPOINT to the address of the Hub or of a mirror, or unset it",
    )
