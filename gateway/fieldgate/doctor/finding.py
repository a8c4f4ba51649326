"""One thing that was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Figure", "Finding", "Level"]

Figure = str | int | float | bool | None | list[str]


class Level(Enum):
    """How bad it is. ``NOTE``: something could not be looked at, or is worth knowing and nothing need be done."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was ``seen`` (with figures, for a person), what to ``do``, and the same as ``figures`` for programs.

    ``id`` is one of the catalogue, which says how bad it is and where it is explained; ``about`` says which uplink,
    port or file is meant where there can be several.
    """

    id: str
    seen: str
    do: str = ""
    about: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
