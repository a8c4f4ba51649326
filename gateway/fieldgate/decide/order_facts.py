"""A row of the audit trail as plain values: what ``fieldgate commands --json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from fieldgate.decide.order_row import Row, Stage

__all__ = ["RowQuery", "row_facts"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS: Final = 253_402_300_799 * 10**9  # the end of the year 9999


class RowQuery(msgspec.Struct, frozen=True):
    """Which commands: of devices that match a glob, received at ``since_ns`` (UTC) or later, with this status."""

    device: str | None = None
    since_ns: int = 0
    status: str | None = None
    after: int = 0

    def takes(self, row: Row) -> bool:
        """Whether ``row`` is asked for."""
        return (
            row.number > self.after
            and (self.device is None or fnmatchcase(row.order.device, self.device))
            and row.order.received_wall_ns >= self.since_ns
            and self.status in (None, _status(row))
        )

    def newest(self, rows: Iterable[Row], count: int) -> list[Row]:
        """Return the newest ``count`` rows that are asked for, the oldest of them first."""
        found = [row for row in rows if self.takes(row)]
        return found[-count:] if count else found


def row_facts(row: Row) -> dict[str, Any]:
    """Return what is known of one command; ``status`` is its answer's, else how far it is."""
    order, answer = row.order, row.answer
    return {
        "number": row.number,
        "device": order.device,
        "name": order.name,
        "arguments": order.arguments,
        "origin": order.origin,
        "id": order.id,
        "status": _status(row),
        "reason": "" if answer is None else answer.reason,
        "received": _utc(order.received_wall_ns),
        "started": _utc(row.started_wall_ns) if row.started_wall_ns else None,
        "answered": _utc(answer.at_ns) if answer is not None and row.stage is Stage.ANSWERED else None,
    }


def _status(row: Row) -> str:
    return row.stage.value if row.answer is None else row.answer.status.value


def _utc(at_ns: int) -> str:
    at = _EPOCH + timedelta(microseconds=min(max(at_ns, 0), _MAX_NS) // 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
