"""A full disk ends a job with one clear message, and costs nothing that was there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SCRIPT = r"""
set -e
mount -t tmpfs -o size=6m tmpfs {folder}
cd {folder}
{python} -m haruon_tui init >/dev/null
{python} -m haruon_tui data build --set dataset.compose=20 --json >{out}/before.json
set +e
{python} -m haruon_tui data build --set dataset.compose=20000 --json \
  >{out}/full.json 2>{out}/full.txt
echo $? >{out}/code
{python} -m haruon_tui jobs list --json >{out}/list.json
{python} -m haruon_tui data build --set dataset.compose=20 --json >{out}/after.json
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_one_message_and_earlier_artefacts_stay(tmp_path):
    folder, out = tmp_path / "small", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    script = SCRIPT.format(folder=folder, out=out, python=sys.executable)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=300
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this machine does not let root mount")
    full = json.loads((out / "full.json").read_text())
    assert (out / "code").read_text().strip() == "3"
    assert full["state"] == "failed"
    assert full["error"]["what"] == "the disk is full"
    assert "resume" in full["error"]["do"]
    assert "Traceback" not in (out / "full.txt").read_text()
    states = {run["run"]: run["state"] for run in json.loads((out / "list.json").read_text())}
    assert states[full["run"]] == "failed"
    before, after = (
        json.loads((out / f"{name}.json").read_text()) for name in ("before", "after")
    )
    assert (after["how"], after["run"]) == ("reused", before["run"])
