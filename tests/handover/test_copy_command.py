"""The printed lines are run: they copy, they accept the copy, they refuse a damaged one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from haruon_tui import artifacts
from haruon_tui.errors import ConfigurationError, StageError
from haruon_tui.export.place import FORMAT
from haruon_tui.handover import copy_command
from tests.handover.conftest import Finished, command

NAMES = (
    "model.Q4_K_M.gguf",
    "하루온 모델 (최종).gguf",
    'it\'s "the" $HOME `id` & co; * [1].gguf',
    "-n.gguf",
    "100%s.gguf",
)


def run(line: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def ssh(tmp_path: Path) -> str:
    """A PATH in which ssh runs its command on this machine, as a server's shell would."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != -- ] && [ $# -gt 0 ]; do\n'
        '  case "$1" in -o|-l|-p) shift 2;; -s) sub=1; shift;; -*) shift;; *) break;; esac\n'
        "done\n"
        '[ "$1" = -- ] && shift\n'
        "shift\n"
        '[ "$sub" ] && exec /usr/lib/openssh/sftp-server\n'
        'exec sh -c "$*"\n'
    )
    program.chmod(0o755)
    return str(program)


SFTP = Path("/usr/lib/openssh/sftp-server")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_copied_and_its_copy_verified(tmp_path: Path, ssh: str, name: str) -> None:
    source, laptop = tmp_path / "서버 a" / name, tmp_path / "laptop"
    source.parent.mkdir()
    source.write_bytes(b"GGUF" + os.urandom(5000))
    lines = copy_command.lines(source, origin="kim@server", to="받은 것")
    (laptop / "받은 것").mkdir(parents=True)
    copy = laptop / "받은 것" / name
    ways = []
    if shutil.which("rsync"):
        ways += [(lines.bring, {}), (lines.bring_old, {"RSYNC_OLD_ARGS": "1"})]
    if shutil.which("scp") and SFTP.exists():
        ways += [(lines.bring_whole.replace("scp ", f"scp -S {shlex.quote(ssh)} ", 1), {})]
    for line, variables in ways:
        done = run(line, laptop, RSYNC_RSH=shlex.quote(ssh), **variables)
        assert done.returncode == 0, done.stderr
        assert copy.read_bytes() == source.read_bytes()
        copy.unlink()
    shutil.copy(source, copy)
    copy = laptop / "받은 것" / name
    assert copy.read_bytes() == source.read_bytes()
    for verify in (lines.verify, lines.verify_mac):
        assert run(verify, laptop).returncode == 0
    with copy.open("r+b") as damaged:
        damaged.seek(4000)
        damaged.write(b"?!")
    for verify in (lines.verify, lines.verify_mac):
        assert run(verify, laptop).returncode != 0
    copy.unlink()
    for verify in (lines.verify, lines.verify_mac):
        assert run(verify, laptop).returncode != 0


@pytest.mark.skipif(not shutil.which("rsync"), reason="rsync is not installed")
def test_a_copy_that_was_cut_is_completed(tmp_path: Path, ssh: str) -> None:
    source, laptop = tmp_path / "a.gguf", tmp_path / "laptop"
    content = os.urandom(4_000_000)
    source.write_bytes(content)
    laptop.mkdir()
    (laptop / "a.gguf").write_bytes(content[:3_900_000])  # as --partial leaves it
    lines = copy_command.lines(source, origin="kim@server")
    assert run(lines.verify, laptop).returncode != 0
    done = run(lines.bring.replace("rsync ", "rsync --stats ", 1), laptop, RSYNC_RSH=ssh)
    assert done.returncode == 0, done.stderr
    assert run(lines.verify, laptop).returncode == 0
    matched = next(line for line in done.stdout.splitlines() if line.startswith("Matched data"))
    assert int(matched.split()[2].replace(",", "")) > 3_500_000, "what was there is not sent again"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "내보낸 앱"
    (folder / "kit" / "node_modules" / "x").mkdir(parents=True)
    (folder / "kit" / "node_modules" / "x" / "i.js").write_text("x")
    files = {"model/하루온 1.gguf": b"GGUF1", "kit/a b.ts": b"export", "README.md": b"# x"}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    about = {name: {"sha256": artifacts.digest(folder / name)} for name in files}
    artifacts.write_json(folder / "manifest.json", {"format": FORMAT, "files": about})
    return folder


def test_a_folder_is_verified_file_by_file(tmp_path: Path, exported: Path) -> None:
    lines = copy_command.lines(exported, origin="server", to=".")
    assert lines.files == 4
    assert "--exclude node_modules" in lines.bring
    laptop = tmp_path / "laptop"
    laptop.mkdir()
    copy = laptop / exported.name
    shutil.copytree(exported, copy, ignore=shutil.ignore_patterns("node_modules"))
    for verify in (lines.verify, lines.verify_mac):
        assert run(verify, laptop).returncode == 0
        for file in filter(Path.is_file, copy.rglob("*")):
            before = file.read_bytes()
            file.write_bytes(before[:-1])
            assert run(verify, laptop).returncode != 0, file
            file.write_bytes(before)
        assert run(verify, laptop).returncode == 0
    assert copy_command.lines(exported, origin="server") == lines, "the list is not in the list"


def test_an_export_that_was_damaged_here_is_not_copied(exported: Path) -> None:
    (exported / "model" / "하루온 1.gguf").write_bytes(b"GGUF2")
    with pytest.raises(StageError, match="was changed since it was exported") as raised:
        copy_command.lines(exported)
    assert "haruon export app --force" in str(raised.value)
    (exported / "model" / "하루온 1.gguf").unlink()
    with pytest.raises(StageError, match="is missing"):
        copy_command.lines(exported)


@pytest.mark.parametrize("host", ["-oProxyCommand=id", "a b", "kim@", "kim@h;id", "", "@h", "h:1"])
def test_no_line_is_made_with_what_is_no_host(tmp_path: Path, host: str) -> None:
    (tmp_path / "a.gguf").write_text("GGUF")
    if host == "":
        assert copy_command.lines(tmp_path / "a.gguf", origin="").bring
        return
    with pytest.raises(ConfigurationError, match="no machine that ssh"):
        copy_command.lines(tmp_path / "a.gguf", origin=host)


def test_names_that_no_list_can_hold_are_refused(tmp_path: Path) -> None:
    for name in ("a\nb.gguf", "a\\b.gguf", "a\x1b[31m.gguf"):
        (tmp_path / name).write_text("GGUF")
        with pytest.raises(ConfigurationError, match="in its name"):
            copy_command.lines(tmp_path / name)
    with pytest.raises(ConfigurationError, match="is not there"):
        copy_command.lines(tmp_path / "none.gguf")


def test_a_home_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_text("GGUF")
    (tmp_path / "모델 1").mkdir()
    shutil.copy(tmp_path / "a.gguf", tmp_path / "모델 1")
    lines = copy_command.lines(tmp_path / "a.gguf", to="~/모델 1/")
    assert run(lines.verify, Path("/"), HOME=str(tmp_path)).returncode == 0


def test_the_command_takes_a_type_or_a_path(whole: Finished, tmp_path: Path, capsys) -> None:
    folder = whole.workspace.folder
    assert command(folder, "export", "copy", "Q4_0", "--from", "kim@h", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["source"] == str(whole["quantize"].artifacts / "model.Q4_0.gguf")
    assert command(folder, "export", "copy", told["source"]) == 0
    assert copy_command.here() in capsys.readouterr().out
    assert command(folder, "export", "copy", "Q9") == 2
    assert "there is no GGUF 'Q9'" in capsys.readouterr().err
    assert command(folder, "export", "copy", "Q4_0", "--from=-x") == 2
