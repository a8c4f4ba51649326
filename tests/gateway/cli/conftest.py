"""Where the commands are tested."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration and devices.d beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fieldgate.yaml").write_text("gateway: {id: plant-7}\n")
    (tmp_path / "devices.d").mkdir()
    return tmp_path
