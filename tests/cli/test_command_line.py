"""The command line keeps its word: JSON alone on stdout, exit codes, errors without tracebacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from haruon_tui.workspace import Workspace


def haruon(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "haruon_tui", *arguments],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def spoken(result: subprocess.CompletedProcess[str]) -> str:
    """stderr of a command that failed in words."""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_help_imports_nothing_of_the_engine():
    code = (
        "import sys; from haruon_tui.cli.parser import parse\n"
        "try: parse(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'textual', 'rich', 'numpy', 'psutil', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_folder_that_is_no_workspace_is_named_with_what_to_do(tmp_path):
    result = haruon("jobs", "list", folder=tmp_path)
    assert result.returncode == 2
    assert str(tmp_path) in spoken(result)
    assert "haruon init" in result.stderr


def test_init_makes_a_workspace_once_and_keeps_the_old_file_when_forced(tmp_path):
    assert haruon("init", "새 작업", folder=tmp_path).returncode == 0
    file = tmp_path / "새 작업" / "haruon.toml"
    file.write_text(file.read_text() + "# mine\n")
    again = haruon("init", "새 작업", folder=tmp_path)
    assert again.returncode == 2
    assert str(file) in spoken(again)
    assert haruon("init", "새 작업", "--force", folder=tmp_path).returncode == 0
    assert "# mine" in file.with_name("haruon.toml.old").read_text()
    assert "# mine" not in file.read_text()


def test_a_broken_haruon_toml_gives_one_message_and_exit_code_2(workspace):
    workspace.file.write_text('profile = "tiny"\n[train]\nepoch = 3\n')
    result = haruon("pipeline", folder=workspace.folder)
    assert result.returncode == 2
    assert "haruon.toml:3 (train.epoch)" in spoken(result)
    assert "did you mean 'epochs'?" in result.stderr
    assert not workspace.runs.exists()


def test_a_wrong_setting_on_the_command_line_names_the_option_not_the_file(workspace):
    result = haruon("train", "--set", "train.epochs=many", folder=workspace.folder)
    assert result.returncode == 2
    assert "train.epochs: 'many' is not allowed here" in spoken(result)
    assert "haruon.toml:" not in result.stderr


def test_a_stage_without_its_inputs_says_what_runs_them(workspace):
    result = haruon("train", folder=workspace.folder)
    assert result.returncode == 2
    assert "haruon pipeline --to train" in spoken(result)


def test_an_unreadable_dataset_is_named(workspace):
    (workspace.folder / "mine.jsonl").mkdir()
    result = haruon(
        "data", "build", "--set", 'dataset.files=["mine.jsonl"]', folder=workspace.folder
    )
    assert result.returncode in (2, 3)
    assert "mine.jsonl" in spoken(result)


def test_a_missing_dataset_is_named(workspace):
    result = haruon(
        "data", "build", "--set", 'dataset.files=["nowhere.jsonl"]', folder=workspace.folder
    )
    assert result.returncode == 2
    assert "nowhere.jsonl" in spoken(result)


def test_a_missing_model_folder_is_named(workspace):
    result = haruon("model", "fetch", "--set", "model.base=./nowhere", folder=workspace.folder)
    assert result.returncode == 2
    assert "nowhere" in spoken(result)


def test_json_is_one_document_on_stdout_also_for_errors(workspace, tmp_path):
    listed = haruon("jobs", "list", "--json", folder=workspace.folder)
    assert json.loads(listed.stdout) == []
    failed = haruon("jobs", "show", "none", "--json", folder=workspace.folder)
    assert failed.returncode == 2
    assert "no run" in json.loads(failed.stdout)["error"]["what"]


def test_a_small_dataset_is_built_reused_and_pruned(workspace):
    build = ("data", "build", "--json", "--set", "dataset.compose=20")
    first = json.loads(haruon(*build, folder=workspace.folder).stdout)
    assert (first["state"], first["how"]) == ("finished", "new")
    records = (Path(first["artifacts"]) / "train.jsonl").read_text().splitlines()
    assert json.loads(records[0])["messages"][0]["role"] == "system"
    second = json.loads(haruon(*build, folder=workspace.folder).stdout)
    assert (second["how"], second["run"]) == ("reused", first["run"])
    pruned = haruon("jobs", "prune", first["run"], "--yes", "--json", folder=workspace.folder)
    assert json.loads(pruned.stdout)["deleted"] == [first["run"]]
    assert not Path(first["artifacts"]).exists()


def test_prune_without_yes_and_without_a_terminal_deletes_nothing(workspace):
    haruon("data", "build", "--set", "dataset.compose=20", folder=workspace.folder)
    refused = haruon("jobs", "prune", folder=workspace.folder)
    assert refused.returncode == 2
    assert "--yes" in spoken(refused)
    assert len(list(workspace.runs.glob("2*"))) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a read-only file system")
def test_a_workspace_without_write_permission_is_refused(tmp_path):
    folder = tmp_path / "fixed"
    folder.mkdir()
    Workspace.init(folder, "tiny")
    mount = ["unshare", "--mount", "sh", "-c"]
    script = (
        f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && "
        f"cd {folder} && {sys.executable} -m haruon_tui pipeline"
    )
    result = subprocess.run([*mount, script], capture_output=True, text=True, timeout=60)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip("this machine does not let root mount")
    assert result.returncode == 2
    assert "cannot be written" in spoken(result)
