"""The alerts of one rule and group: raised, updated, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from fieldgate_rules.effects import AlertChange, Cause
from fieldgate_rules.engine.stages.stage import Move

__all__ = ["Alert", "Alerts", "Update"]

_UPDATES_EVERY_S: Final = 1.0
_MAX_KEYS: Final = 100
_NS: Final = 1e9


class Alert(msgspec.Struct, array_like=True):
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

    @property
    def said(self) -> tuple[object, ...]:
        """What people see of it."""
        return self.severity, self.text, self.fields


class Update(NamedTuple):
    """What an alert is to say once a second has gone by since it last said something."""

    alert: Alert
    cause: Cause
    device: str


class Alerts:
    """``lasting`` are those of now, by key; at most 100. ``updates`` wait until ``due_s``, the newest of each key.

    ``version`` changes whenever something was said.
    """

    def __init__(self, rule: str, group: str) -> None:
        self._rule = rule
        self._group = group
        self.lasting: dict[str, Alert] = {}
        self.updates: dict[str, Update] = {}
        self.due_s: float | None = None
        self.version = 0

    def raised(self, alert: Alert, cause: Cause, device: str) -> AlertChange | None:
        """It is raised, or raised again; return what is to be said, if anything."""
        before = self.lasting.get(alert.key)
        if before is None:
            if len(self.lasting) >= _MAX_KEYS:
                return None
            self.lasting[alert.key] = alert
            return self.change(alert, "raised", cause)
        self.updates.pop(alert.key, None)
        change = None
        if before.said != alert.said:
            alert.since_boot_ns, alert.since_wall_ns = before.since_boot_ns, before.since_wall_ns
            if alert.changed_s - before.changed_s < _UPDATES_EVERY_S:
                self.updates[alert.key] = Update(alert, cause, device)
            else:
                self.lasting[alert.key] = alert
                change = self.change(alert, "updated", cause)
        self._wait()
        return change

    def _wait(self) -> None:
        times = [self.lasting[key].changed_s for key in self.updates]
        self.due_s = min(times) + _UPDATES_EVERY_S if times else None

    def tick(self, now_s: float) -> list[tuple[AlertChange, str]]:
        """It is `due_s`: return what is to be said now, each with its device."""
        said = []
        for key, update in list(self.updates.items()):
            if now_s >= self.lasting[key].changed_s + _UPDATES_EVERY_S:
                del self.updates[key]
                self.lasting[key] = update.alert
                update.alert.changed_s = now_s
                said.append((self.change(update.alert, "updated", update.cause), update.device))
        self._wait()
        return said

    def ended(self, key: str, cause: Cause, *, text: str = "", reason: str = "") -> AlertChange:
        """It is resolved, with what it would have said next where nothing else is to be said."""
        alert = self.lasting.pop(key)
        update = self.updates.pop(key, None)
        if update is not None:
            alert = update.alert
        alert.text = text or alert.text
        self._wait()
        return self.change(alert, "resolved", cause, reason)

    def change(self, alert: Alert, state: Any, cause: Cause, reason: str = "") -> AlertChange:
        """Return what is to be said of an alert."""
        self.version += 1
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

    # -- over a restart -----------------------------------------------------------------------------------------------

    def save(self) -> tuple[list[Any], list[Any]]:
        """Return those that last, and those that wait to be said."""
        lasting = [msgspec.to_builtins(one) for one in self.lasting.values()]
        return lasting, [[msgspec.to_builtins(one.alert), one.device] for one in self.updates.values()]

    def restore(self, lasting: Iterable[Any], updates: Iterable[Any], move: Move, *, mark: str) -> None:
        """Take what `save` returned; ``mark`` names what they come of."""
        for saved in lasting:
            alert = _restored(saved, move)
            self.lasting[alert.key] = alert
        for saved, device in updates:
            alert = _restored(saved, move)
            if alert.key in self.lasting:
                self.updates[alert.key] = Update(alert, Cause(mark), device)
        self._wait()


def _restored(saved: Any, move: Move) -> Alert:
    alert = msgspec.convert(saved, Alert)
    alert.since_boot_ns = round(move(alert.since_boot_ns / _NS) * _NS)
    alert.changed_s = move(alert.changed_s)
    return alert
