"""What is said of an alert: the data of its event upstream, and of the message that is retained locally."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fieldgate_rules.effects import AlertChange

__all__ = ["alert_data"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def alert_data(change: AlertChange) -> dict[str, Any]:
    """Return it as plain values. ``since`` is absent where nobody knew the time; own keys go before the rule's fields.

    The keys are ``state``, ``rule``, ``key``, ``severity``, ``text``, ``since``, the fields, and ``reason``.
    """
    data: dict[str, Any] = {
        "state": change.state,
        "rule": change.rule,
        "key": change.key,
        "severity": change.severity,
        "text": change.text,
    }
    if change.since_wall_ns is not None:
        data["since"] = _utc_text(change.since_wall_ns)
    if change.reason:
        data["reason"] = change.reason
    return data | {name: value for name, value in change.fields.items() if name not in data}


def _utc_text(wall_ns: int) -> str:
    at = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
