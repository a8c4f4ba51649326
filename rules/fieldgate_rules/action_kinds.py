"""The names of actions, for whoever carries them out without what reads their keys."""

from __future__ import annotations

from typing import Final

__all__ = ["ACTIONS", "OF_EVENTS"]

OF_EVENTS: Final = ("set", "enrich", "drop", "lane", "route", "sample")
ACTIONS: Final = ("alert", "command", "publish", "emit", "log", *OF_EVENTS)
