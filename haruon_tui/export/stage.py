"""Stage "export": a folder that the people who build the app can work with.

    manifest.json    what the model is, how it is asked, and what was measured of it
    model/           the GGUF
    kit/             TypeScript for Expo and React Native, built on llama.rn
    README.md        for the team of the app

The folder lies where the user wants it, not among the artefacts; it is whole or absent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pydantic import Field

from haruon_tui import __version__, artifacts, stage
from haruon_tui.chat.protocol import Sampling
from haruon_tui.dataset import persona
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.evaluation.cases import Case, read_all
from haruon_tui.export import kit, results
from haruon_tui.export.fits import fits
from haruon_tui.export.place import FORMAT, read_export
from haruon_tui.export.prompt import pieces
from haruon_tui.export.rule_data import rule_data
from haruon_tui.jobs.context import read_manifest

if TYPE_CHECKING:
    from haruon_tui.gguf.native import Model
    from haruon_tui.jobs.context import JobContext

MODEL_FOLDER = "model"
KIT_FOLDER = "kit"


class Params(stage.Params):
    """`context` and `max_tokens` are the app's; `notes` what the user was told is missing; `runs`
    the runs that it comes from, by stage."""

    gguf: stage.InputPath
    type: str
    proof: stage.InputPath
    cases: list[stage.InputPath]
    comparison: stage.InputPath | None = None
    evaluations: list[stage.InputPath] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    runs: dict[str, str] = Field(default_factory=dict)
    rules: str
    context: int
    max_tokens: int
    temperature: float
    top_p: float
    out: Path
    replace: bool = False


class Result(stage.Result):
    """`folder` is the export, `sha256` that of the GGUF in it."""

    folder: str
    model: str
    sha256: str
    bytes: int
    linked: bool
    notes: list[str]


def run(params: Params, job: JobContext) -> Result:
    """Write the folder. A folder that this job left before is written again.

    Raises ConfigurationError for a place that is taken, StageError for a GGUF that is not the one
    that was proved, and for a context that does not hold every evaluation case.
    """
    with _sole_writer(params, job):
        for note in params.notes:
            job.log(note, "warning")
        job.progress(0, 4, phase="check the GGUF")
        sha256 = require_proven(params)
        job.raise_if_stopped()
        job.progress(1, 4, phase="read the GGUF")
        cases = read_all(params.cases)
        manifest, parts = _describe(params, cases, sha256, job.id)
        job.raise_if_stopped()
        job.progress(2, 4, phase="write the folder")
        try:
            with artifacts.replacing(params.out) as folder:
                folder.mkdir()
                linked = _place(params.gguf, folder / manifest["model"]["file"])
                kit.write(folder / KIT_FOLDER, manifest, parts, cases)
                shutil.copyfile(kit.source() / kit.README, folder / kit.README)
                job.raise_if_stopped()
                job.progress(3, 4, phase="hash the files")
                manifest["files"] = _files(folder, manifest["model"])
                artifacts.write_json(folder / artifacts.MANIFEST, manifest)
        except OSError as error:
            raise _unwritable(params.out, error) from error
        job.progress(4, 4, phase="done")
    return Result(
        summary=f"{params.out}: {params.type}, {params.gguf.stat().st_size / 1e6:,.1f} MB, "
        f"{len(manifest['files'])} files",
        folder=str(params.out),
        model=manifest["model"]["file"],
        sha256=sha256,
        bytes=manifest["model"]["bytes"],
        linked=linked,
        notes=params.notes,
    )


@contextmanager
def _sole_writer(params: Params, job: JobContext) -> Iterator[None]:
    """Let one export of this workspace write at a time, and clear away what a killed one left."""
    out = params.out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    with (job.folder.parent / ".export.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StageError(
                "another export of this workspace is under way",
                where=str(out),
                do="wait for it: haruon jobs list --active",
            ) from error
        for left in out.parent.glob(f".{out.name}.*"):
            pid, _, kind = left.name.removeprefix(f".{out.name}.").partition(".")
            if pid.isdecimal() and kind in ("part", "old") and not psutil.pid_exists(int(pid)):
                artifacts.remove(left)
        _require_free(params, job)
        yield


def _require_free(params: Params, job: JobContext) -> None:
    """Raise ConfigurationError unless `out` is not there, may be replaced, or is what an earlier
    attempt of this job made."""
    if not params.out.exists() and not params.out.is_symlink():
        return
    manifest = read_export(params.out)
    if manifest is None:
        raise ConfigurationError(
            "is there, and is no export of this program",
            where=str(params.out),
            expected="a folder that does not exist yet",
            do="haruon export app --out DIR writes to another place",
        )
    if not params.replace and manifest.get("job") != job.id:
        raise ConfigurationError(
            "is an earlier export",
            where=str(params.out),
            do="--force replaces it; --out DIR writes to another place",
        )


def require_proven(params: Params) -> str:
    """The digest of the GGUF, when it is what its run left behind and its proof holds."""
    made = (read_manifest(params.gguf.parent) or {}).get("artifacts", {}).get(params.gguf.name)
    proof = results.read(params.proof)
    failed = [line for line in proof if not line.get("ok")] if isinstance(proof, list) else [{}]
    if failed or not proof:
        raise StageError(
            "does not say that the GGUF behaves as the model",
            where=str(params.proof),
            do="haruon gguf convert --force",
        )
    try:
        sha256 = artifacts.digest(params.gguf)
    except OSError as error:
        raise StageError(
            f"cannot be read: {error.strerror}", where=str(params.gguf), do="haruon gguf quantize"
        ) from error
    if not made or made.get("sha256") != sha256:
        raise StageError(
            "is not the file that its run made: its sha256 differs from the manifest's",
            where=str(params.gguf),
            do="haruon gguf quantize --force (or convert --force) makes it again",
        )
    return sha256


def _describe(
    params: Params, cases: list[Case], sha256: str, job: str
) -> tuple[dict[str, Any], list[str]]:
    """The manifest without its list of files, and the pieces of the prompt."""
    from haruon_tui.gguf.native import Model

    with Model(params.gguf, context=_SMALLEST_CONTEXT, repack=False) as model:
        parts = pieces(model)
        fit = fits(model, parts, cases, params.context, params.max_tokens)
        described = _model(model, params, sha256)
        stop = _stops(model)
        template = model.chat_template
    rules = rule_data(params.rules)
    sampling = Sampling(temperature=params.temperature, top_p=params.top_p)
    return {
        "format": FORMAT,
        "job": job,
        "model": described,
        "context": params.context,
        "max_tokens": params.max_tokens,
        "fits": fit,
        "stop": list(stop),
        "stop_token_ids": list(stop.values()),
        "sampling": {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repeat_penalty,
        },
        "system_prompt": persona.SYSTEM_PROMPT,
        "chat_template": template,
        "rules": {key: rules[key] for key in ("name", "approximated", "left_out")},
        "proof": results.read(params.proof),
        "evaluation": results.evaluation(params.evaluations, params.gguf),
        "phone": results.phone_budget(params.comparison, params.gguf),
        "targets": results.targets(),
        "notes": params.notes,
        "runs": params.runs,
        "versions": {
            "haruon-tui": __version__,
            **{name: version(name) for name in ("llama-cpp-python", "gguf")},
        },
    }, parts


_SMALLEST_CONTEXT = 64
"""Tokens: nothing is generated."""


def _model(model: Model, params: Params, sha256: str) -> dict[str, Any]:
    name = model.metadata("general.name")
    return {
        "file": f"{MODEL_FOLDER}/haruon.{params.type}.gguf",
        "bytes": params.gguf.stat().st_size,
        "sha256": sha256,
        "type": params.type,
        "name": name,
        "architecture": model.metadata("general.architecture"),
        "parameters": model.parameters,
        "file_type": model.file_type,
        "base": model.metadata("general.base_model.0.name"),
        "license": model.metadata("general.license"),
        "adds_bos": model.adds_bos,
    }


def _stops(model: Model) -> dict[str, int]:
    """The tokens that end an answer, as they are spelled, the usual one first."""
    ends = [token for token in range(model.vocabulary_size) if model.ends_generation(token)]
    ends.sort(key=lambda token: (token != model.eos, token))
    return {model.token_text(token): token for token in ends}


def _place(gguf: Path, to: Path) -> bool:
    """Put the GGUF there, as another name of the same file where the disk can. True where so."""
    to.parent.mkdir()
    try:
        os.link(gguf, to)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(gguf, to)
        return False
    return True


_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES)
"""Another file system, or one that knows no links."""


def _files(folder: Path, model: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """sha256 and bytes of every file, by its path in the folder."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        sha256 = model["sha256"] if name == model["file"] else artifacts.digest(path)
        found[name] = {"sha256": sha256, "bytes": path.stat().st_size}
    return found


def _unwritable(out: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot be written: {error.strerror or error}",
        where=str(out),
        expected="a place with write permission and room for the model",
        do="haruon export app --out DIR writes to another place",
    )
