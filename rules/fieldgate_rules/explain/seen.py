"""What an explanation needs of a decision: taken from the engine's, so that words and tables know nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from fieldgate_rules.condition import Facts

__all__ = ["Acted", "Seen"]

_NOTHING: Final[Mapping[str, str]] = {}


class Acted(msgspec.Struct, frozen=True):
    """What became of an action: ``stopped_by`` is the key that kept it from being done, empty where none did."""

    number: int
    id: str = ""
    stopped_by: str = ""
    text: str = ""


class Seen(msgspec.Struct, frozen=True):
    """A decision. ``stopped_by`` is the key of the rule that stopped it, empty where it fired; ``why`` says it.

    ``said`` are words about keys that let it through, or that wait. ``event`` is ``RUN-SEQ``, empty for a timer.
    """

    outcome: str
    stopped_by: str
    why: str
    group: str
    device: str
    event: str
    boot_s: float
    wall_s: float | None
    facts: Facts | None = None
    said: Mapping[str, str] = _NOTHING
    acted: tuple[Acted, ...] = ()
