"""One key of haruon.toml is changed, and every comment stays."""

from __future__ import annotations

import pytest

from haruon_tui.errors import ConfigurationError
from haruon_tui.settings_file import changed, set_base
from haruon_tui.workspace import Workspace


def test_the_base_is_set_and_everything_else_stays(workspace: Workspace) -> None:
    before = workspace.file.read_text("utf-8").splitlines()
    assert set_base(workspace.file, "./모델").model.base.endswith("모델") is True
    after = workspace.file.read_text("utf-8").splitlines()
    assert [line for line in after if line not in before] == ['base = "./모델"']
    assert [line for line in before if line not in after] == []
    set_base(workspace.file, "tiny")
    assert workspace.settings.model.base == "tiny"


def test_a_revision_of_the_base_before_is_not_taken_along(workspace: Workspace) -> None:
    text = workspace.file.read_text("utf-8").replace('#revision = "main"', 'revision = "v1"')
    workspace.file.write_text(text)
    assert workspace.settings.model.revision == "v1"
    assert set_base(workspace.file, "owner/name").model.revision == "main"


def test_a_file_without_the_section_gets_it(workspace: Workspace) -> None:
    workspace.file.write_text('profile = "tiny"\n')
    assert set_base(workspace.file, "owner/name").model.base == "owner/name"


def test_a_broken_file_is_not_written_over(workspace: Workspace) -> None:
    workspace.file.write_text('profile = "tiny"\n[model]\nbas = 1\n')
    with pytest.raises(ConfigurationError, match="unknown key 'bas'"):
        set_base(workspace.file, "owner/name")
    assert "bas = 1" in workspace.file.read_text()


def test_a_key_that_is_none_is_refused_before_it_is_written(workspace: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="unknown key"):
        changed(workspace.file, {"model.bass": "x"})
