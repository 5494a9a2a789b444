"""llama-cpp-python's own OpenAI-compatible server for one GGUF file, as a child on loopback.

`python -m haruon_tui.chat.server ARGUMENTS` is that child: it ends when its stdin closes, so it
never outlives its parent, however that one ended.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

from haruon_tui.errors import ConfigurationError, StageError

HOST = "127.0.0.1"
_EXTRA = ("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings")
_POLL_SECONDS = 0.05
_END_SECONDS = 5.0
_TAIL_BYTES = 1 << 14
_TAIL_LINES = 4
_LINE_LENGTH = 300


class Server:
    """Started by `start`, which waits until it answers; ended by `close`."""

    def __init__(
        self,
        model: Path,
        *,
        context: int = 2048,
        host: str = HOST,
        port: int = 0,
        threads: int | None = None,
        gpu_layers: int = 0,
        api_key: str | None = None,
    ) -> None:
        """`port` 0 takes a free one. Raises ConfigurationError for what cannot work."""
        if missing := [name for name in _EXTRA if importlib.util.find_spec(name) is None]:
            raise ConfigurationError(
                f"the server's packages are not installed: {', '.join(missing)}",
                do="pip install 'llama-cpp-python[server]'",
            )
        if not model.is_file():
            raise ConfigurationError(
                "there is no such file", where=str(model), expected="a GGUF file"
            )
        self.model = model.absolute()
        self.port = _free_port(host, port)
        self._reached = HOST if host == "0.0.0.0" else host
        self.url = f"http://{self._reached}:{self.port}/v1"
        self._api_key = api_key
        self._arguments = {
            "model": str(self.model),
            "model_alias": self.model.name,
            "host": host,
            "port": str(self.port),
            "n_ctx": str(context),
            "n_gpu_layers": str(gpu_layers),
            "logits_all": "false",  # all of a long context's would take gigabytes
            "interrupt_requests": "false",  # a second client waits; it does not end the first's
            "verbose": "false",
        }
        if threads is not None:
            self._arguments |= {"n_threads": str(threads), "n_threads_batch": str(threads)}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, seconds: float = 600.0) -> None:
        """Start it and wait until it answers. Raises StageError, in its words, when it ends."""
        words = [text for name, value in self._arguments.items() for text in (f"--{name}", value)]
        environment = dict(os.environ)
        environment.pop("HARUON_SERVER_KEY", None)
        if self._api_key:
            environment["HARUON_SERVER_KEY"] = self._api_key  # arguments can be seen by others
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, *words],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,  # Ctrl+C is for the parent, which ends this one
            env=environment,
        )
        deadline = time.monotonic() + seconds
        while not self._answers():
            try:
                code = self._process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                self.close()
                raise StageError(
                    f"the server did not answer within {seconds:g} s", where=str(self.model)
                ) from None
            raise self._ended(code)

    def wait(self) -> NoReturn:
        """Wait for its end, which is an error: it serves until it is closed."""
        assert self._process
        raise self._ended(self._process.wait())

    def close(self) -> None:
        """End it. May be called twice."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._reached, self.port, timeout=5)
        try:
            connection.request("GET", "/v1/models")
            return connection.getresponse().status in (200, 401)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _ended(self, code: int) -> StageError:
        size = self._said.seek(0, 2)
        self._said.seek(max(0, size - _TAIL_BYTES))
        text = self._said.read().decode("utf-8", errors="replace")
        lines = [line.strip()[:_LINE_LENGTH] for line in text.splitlines() if line.strip()]
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        count = 1 if "Traceback" in text else _TAIL_LINES  # its last line says what was wrong
        last = ": " + " | ".join(lines[-count:]) if lines else ""
        if any("address already in use" in line for line in lines):
            last = f": port {self.port} was taken meanwhile"
        return StageError(
            f"the server ended {how}{last}",
            where=str(self.model),
            do="haruon gguf verify tells whether the file is sound",
        )


def _free_port(host: str, wanted: int) -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does
        try:
            probe.bind((host, wanted))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"port {wanted} of {host} cannot be used: {error.args[-1]}",
                where="--port",
                expected="a free port from 1024 to 65535, or 0 for any",
            ) from error
        return int(probe.getsockname()[1])


def main() -> None:
    """The child."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from llama_cpp.server import __main__ as server
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    key = os.environ.pop("HARUON_SERVER_KEY", None)
    # It would take HOST, PORT, SEED, MODEL … of the shell for its own settings.
    own = {name.upper() for name in (*ModelSettings.model_fields, *ServerSettings.model_fields)}
    for name in list(os.environ):
        if name.upper() in own | {"CONFIG_FILE"}:
            del os.environ[name]
    if key:
        os.environ["API_KEY"] = key
    server.main()


def _end_with_parent() -> None:
    while os.read(0, 1 << 10):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
