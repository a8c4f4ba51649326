"""The alerts of one rule and group: raised, updated, resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_rules.effects import AlertChange, Cause

__all__ = ["Alert", "Alerts"]

_UPDATES_EVERY_S: Final = 1.0
_MAX_KEYS: Final = 100


class Alert(msgspec.Struct):
    """One that lasts. ``changed_s`` is boot time; ``number`` is that of the action that raised it."""

    key: str
    severity: str
    text: str
    fields: dict[str, Any]
    since_boot_ns: int
    since_wall_ns: int | None
    notify: tuple[str, ...] = ()
    ends_itself: bool = True
    changed_s: float = 0.0
    number: int = 0


class Alerts:
    """``lasting`` are those of now, by key; at most 100."""

    def __init__(self, rule: str, group: str) -> None:
        self._rule = rule
        self._group = group
        self.lasting: dict[str, Alert] = {}

    def raised(self, alert: Alert, cause: Cause) -> AlertChange | None:
        """It is raised, or raised again; return what is to be said, if anything."""
        before = self.lasting.get(alert.key)
        if before is None:
            if len(self.lasting) >= _MAX_KEYS:
                return None
            self.lasting[alert.key] = alert
            return self.change(alert, "raised", cause)
        is_same = (before.severity, before.text, before.fields) == (alert.severity, alert.text, alert.fields)
        if is_same or alert.changed_s - before.changed_s < _UPDATES_EVERY_S:
            return None
        alert.since_boot_ns, alert.since_wall_ns = before.since_boot_ns, before.since_wall_ns
        self.lasting[alert.key] = alert
        return self.change(alert, "updated", cause)

    def ended(self, key: str, cause: Cause, *, text: str = "", reason: str = "") -> AlertChange:
        """It is resolved."""
        alert = self.lasting.pop(key)
        alert.text = text or alert.text
        return self.change(alert, "resolved", cause, reason)

    def change(self, alert: Alert, state: Any, cause: Cause, reason: str = "") -> AlertChange:
        """Return what is to be said of an alert."""
        fields: Mapping[str, Any] = alert.fields
        return AlertChange(
            rule=self._rule,
            group=self._group,
            cause=cause,
            state=state,
            key=alert.key,
            severity=alert.severity,
            text=alert.text,
            fields=fields,
            since_boot_ns=alert.since_boot_ns,
            since_wall_ns=alert.since_wall_ns,
            reason=reason,
            notify=alert.notify,
        )
