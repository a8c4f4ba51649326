"""A folder with a configuration and a profile, for the commands of rules."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["furnish"]


def furnish(folder: Path, monkeypatch: pytest.MonkeyPatch, *, profile: str) -> None:
    """Make it, and go there."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FIELDGATE_CONFIG", raising=False)
    (folder / "fieldgate.yaml").write_text("gateway: {id: g}\n")
    for name in ("rules.d", "devices.d"):
        (folder / name).mkdir()
    (folder / "devices.d/boiler.yaml").write_text(profile, encoding="utf-8")
