"""The exported folder: whole or absent, each file as the manifest says, nothing else lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haruon_tui import artifacts
from haruon_tui.dataset import persona
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.export import stage
from haruon_tui.export.stage import Params, Result, run
from haruon_tui.jobs.context import JobContext

Made = Callable[..., Params]


def exported(params: Params, tmp_path: Path, job: str = "run") -> Result:
    return run(params, JobContext.local(tmp_path / "runs" / job))


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def assert_whole(folder: Path) -> None:
    manifest = manifest_of(folder)
    there = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    } - {"manifest.json"}
    assert set(manifest["files"]) == there
    for name, entry in manifest["files"].items():
        assert artifacts.digest(folder / name) == entry["sha256"], name
        assert (folder / name).stat().st_size == entry["bytes"]


def test_the_folder_has_the_model_the_manifest_the_kit_and_a_readme(
    params: Made, tmp_path: Path
) -> None:
    wanted = params()
    result = exported(wanted, tmp_path)
    assert_whole(wanted.out)
    manifest = manifest_of(wanted.out)
    model = wanted.out / manifest["model"]["file"]
    assert result.linked
    assert model.samefile(wanted.gguf)
    assert manifest["model"]["sha256"] == artifacts.digest(wanted.gguf)
    assert manifest["stop"][0] == "<|im_end|>"
    assert (
        manifest["context"] - manifest["max_tokens"] >= manifest["fits"]["longest_prompt_tokens"]
    )
    assert manifest["evaluation"] == {"state": "not evaluated yet", "do": "haruon evaluate"}
    assert manifest["phone"]["do"] == "haruon gguf compare"
    assert manifest["system_prompt"] == persona.SYSTEM_PROMPT
    assert "quote-not-said" in manifest["rules"]["left_out"]
    assert all(line["ok"] for line in manifest["proof"])
    inner = json.loads((wanted.out / "kit/src/generated/manifest.json").read_text("utf-8"))
    assert inner["model"] == manifest["model"]
    names = {path.name for path in wanted.out.rglob("*")}
    assert {"README.md", "package-lock.json", "useOnDeviceSLLM.ts", "BenchmarkScreen.tsx"} <= names
    assert not names & {"__init__.py", "node_modules", "__pycache__"}
    assert str(wanted.gguf.parent) not in (wanted.out / "manifest.json").read_text("utf-8")


def test_another_disk_gets_a_copy(
    params: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, to: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(stage.os, "link", refuse)
    wanted = params()
    assert not exported(wanted, tmp_path).linked
    assert_whole(wanted.out)
    assert not (wanted.out / "model" / "haruon.F16.gguf").samefile(wanted.gguf)


def test_a_full_disk_leaves_nothing_behind(
    params: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, to: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stage.os, "link", full)
    wanted = params()
    with pytest.raises(ConfigurationError, match="No space left"):
        exported(wanted, tmp_path)
    assert list(wanted.out.parent.iterdir()) == []


def test_an_earlier_export_is_replaced_only_when_asked(params: Made, tmp_path: Path) -> None:
    exported(params(), tmp_path)
    before = manifest_of(params().out)["job"]
    with pytest.raises(ConfigurationError, match="is an earlier export") as raised:
        exported(params(), tmp_path, "other")
    assert "--force" in str(raised.value)
    assert manifest_of(params().out)["job"] == before
    exported(params(replace=True), tmp_path, "third")
    assert manifest_of(params().out)["job"] == "third"
    assert_whole(params().out)


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_of_the_user_is_never_replaced(
    params: Made, tmp_path: Path, replace: bool
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="no export of this program"):
        exported(params(out=mine, replace=replace), tmp_path)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_named(params: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written") as raised:
        exported(params(out=tmp_path / "file" / "app"), tmp_path)
    assert "--out" in str(raised.value)


def _copied(proven: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(proven, tmp_path / "copied"))


def test_a_gguf_that_was_changed_is_refused(params: Made, proven: Path, tmp_path: Path) -> None:
    copied = _copied(proven, tmp_path)
    with (copied / "model.F16.gguf").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(StageError, match="sha256 differs") as raised:
        exported(params(gguf=copied / "model.F16.gguf"), tmp_path)
    assert "haruon gguf quantize --force" in str(raised.value)


@pytest.mark.parametrize("proof", ["[]", '[{"name": "logits", "ok": false}]', '{"a": 1}'])
def test_a_proof_that_does_not_hold_is_refused(
    params: Made, proven: Path, tmp_path: Path, proof: str
) -> None:
    copied = _copied(proven, tmp_path)
    (copied / "proof.json").write_text(proof)
    with pytest.raises(StageError, match="behaves as the model") as raised:
        exported(params(proof=copied / "proof.json"), tmp_path)
    assert "haruon gguf convert" in str(raised.value)


def test_a_damaged_proof_names_the_file(params: Made, proven: Path, tmp_path: Path) -> None:
    copied = _copied(proven, tmp_path)
    (copied / "proof.json").write_text("{")
    with pytest.raises(StageError) as raised:
        exported(params(proof=copied / "proof.json"), tmp_path)
    assert raised.value.where == str(copied / "proof.json")


def test_a_context_too_small_for_a_case_is_refused(params: Made, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="more than the context of 256"):
        exported(params(context=256), tmp_path)
    assert not params().out.exists()


_KILLED = """
import os, pathlib, shutil, signal, sys
from haruon_tui import artifacts
from haruon_tui.export import stage
from haruon_tui.export.stage import Params, run
from haruon_tui.jobs.context import JobContext

params = Params.model_validate_json(sys.argv[1])
left = int(sys.argv[3])

def step(*_, **__):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (step(), real(*a, **k))[1])

for owner, name in ((os, "link"), (os, "rename"), (os, "replace"), (os, "fsync"), (os, "mkdir"),
                    (shutil, "copyfile"), (shutil, "copy2"), (shutil, "rmtree"),
                    (pathlib.Path, "write_text"), (artifacts, "digest")):
    before(owner, name)
run(params, JobContext.local(pathlib.Path(sys.argv[2])))
print("finished")
"""


def test_kill_9_at_any_moment_leaves_the_folder_whole_or_absent_and_a_rerun_completes(
    params: Made, tmp_path: Path
) -> None:
    wanted = params()
    command = [
        sys.executable,
        "-c",
        _KILLED,
        wanted.model_dump_json(),
        str(tmp_path / "runs" / "a"),
    ]
    kills = 0
    for steps in (0, 1, 3, 6, 15, 40, 60, 80, 100, 10_000):
        ended = subprocess.run([*command, str(steps)], capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            assert "finished" in ended.stdout
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
        if wanted.out.exists():
            assert_whole(wanted.out)
    assert kills >= 6
    assert_whole(wanted.out)
    left = [path.name for path in wanted.out.parent.iterdir()]
    assert left == ["app"]
