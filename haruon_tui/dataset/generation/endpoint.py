"""One request to an OpenAI-compatible server, and what came of it in terms of money.

Nothing is tried again here: every request that may be paid for is the caller's to note.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from haruon_tui.dataset.generation.redaction import Redaction
from haruon_tui.dataset.generation.retry import retry_after
from haruon_tui.dataset.token_lengths import Estimate
from haruon_tui.errors import ConfigurationError

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

DEFAULT_URL = "https://api.openai.com/v1"
_MAX_BYTES = 8 << 20
_MAX_WORDS = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Failure = Literal["rate limit", "server error", "timeout", "connection", "cut off", "no answer"]


@dataclass(frozen=True)
class Answer:
    """What the server wrote. `counted` is False where it did not say its tokens and they are
    estimated."""

    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    counted: bool


class Failed(Exception):
    """No answer, this time. `maybe_paid` when the server may have done the work; `wait` is what
    Retry-After says, in seconds."""

    def __init__(
        self, kind: Failure, words: str, *, maybe_paid: bool, wait: float | None = None
    ) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words
        self.maybe_paid = maybe_paid
        self.wait = wait


class Refused(Exception):
    """The server does not take a request of this form."""


class Unusable(Exception):
    """No request will be answered; `do` is what helps."""

    def __init__(self, words: str, do: str) -> None:
        super().__init__(words)
        self.words = words
        self.do = do


def checked_url(base_url: str, where: str = "generate.base_url") -> str:
    """The server's URL, without a slash at its end; `where` is the setting that names it.

    Raises ConfigurationError for one that is none, or that holds a secret: it is stored.
    """
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            "is no address of a server", where=where, expected="such as http://localhost:8000/v1"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "holds more than an address, maybe a secret; it is stored with every run",
            where=where,
            expected="no user, password or query in it",
            do="put the key into a variable, and its name into generate.api_key_env",
        )
    return url


def key_of(name: str, base_url: str) -> str:
    """The key in the environment variable `name`.

    A server on this machine needs none. Raises ConfigurationError; never shows a key, also not
    one that stands in the settings by mistake.
    """
    where = "generate.api_key_env"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "is no name of a variable; if it is the key itself, take it out of haruon.toml",
            where=where,
            expected="the name of an environment variable, such as OPENAI_API_KEY",
        )
    key = os.environ.get(name, "").strip()
    if not key and is_local(base_url):
        return "none"
    if not key:
        raise ConfigurationError(
            f"the environment variable {name} is not set",
            where=where,
            expected="the key of the server, in that variable",
            do=f"export {name}=…, in the shell that starts haruon; or name another variable",
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"the environment variable {name} holds characters that no key has",
            where=where,
            expected="printable ASCII without spaces",
        )
    return key


def is_local(base_url: str) -> bool:
    """Whether the server is on this machine."""
    host = urlsplit(base_url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


class Endpoint:
    """An open connection to one model of one server. Use it as an async context manager."""

    def __init__(self, base_url: str, model: str, key: str, *, timeout: float) -> None:
        """`timeout` holds for a whole answer, in seconds."""
        import httpx2
        from openai import AsyncOpenAI

        self.url = base_url
        self._model = model
        self._timeout = timeout
        self._redact = Redaction(None if key == "none" else key)
        self._client: AsyncOpenAI = AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 20.0)),
        )

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(
        self, messages: Sequence[Mapping[str, str]], arguments: Mapping[str, Any]
    ) -> Answer:
        """One request. Raises Failed, Refused or Unusable; no text of theirs holds the key."""
        import openai

        failure: Exception
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._body(messages, arguments)
            return self._read(body, messages)
        except (Failed, Unusable) as error:
            failure = error
        except TimeoutError:
            failure = self._timed_out()
        except openai.APITimeoutError as error:
            failure = self._timed_out() if _was_sent(error) else self._unreachable(error)
        except openai.APIStatusError as error:
            failure = self._of_status(error)
        except openai.APIConnectionError as error:
            failure = self._cut_off(error) if _was_sent(error) else self._unreachable(error)
        except Exception as error:
            if not type(error).__module__.startswith(("httpx2", "httpcore2", "openai", "h11")):
                raise
            failure = self._cut_off(error)
        raise failure from None  # the cause's text could hold the key

    async def _body(
        self, messages: Sequence[Mapping[str, str]], arguments: Mapping[str, Any]
    ) -> bytes:
        create: Any = self._client.chat.completions.with_streaming_response.create
        async with create(model=self._model, messages=list(messages), **arguments) as response:
            body = bytearray()
            async for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise Failed("no answer", "the answer has over 8 MiB", maybe_paid=True)
            return bytes(body)

    def _read(self, body: bytes, messages: Sequence[Mapping[str, str]]) -> Answer:
        try:
            value = json.loads(body)
            choice = value["choices"][0]
            message = choice["message"]
            content = message.get("content") or ""
            if isinstance(content, list):  # some servers write parts
                content = "".join(str(part.get("text", "")) for part in content)
            text = self._redact.text(str(content))
            finish = str(choice.get("finish_reason") or "stop")[:40]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            start = self._words(body[:200].decode("utf-8", "replace"))
            words = f"what came is no chat completion: {start!r}"
            raise Failed("no answer", words, maybe_paid=True) from None
        if message.get("refusal") and not text:
            finish = "refusal"
        used: Any = value.get("usage") if isinstance(value.get("usage"), dict) else {}
        given, written = used.get("prompt_tokens"), used.get("completion_tokens")
        if _is_count(given) and _is_count(written):
            return Answer(text, finish, int(given), int(written), True)
        return Answer(text, finish, input_estimate(messages), Estimate().count(text), False)

    def _of_status(self, error: APIStatusError) -> Exception:
        status, words = error.status_code, self._words(_message(error))
        said = f"{status}: {words}" if words else str(status)
        wait = retry_after(error.response.headers)
        if status == 401:
            return Unusable(f"the server does not know the key ({said})", _MEND_KEY)
        if status == 402 or (status == 429 and error.code == "insufficient_quota"):
            return Unusable(f"the account has no credit left ({said})", "pay it up at the server")
        if status == 403:
            return Unusable(f"the server does not allow this ({said})", _MEND_KEY)
        if status == 404 or error.code == "model_not_found":
            return Unusable(
                f"the server has no such model or address ({said})",
                "mend generate.model or generate.base_url (it mostly ends in /v1)",
            )
        if error.code == "context_length_exceeded" or "context length" in words.lower():
            return Unusable(
                f"the prompt is too long for the model ({said})",
                "set generate.examples = 0, or lower generate.max_tokens",
            )
        # llama-cpp-python answers what its types do not know with 500
        if status in (400, 422) or (status >= 500 and "response_format" in words):
            return Refused(words)
        if status == 429:
            return Failed("rate limit", said, maybe_paid=False, wait=wait)
        if status in (408, 409, 425) or status >= 500:
            return Failed("server error", said, maybe_paid=False, wait=wait)
        return Unusable(f"the server refuses the request ({said})", "look at generate.base_url")

    def _timed_out(self) -> Failed:
        return Failed("timeout", f"no answer in {self._timeout:g} s", maybe_paid=True)

    def _unreachable(self, error: Exception) -> Failed:
        words = f"the server cannot be reached: {self._words(_cause(error))}"
        return Failed("connection", words, maybe_paid=False)

    def _cut_off(self, error: Exception) -> Failed:
        words = f"the answer broke off: {self._words(_cause(error))}"
        return Failed("cut off", words, maybe_paid=True)

    def _words(self, text: str) -> str:
        return self._redact.text(" ".join(text.split()))[:_MAX_WORDS].rstrip(".")


_MEND_KEY = "put the right key into the variable named in generate.api_key_env"


def input_estimate(messages: Sequence[Mapping[str, str]]) -> int:
    """Tokens of a prompt, at most."""
    count = Estimate().count
    return sum(count(message["content"], spoken=True) + 8 for message in messages)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _message(error: APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    try:
        value = json.loads(error.response.text)
        said = value.get("error") or value.get("detail") or value.get("message")
        return str(said.get("message") or said) if isinstance(said, dict) else str(said or "")
    except Exception:  # noqa: BLE001 - a body that was not read, or is no JSON
        return error.message if error.body is None else str(error.body)


def _was_sent(error: Exception) -> bool:
    """Whether the server may have seen the request."""
    import httpx2

    cause = error.__cause__ or error.__context__
    return not isinstance(
        cause,
        httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError,
    )


def _cause(error: Exception) -> str:
    cause = error.__cause__ or error.__context__ or error
    return str(cause) or type(cause).__name__
