"""Look through what is stored: every event over all lanes in order of sequence numbers, a bounded piece at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from fieldgate.errors import FieldgateError
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import ReadHint
from fieldgate_devices.event import LANES, Event, Lane, TimeQuality

__all__ = ["HistoryError", "HistoryQuery", "HistoryStep", "event_facts", "history_step", "stats_facts", "verify_facts"]

_READ_BYTES = 128 << 10
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class HistoryError(FieldgateError):
    """A question about the history that cannot be answered as put."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which events: above ``after_seq``, received at ``since_ns`` (UTC) or later, of devices that match a glob."""

    after_seq: int = 0
    since_ns: int = 0
    device: str | None = None

    @classmethod
    def of(cls, request: dict[str, Any], *, now_wall_ns: int) -> HistoryQuery:
        """Read a request: ``since`` is a duration back from now (``90s 15m 1h 7d``) or an ISO 8601 time.

        Raises:
            HistoryError: ``since`` is neither.
        """
        since = request.get("since")
        device = request.get("device")
        since_ns = 0 if since is None else _since_ns(str(since), now_wall_ns)
        return cls(since_ns=since_ns, device=str(device) if device is not None else None)

    def after(self, event: Event) -> HistoryQuery:
        """Return the query for what follows ``event``."""
        return replace(self, after_seq=event.seq)

    def takes(self, event: Event) -> bool:
        """Whether ``event`` is asked for."""
        if event.seq <= self.after_seq or event.stamp.wall_ns < self.since_ns:
            return False
        return self.device is None or fnmatchcase(event.address.device, self.device)


@dataclass(slots=True)
class _Place:
    """Where one lane stands: events read and not yet given."""

    after_seq: int
    hint: ReadHint | None = None
    events: list[Event] = field(default_factory=list)
    is_at_end: bool = False


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A piece of the answer; ``position`` is None after the last one."""

    events: list[Event]
    position: list[_Place] | None


def history_step(journal: Journal, *, query: HistoryQuery, position: list[_Place] | None) -> HistoryStep:
    """Return the next events; runs in the journal's thread."""
    places = position if position is not None else [_Place(query.after_seq) for _ in LANES]
    for lane, place in zip(LANES, places, strict=True):
        while not place.events and not place.is_at_end:
            result = journal.read(lane, place.after_seq, max_bytes=_READ_BYTES, hint=place.hint)
            place.hint = result.hint
            for block in result.blocks:
                place.events.extend(event for event in block.events if event.seq > place.after_seq)
                place.after_seq = max(place.after_seq, block.info.last_seq)
            for loss in result.losses:
                place.after_seq = max(place.after_seq, loss.last_seq)
            place.is_at_end = not result.more
    bound = min((place.events[-1].seq for place in places if place.events and not place.is_at_end), default=1 << 62)
    given: list[Event] = []
    for place in places:
        ready = [event for event in place.events if event.seq <= bound]
        del place.events[: len(ready)]
        given.extend(event for event in ready if query.takes(event))
    given.sort(key=lambda event: event.seq)
    is_over = all(place.is_at_end and not place.events for place in places)
    return HistoryStep(given, None if is_over else places)


def event_facts(event: Event, *, gateway: str) -> dict[str, Any]:
    """Return an event as the commands print it."""
    stamp = event.stamp
    time = datetime.fromtimestamp(stamp.wall_ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return {
        "id": f"{stamp.run:016x}-{event.seq}",
        "gateway": gateway,
        "run": f"{stamp.run:016x}",
        "number": event.seq,
        "lane": Lane(event.lane).name.lower(),
        "device": event.address.device,
        "type": event.address.type,
        "topic": event.address.topic,
        "time": time.replace("+00:00", "Z"),
        "timequality": TimeQuality(stamp.quality).name.lower(),
        "is_json": event.is_json,
        "data": event.data.decode() if event.is_json else event.data.hex(),
    }


def stats_facts(journal: Journal) -> dict[str, Any]:
    """Return sizes and counts; no scan."""
    stats = journal.stats()
    return {
        "epoch": stats.epoch,
        "bytes": stats.size_bytes,
        "used_bytes": stats.used_bytes,
        "wal_bytes": stats.wal_bytes,
        "set_aside_bytes": stats.set_aside_bytes,
        "max_bytes": stats.max_size_bytes,
        "blocks_written": stats.last_block_no,
        "lanes": {
            Lane(lane.lane).name.lower(): {
                "events": lane.events,
                "blocks": lane.blocks,
                "bytes": lane.body_bytes,
                "first": lane.first_seq,
                "last": lane.last_seq,
            }
            for lane in stats.lanes
        },
        "ledger": [
            {
                "uplink": row.entry.uplink,
                "lane": Lane(row.entry.lane).name.lower(),
                "reason": row.entry.reason,
                "events": row.entry.count,
                "first": row.entry.first_seq,
                "last": row.entry.last_seq,
            }
            for row in journal.ledger()
        ],
    }


def verify_facts(journal: Journal) -> dict[str, Any]:
    """Walk every block and return what is wrong; costs a read of the whole file."""
    report = journal.verify()
    return {
        "sound": report.is_sound,
        "blocks": report.blocks,
        "events": report.events,
        "removed_blocks": report.removed_blocks,
        "booked_losses": report.booked_losses,
        "problems": list(report.problems),
    }


def _since_ns(text: str, now_wall_ns: int) -> int:
    match = _DURATION.fullmatch(text)
    if match:
        return now_wall_ns - int(float(match[1]) * _UNIT_S[match[2]] * 1e9)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise HistoryError(f"since {text!r} is no duration (90s, 15m, 1h, 7d) and no ISO 8601 time") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)
