"""Rows about where models and answers come from: the Hub, its cache and token, an endpoint.

The variables are huggingface_hub's own (huggingface_hub/constants.py, "Environment variables" in
its documentation). Secrets are looked for, never shown.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from haruon_tui.hardware.row import Row
from haruon_tui.settings import Settings

_SECONDS = 2.3
_TRUE = ("1", "true", "yes", "on")
_TINY = 'model.base = "tiny"'
_FETCH = "haruon model fetch"


def on_hub(base: str) -> bool:
    """Whether `base` is a name on the Hub, not built here and not a folder."""
    return base != "tiny" and not Path(base).is_absolute()


def cache_folder() -> Path:
    """Where huggingface_hub keeps models."""
    if chosen := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(chosen).expanduser()
    return _home() / "hub"


def cached(base: str) -> bool:
    """Whether a snapshot of `base` with its weights is in the cache."""
    snapshots = cache_folder() / f"models--{base.replace('/', '--')}" / "snapshots"
    return any(file.exists() for file in snapshots.glob("*/*.safetensors"))


def fetched(settings: Settings) -> bool:
    """Whether the base's weights are on this machine."""
    base = settings.model.base
    return cached(base) if on_hub(base) else base != "tiny"


def model(settings: Settings) -> Row:
    """The configured base model: in the cache, a folder here, or still to be fetched."""
    key, title, base = "model", "Base model", settings.model.base
    if base == "tiny":
        return Row(key, title, "tiny, built here", "none", "ok")
    if not on_hub(base):
        found = list(Path(base).glob("*.safetensors")) if Path(base).is_dir() else []
        if found:
            return Row(key, title, f"{base}: {len(found)} safetensors files", "weights", "ok")
        do = f"ls {base}; set model.base to a folder with safetensors, or {_TINY}"
        return Row(
            key,
            title,
            f"{base}: no safetensors",
            "weights",
            "fails",
            do,
            (f"ls {base}",),
            (_TINY,),
        )
    if cached(base):
        return Row(key, title, f"{base} is in {cache_folder()}", "weights", "ok")
    if _offline():
        do = f"unset HF_HUB_OFFLINE, then {_FETCH}; or {_TINY}"
        commands = ("unset HF_HUB_OFFLINE", _FETCH)
        return Row(
            key, title, f"{base} is not in the cache", "weights", "fails", do, commands, (_TINY,)
        )
    return Row(
        key,
        title,
        f"{base} is not in {cache_folder()}",
        "weights",
        "warning",
        f"{_FETCH} fetches it; a pipeline does so by itself",
        (_FETCH,),
    )


def token() -> Row:
    """Whether there is a Hub token: gated models need one, Qwen2 does not. It is never shown."""
    names = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
    file = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token")
    if not names and _has_text(file):
        names = [str(file)]
    found = f"in {names[0]}" if names else "none"
    return Row(
        "token", "Hub token", found, "only for gated models", "ok" if names else "not applicable"
    )


def hub(settings: Settings) -> Row:
    """Whether the Hub (or HF_ENDPOINT, a mirror) answers for the configured model."""
    key, title = "hub", "Model hub"
    base, revision = settings.model.base, settings.model.revision
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    host = _host(address)
    if not on_hub(base):
        return Row(key, title, "not asked", f"nothing: {base} is here", "not applicable")
    here = cached(base)
    needed = "nothing: the model is in the cache" if here else f"answers for {base}"
    if _offline():
        return Row(
            key, title, "offline mode (HF_HUB_OFFLINE)", needed, "ok" if here else "not applicable"
        )
    path = (
        f"/api/models/{urllib.parse.quote(base)}/revision/{urllib.parse.quote(revision, safe='')}"
    )
    try:
        asked = urllib.request.Request(address + path, method="HEAD")
        with urllib.request.urlopen(asked, timeout=_SECONDS):
            return Row(key, title, f"{host} answers", needed, "ok")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            found = f"{host}: {error.code}, a token is needed, or there is no such model"
            if token().verdict == "ok":
                return Row(key, title, f"{found}; there is a token", needed, "ok")
            do = "export HF_TOKEN=…, from the settings of your account there"
            return Row(key, title, found, needed, "warning", do, ("export HF_TOKEN=…",))
        if error.code == 404:
            found = f"{host} has no {base} at revision {revision}"
            known = 'model.base = "Qwen/Qwen2-1.5B-Instruct"'
            default = 'model.revision = "main"'
            do = f"mend the name: {known}, and {default}"
            return Row(
                key,
                title,
                found,
                needed,
                "ok" if here else "fails",
                "" if here else do,
                (),
                () if here else (known, default),
            )
        found = f"{host} answers {error.code}"
    except (OSError, ValueError) as error:
        found = f"{host} does not answer ({getattr(error, 'reason', error)})"
    if here:
        return Row(key, title, found, needed, "ok")
    mirror, check = "export HF_ENDPOINT=https://your.mirror", f"curl -sI {address}"
    do = f"{check} shows the network's answer; a mirror: {mirror}; or {_TINY}"
    return Row(key, title, found, needed, "fails", do, (check, mirror), (_TINY,))


def endpoint() -> Row:
    """An OpenAI-compatible endpoint, which only generating examples needs."""
    key, title, needed = "endpoint", "OpenAI endpoint", "only to generate examples"
    address = os.environ.get("OPENAI_BASE_URL", "")
    has_key = "a key is set" if os.environ.get("OPENAI_API_KEY") else "no key is set"
    if not address and not os.environ.get("OPENAI_API_KEY"):
        return Row(key, title, "none", needed, "not applicable")
    host = _host(address or "https://api.openai.com/v1")
    if not host:
        command = "export OPENAI_BASE_URL=http://localhost:8000/v1"
        found = "OPENAI_BASE_URL is no http address"
        return Row(key, title, found, needed, "warning", f"for example {command}", (command,))
    return Row(key, title, f"{host}, {has_key}", needed, "ok")


def _home() -> Path:
    if chosen := os.environ.get("HF_HOME"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"


def _offline() -> bool:
    return any(
        os.environ.get(name, "").lower() in _TRUE
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _host(address: str) -> str:
    """Host and port of an http address, without what may be a password; empty for no address."""
    try:
        parts = urllib.parse.urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return (
        f"{parts.hostname}{port}" if parts.scheme in ("http", "https") and parts.hostname else ""
    )


def _has_text(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False
