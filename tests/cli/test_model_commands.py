"""haruon model fetch, card, adopt, probe, as their user runs them, against a server of the Hub's
paths."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "hub_server", Path(__file__).parents[1] / "model" / "conftest.py"
)
assert _spec
assert _spec.loader
_server = importlib.util.module_from_spec(_spec)
sys.modules["hub_server"] = _server
_spec.loader.exec_module(_server)
hub, base = _server.hub, _server.base

NAME = "owner/small-model"


def haruon(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "haruon_tui", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def served(hub, base):
    hub.files = {file.name: file.read_bytes() for file in base.iterdir()}
    return hub


def test_fetch_card_and_probe(served, workspace, tmp_path):
    served.token = "hf_secretsecret"
    ask = ("model", "fetch", "--set", f"model.base={NAME}", "--json")
    done = haruon(*ask, folder=workspace.folder, HF_TOKEN="hf_secretsecret")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["commit"] == "1" * 40
    assert result["card"]["model_type"] == "qwen2"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if b"hf_secret" in file.read_bytes()]
    assert "hf_secret" not in done.stdout + done.stderr

    served.commits["main"] = "2" * 40
    again = haruon(*ask[:-1], folder=workspace.folder, HF_TOKEN="hf_secretsecret")
    assert "has moved to 222222222222 since: --force fetches that" in again.stderr
    assert "is done already" in again.stderr

    said = haruon("model", "probe", NAME, "--prompt", "안녕", folder=workspace.folder)
    assert said.returncode == 0, said.stderr
    assert "tokens/s" in said.stdout
    shown = haruon("model", "card", NAME, "--json", folder=workspace.folder)
    assert json.loads(shown.stdout) == result["card"]


def test_a_refused_fetch_is_one_message(served, workspace):
    served.token = "hf_other"
    ask = ("model", "fetch", "--set", f"model.base={NAME}")
    done = haruon(*ask, folder=workspace.folder, HF_TOKEN="hf_secretsecret")
    assert done.returncode == 3
    assert "refused (401)" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "hf_secret" not in done.stdout + done.stderr


def test_adopt_says_what_changes_and_changes_it(base, workspace):
    asked = haruon("model", "adopt", str(base), folder=workspace.folder)
    assert asked.returncode == 2
    assert f"model.base = 'tiny' becomes '{base}'" in asked.stdout
    assert workspace.settings.model.base == "tiny"
    done = haruon("model", "adopt", str(base), "--yes", "--json", folder=workspace.folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changed"]["model.base"] == ["tiny", str(base)]
    assert workspace.settings.model.base == str(base)


def test_what_is_no_model_is_not_adopted(workspace, tmp_path):
    done = haruon("model", "adopt", str(tmp_path), "--yes", folder=workspace.folder)
    assert done.returncode == 3
    assert "config.json" in done.stderr
    assert workspace.settings.model.base == "tiny"
    for command in (("card",), ("probe", "no/such-model")):
        done = haruon("model", *command, folder=workspace.folder)
        assert done.returncode == 2
        assert "haruon model fetch" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_cache_on_a_disk_that_is_too_small_is_said_before_the_weights_come(
    served, workspace, tmp_path
):
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=100k tmpfs {small} && "
        f"{sys.executable} -P -m haruon_tui model fetch --set model.base={NAME} --json; "
        f"echo $? >{tmp_path}/code"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        cwd=workspace.folder,
        env=os.environ | {"HF_HOME": str(small)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine does not let root mount")
    assert (tmp_path / "code").read_text().strip() == "3"
    error = json.loads(done.stdout)["error"]
    assert "GB free" in error["what"]
    assert str(small) in error["where"]
    assert "HF_HOME" in error["do"]
