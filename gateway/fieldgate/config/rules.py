"""``rules``: where the rules are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from fieldgate.config.section import FilePath
from fieldgate_devices.files.section import Section

__all__ = ["RulesConfig"]


class RulesConfig(Section):
    """What is done about events."""

    path: FilePath = Field(
        default_factory=lambda: Path("rules.d"),
        description="Folder of your rules, *.yaml; they are used as soon as they are saved. "
        "Default: rules.d beside this file.",
        examples=["rules.d"],
        validate_default=True,
    )
