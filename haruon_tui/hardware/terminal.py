"""Rows about the terminal, and about what happens to jobs when one logs out."""

from __future__ import annotations

import getpass
import locale
import os
import re
import sys
from pathlib import Path

from haruon_tui.hardware.row import Row

_LINGER = "loginctl enable-linger"
_SCOPE = "systemd-run --user --scope haruon"
_LOGIND_FOLDERS = ("usr/lib/systemd", "run/systemd", "etc/systemd")


def terminal_size() -> Row:
    """Columns and lines of the terminal; a job has none."""
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            size = os.get_terminal_size(stream.fileno()) if stream else None
        except (OSError, ValueError):
            continue
        if size and size.columns:
            break
    else:
        return Row("terminal", "Terminal size", "no terminal", "80x24", "not applicable")
    good = size.columns >= 80 and size.lines >= 24
    return Row(
        "terminal",
        "Terminal size",
        f"{size.columns}x{size.lines}",
        "80x24",
        "ok" if good else "warning",
        "" if good else "enlarge the window; stty size shows its size",
        () if good else ("stty size",),
    )


def colours() -> Row:
    """How many colours the terminal says it has."""
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR"):
        found = "none (NO_COLOR)"
    elif os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        found = "16 million"
    elif "256" in term:
        found = "256"
    else:
        found = "16" if term and term != "dumb" else "none"
    found = f"{found}, TERM={term or 'unset'}"
    if term not in ("", "dumb") or not _is_terminal():
        return Row("colours", "Colours", found, "any", "ok")
    command = "export TERM=xterm-256color"
    return Row("colours", "Colours", found, "any", "warning", command, (command,))


def unicode() -> Row:
    """Whether Korean text can be written to this terminal."""
    encoding = locale.getpreferredencoding(False)
    good = encoding.replace("-", "").lower() == "utf8"
    return Row(
        "unicode",
        "Unicode",
        encoding,
        "UTF-8",
        "ok" if good else "warning",
        "" if good else "export LANG=C.UTF-8",
        () if good else ("export LANG=C.UTF-8",),
    )


def session() -> Row:
    """SSH and tmux or screen around this process."""
    inside = [
        name
        for name, variable in (("SSH", "SSH_CONNECTION"), ("tmux", "TMUX"), ("screen", "STY"))
        if os.environ.get(variable)
    ]
    words = "any: jobs outlive the terminal"
    return Row("session", "Session", ", ".join(inside) or "local", words, "ok")


def outlives_logout(root: Path = Path("/")) -> Row:
    """Whether jobs go on after logging out: logind's KillUserProcesses ends even processes in
    a session of their own, unless the user lingers."""
    needed = "KillUserProcesses=no, or lingering"
    title = "Jobs outlive a logout"
    if not (root / "run/systemd/system").is_dir():
        return Row("logout", title, "yes: no systemd-logind here", needed, "not applicable")
    if not _kills_user_processes(root):
        return Row("logout", title, "yes: KillUserProcesses=no", needed, "ok")
    if (root / "var/lib/systemd/linger" / getpass.getuser()).exists():
        return Row("logout", title, "yes: this user lingers", needed, "ok")
    return Row(
        "logout",
        title,
        "no: KillUserProcesses=yes",
        needed,
        "warning",
        f"{_LINGER}, or start with: {_SCOPE}",
        (_LINGER, _SCOPE),
    )


def _is_terminal() -> bool:
    return any(
        stream is not None and stream.isatty() for stream in (sys.__stdout__, sys.__stderr__)
    )


def _kills_user_processes(root: Path) -> bool:
    """The last setting in logind.conf and its drop-ins wins. A commented line shows the
    default that systemd was built with."""
    files = [root / folder / "logind.conf" for folder in _LOGIND_FOLDERS]
    drop_ins = [
        file
        for folder in _LOGIND_FOLDERS
        for file in (root / folder / "logind.conf.d").glob("*.conf")
    ]
    default, setting = False, None
    for file in [*files, *sorted(drop_ins, key=lambda file: file.name)]:
        try:
            text = file.read_text("utf-8", errors="replace")
        except OSError:
            continue
        for comment, value in re.findall(r"^(#?)\s*KillUserProcesses\s*=\s*(\w+)", text, re.M):
            yes = value.lower() in ("yes", "true", "on", "1")
            default, setting = (yes, setting) if comment else (default, yes)
    return default if setting is None else setting
