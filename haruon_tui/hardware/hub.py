"""Rows about where models and answers come from: the Hub, its cache and token, an endpoint.

The variables are huggingface_hub's own (huggingface_hub/constants.py, "Environment variables" in
its documentation). Secrets are looked for, never shown.
"""

from __future__ import annotations

import os
import shlex
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from haruon_tui.hardware.row import Row
from haruon_tui.settings import GenerateSettings, Settings

_SECONDS = 1.6
_TRUE = ("1", "true", "yes", "on")
_TINY = 'model.base = "tiny"'
_FETCH = "haruon model fetch"
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


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
        look = f"ls {shlex.quote(base)}"
        do = f"{look} shows what is there; set model.base to a folder with weights, or {_TINY}"
        found_none = f"{base}: no safetensors"
        return Row(key, title, found_none, "weights", "fails", do, (look,), (_TINY,))
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
    """Whether there is a Hub token: gated models need one, Qwen2 does not. It is never shown. What
    `hf auth login` saved is not used, so that a run does not depend on who logged in here."""
    key, title, needed = "token", "Hub token", "only for gated models"
    names = [name for name in _TOKENS if os.environ.get(name)]
    if names:
        return Row(key, title, f"in {names[0]}", needed, "ok")
    saved = Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token")
    found = f"none in {_TOKENS[0]}; the one in {saved} is not used" if _has_text(saved) else "none"
    return Row(key, title, found, needed, "not applicable")


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


def endpoint(generate: GenerateSettings) -> Row:
    """An OpenAI-compatible endpoint, which only generating examples needs. It is not asked: a key
    may cost. A server of one's own may need none."""
    key, title, needed = "endpoint", "OpenAI endpoint", "only to generate examples"
    if generate.provider == "composer":
        found = 'not asked: generate.provider = "composer"'
        return Row(key, title, found, needed, "not applicable")
    address = generate.base_url or os.environ.get("OPENAI_BASE_URL", "")
    name = generate.api_key_env
    has_key = f"a key in {name}" if os.environ.get(name) else f"no key in {name}"
    if not address and not os.environ.get(name):
        return Row(key, title, "none", needed, "not applicable")
    host = _host(address or "https://api.openai.com/v1")
    if host:
        return Row(key, title, f"{host}, {has_key}", needed, "ok")
    if generate.base_url:
        setting = 'generate.base_url = "http://localhost:8000/v1"'
        found, do = "generate.base_url is no http address", f"for example {setting}"
        return Row(key, title, found, needed, "warning", do, (), (setting,))
    command = "export OPENAI_BASE_URL=http://localhost:8000/v1"
    found, do = "OPENAI_BASE_URL is no http address", f"for example {command}"
    return Row(key, title, found, needed, "warning", do, (command,))


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
