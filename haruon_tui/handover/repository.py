"""A repository of the Hugging Face Hub to write to: made, looked at, and its no in words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.model import hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi

NOT_FOUND = 404
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def require_name(name: str) -> None:
    """Raise ConfigurationError unless it is OWNER/NAME as the Hub allows it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        valid = _NAME.fullmatch(name) is not None
    except HFValidationError:
        valid = False
    if not valid:
        raise ConfigurationError(
            f"{name!r} is no name of a repository",
            where="repository",
            expected="OWNER/NAME: letters without accents, digits, - _ and .",
            do="haruon export push kim/haruon-1.5b",
        )


def require_token() -> None:
    """Raise ConfigurationError where the environment has no token."""
    if hub.token() is None:
        raise ConfigurationError(
            "there is no token to write to the Hub with",
            where="HF_TOKEN",
            expected="a token with write permission, in the environment",
            do=f"make one at {hub.endpoint()}/settings/tokens, then export HF_TOKEN",
        )


def connect() -> HfApi:
    """The Hub of HF_ENDPOINT, with the token of the environment."""
    from huggingface_hub import HfApi

    require_token()
    return HfApi(endpoint=hub.endpoint(), token=hub.token())


def make(api: HfApi, name: str, *, public: bool) -> None:
    """Make the repository. One that is there stays as it is, private or public."""
    api.create_repo(name, private=not public, exist_ok=True)


def other_contents(
    api: HfApi, name: str, contents: Mapping[str, str], card: str | None = None
) -> list[str]:
    """Which files, by their sha256, are in the repository already with another content; a card
    that differs among them. Nothing where there is no repository."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(name, files_metadata=True, timeout=hub.ASK_SECONDS)
    except RepositoryNotFoundError as error:
        if error.response.status_code != NOT_FOUND:  # the library says this of a wrong token too
            raise
        return []
    there = {one.rfilename: one for one in info.siblings or ()}
    other = [
        key
        for key, sha256 in contents.items()
        if key in there and (there[key].lfs is None or there[key].lfs.sha256 != sha256)
    ]
    if card is not None and "README.md" in there and there["README.md"].blob_id != _blob(card):
        other.append("README.md")
    return other


def _blob(text: str) -> str:
    """The id that git gives to a file of this content."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Turn what the library raises into a StageError that says what to do."""
    import httpx2

    try:
        yield
    except (httpx2.HTTPError, RuntimeError, ValueError, KeyError, OSError) as error:
        raise _in_words(error, name) from error


def _in_words(error: BaseException, name: str) -> StageError:
    import httpx2

    cause: BaseException | None = error
    while cause is not None:  # the library wraps an upload's fault
        response = getattr(cause, "response", None)
        if response is not None:
            return _refusal(response.status_code, name)
        if isinstance(cause, httpx2.HTTPError | ConnectionError):
            return StageError(
                f"the connection to {hub.endpoint()} broke ({type(cause).__name__})",
                where=name,
                do="run the same again: it goes on with what the Hub has not got",
            )
        cause = cause.__cause__
    return StageError(
        f"{hub.endpoint()} does not answer as the Hugging Face Hub does "
        f"({type(error).__name__}: {_without_token(str(error))[:200]})",
        where=name,
        do="unset HF_ENDPOINT, or set it to the address of the Hub",
    )


def _refusal(status: int, name: str) -> StageError:
    what, do = {
        401: (
            "the token in HF_TOKEN is not accepted",
            f"make one with write permission at {hub.endpoint()}/settings/tokens",
        ),
        403: (
            "the token in HF_TOKEN may not write there",
            "take a token with write permission for this owner, or a repository of your own",
        ),
        404: (
            "is not there, or the token may not see it",
            "check the spelling of OWNER, and whom the token belongs to",
        ),
        409: ("was changed by someone else at this moment", "run the same again"),
        412: ("was changed by someone else at this moment", "run the same again"),
        413: ("the Hub takes no file of this size", "push a smaller type"),
    }.get(
        status,
        ("cannot be written now", "run the same again later: it goes on with what is missing"),
    )
    return StageError(f"{what} ({status} from {hub.endpoint()})", where=name, do=do)


def _without_token(text: str) -> str:
    token = hub.token()
    return text.replace(token, "***") if token else text
