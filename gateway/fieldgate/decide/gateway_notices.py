"""What happens to the gateway itself, as rules are told of it (`on: gateway`): uplinks, and how full the buffer is.

It is looked at, once a second: what comes and goes between two looks nobody is told of. The first look at which it is
known tells how things are, so that an alert of before a restart ends. The buffer is above a threshold from when it
reaches it, and below once it is `SLACK` percent under it: one that goes up and down around it says it once.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fieldgate_rules.effects import Notice
from fieldgate_rules.rule import GatewayTrigger, RuleSet

__all__ = ["SLACK", "GatewayNotices", "buffer_thresholds"]

SLACK: Final = 5
"""Percent of the journal's size by which the buffer must be under a threshold to be below it again."""


def buffer_thresholds(rules: RuleSet) -> frozenset[int]:
    """Return the percents at which rules want to be told of the buffer."""
    return frozenset(
        trigger.percent
        for rule in rules.rules
        for trigger in rule.triggers
        if isinstance(trigger, GatewayTrigger) and trigger.kinds & {"buffer_above", "buffer_below"}
    )


class GatewayNotices:
    """Told how things are, it answers what has changed."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._is_up: dict[str, bool] = {}
        self._is_above: dict[int, bool] = {}

    def uplinks(self, problems: Mapping[str, str | None]) -> list[Notice]:
        """Take why each uplink is not connected: empty where it is, None while it is tried for the first time."""
        notices = []
        for name, problem in problems.items():
            if problem is None or self._is_up.get(name) == (not problem):
                continue
            self._is_up[name] = not problem
            if problem:
                notices.append(Notice("uplink_down", self._gateway, {"uplink": name, "reason": problem}))
            else:
                notices.append(Notice("uplink_up", self._gateway, {"uplink": name}))
        return notices

    def buffer(self, used_percent: float, thresholds: Iterable[int]) -> list[Notice]:
        """Take how full the journal is; the lowest threshold that is passed comes first."""
        notices = []
        known, self._is_above = self._is_above, {}
        for threshold in sorted(thresholds):
            was_above = known.get(threshold)
            is_above = used_percent >= threshold - (SLACK if was_above else 0)
            self._is_above[threshold] = is_above
            if is_above != was_above:
                kind = "buffer_above" if is_above else "buffer_below"
                fields = {"percent": round(used_percent, 1)}
                notices.append(Notice(kind, self._gateway, fields, threshold=threshold))
        return notices
