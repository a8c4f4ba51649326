"""A machine with everything on it, and its backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_kit import Machine, well


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "plant")


@pytest.fixture
def archive(machine: Machine, tmp_path: Path) -> Path:
    well(machine.backup(tmp_path / "b.tar"))
    return tmp_path / "b.tar"
