"""An artefact appears whole or not at all."""

from __future__ import annotations

import json

import pytest

from haruon_tui import artifacts
from haruon_tui.jobs.context import JobContext
from haruon_tui.jobs.events import EventReader


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "보고서.json"
    artifacts.write_text(file, "old")
    with pytest.raises(KeyboardInterrupt), artifacts.replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert names(tmp_path) == ["보고서.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("a", "b"):
        with artifacts.replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["b"]


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = artifacts.digest(folder)
    (folder / "a").rename(folder / "b")
    second = artifacts.digest(folder)
    (folder / "b").write_text("2")
    assert len({first, second, artifacts.digest(folder)}) == 3


def test_a_failed_artefact_is_in_no_manifest_and_no_event(tmp_path):
    job = JobContext.local(tmp_path / "run")
    with job.artifact("good.txt", kind="text") as temporary:
        temporary.write_text("좋음")
    with pytest.raises(ValueError), job.artifact("bad.txt") as temporary:
        temporary.write_text("half")
        raise ValueError
    manifest = json.loads((job.artifacts / "manifest.json").read_text())
    assert list(manifest["artifacts"]) == ["good.txt"]
    assert manifest["artifacts"]["good.txt"]["kind"] == "text"
    assert names(job.artifacts) == ["good.txt", "manifest.json"]
    kinds = [(e["kind"], e["name"]) for e in EventReader(tmp_path / "run" / "events.jsonl").read()]
    assert kinds == [("artifact", "good.txt")]
