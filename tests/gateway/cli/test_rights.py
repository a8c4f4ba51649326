"""Who may not look at the gateway's files is told how to, and meets no traceback."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from backup_kit import Machine
from fieldgate.config.loader import read
from fieldgate.rights import way_in

_GROUP = next((one for one in os.getgroups() if one), 20)  # root may give a file to any group


def test_a_file_of_a_group_names_the_group(tmp_path: Path) -> None:
    """/etc/fieldgate/fieldgate.yaml is one: whoever installs wants to see the status without sudo."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text("")
    os.chown(file, -1, _GROUP)

    file.chmod(0o640)
    assert way_in(file).endswith(f"and log in again: sudo usermod -aG {grp.getgrgid(_GROUP).gr_name} $USER")
    file.chmod(0o600)
    assert way_in(file) == "use sudo"
    assert way_in(tmp_path / "nothing") == "use sudo"


def test_a_configuration_that_may_not_be_read_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that an installer types after the installation is 'fieldgate status'."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text("")
    os.chown(file, -1, _GROUP)
    file.chmod(0o640)

    def refused(_path: Path) -> bytes:
        raise PermissionError(13, "")

    monkeypatch.setattr("fieldgate.config.loader._content", refused)

    (problem,) = read(file).errors
    assert str(problem) == f"{file}:1:1: the file cannot be read: permission denied; {way_in(file)}"


def test_a_backup_of_what_may_not_be_read_is_refused_before_the_gateway_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members of the group may ask the gateway, and it would copy all of it for somebody who cannot take it away."""
    machine = Machine(tmp_path / "m")
    look = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != machine.state and look(path, mode))

    refused = machine.backup(tmp_path / "x.tar")
    monkeypatch.undo()
    made = machine.backup(tmp_path / "x.tar")

    assert refused.exit_code == 1
    assert str(refused.exception) == f"{machine.state}: permission denied; use sudo"
    assert made.exit_code == 0
