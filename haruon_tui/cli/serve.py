"""`haruon serve`: a GGUF file behind llama-cpp-python's own OpenAI-compatible server."""

from __future__ import annotations

import argparse
import ipaddress
import os
import signal
from contextlib import closing
from typing import NoReturn

from haruon_tui.chat.models import shared_threads
from haruon_tui.chat.server import HOST, Server
from haruon_tui.cli import output
from haruon_tui.cli.chat_model import chat_settings, named_file
from haruon_tui.errors import ConfigurationError, Exit


def serve(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl+C or SIGTERM."""
    settings, model = chat_settings(arguments), named_file(arguments)
    key = _key(arguments.api_key_env)
    if not _is_loopback(arguments.host) and key is None:
        raise ConfigurationError(
            "whoever reaches this machine could use the model",
            where=f"--host {arguments.host}",
            expected=f"{HOST}, which nobody else reaches, or a key",
            do="--api-key-env NAME, with the key in that variable",
        )
    server = Server(
        model,
        context=settings.context,
        host=arguments.host,
        port=arguments.port,
        threads=settings.threads or shared_threads(model, 1),
        gpu_layers=settings.gpu_layers,
        api_key=key,
    )
    signal.signal(signal.SIGTERM, _interrupt)
    with closing(server):
        if not arguments.json:
            output.line(f"loading {model.name} …", stderr=True)
        server.start()
        if arguments.json:
            told = {"url": server.url, "model": model.name, "context": settings.context}
            output.json_line(told | {"pid": server.pid, "key": key is not None})
        else:
            output.line(server.url)
            output.line("Ctrl+C ends it", stderr=True)
        try:
            server.wait()
        except KeyboardInterrupt:
            return Exit.OK


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not (key := os.environ.get(variable)):
        raise ConfigurationError(
            f"the variable {variable} is not set",
            where="--api-key-env",
            expected="the name of a variable that holds the key",
        )
    return key


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        raise ConfigurationError(
            "it is no IPv4 address", where=f"--host {host}", expected=f"such as {HOST}"
        ) from None


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
