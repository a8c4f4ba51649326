"""What the commands print of the journal: events, sizes, the result of a check; as plain values for JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fieldgate.journal.history import Stored
from fieldgate.journal.records import LedgerRow, VerifyReport
from fieldgate_devices.event import Event, Lane, TimeQuality

__all__ = ["event_facts", "event_lines", "stats_facts", "verify_facts"]

_QUALITY: Final = tuple(TimeQuality(number).name.lower() for number in range(len(TimeQuality)))
_LANES: Final = tuple(Lane(number).name.lower() for number in range(len(Lane)))
_encode = msgspec.json.Encoder().encode


def event_facts(event: Event, *, gateway: str) -> dict[str, Any]:
    """Return one event; ``data`` is the JSON text, or base64 where it is none."""
    stamp = event.stamp
    facts = {
        "id": f"{stamp.run:016x}-{event.seq}",
        "gateway": gateway,
        "run": f"{stamp.run:016x}",
        "number": event.seq,
        "lane": _LANES[event.lane],
        "device": event.address.device,
        "type": event.address.type,
        "topic": event.address.topic,
        "time": _iso(stamp.wall_ns),
        "timequality": _QUALITY[stamp.quality],
        "uptime_s": stamp.boot_ns / 1e9,
        "is_json": event.is_json,
        "data": event.data.decode(errors="replace") if event.is_json else b64encode(event.data).decode(),
    }
    if event.raw is not None:
        facts["raw_base64"] = b64encode(event.raw).decode()
    return facts


def event_lines(events: list[Event], *, gateway: str, per_chunk: int = 200) -> Iterator[bytes]:
    """Return the events as lines of JSON, some hundred at a time."""
    for first in range(0, len(events), per_chunk):
        some = events[first : first + per_chunk]
        yield b"".join([_encode(event_facts(event, gateway=gateway)) + b"\n" for event in some])


def stats_facts(stored: Stored) -> dict[str, Any]:
    """Return sizes and counts; no scan."""
    stats = stored.stats()
    return {
        "epoch": stats.epoch,
        "bytes": stats.size_bytes,
        "used_bytes": stats.used_bytes,
        "wal_bytes": stats.wal_bytes,
        "set_aside_bytes": stats.set_aside_bytes,
        "max_bytes": stats.max_size_bytes,
        "blocks_written": stats.last_block_no,
        "lanes": {
            _LANES[lane.lane]: {
                "events": lane.events,
                "blocks": lane.blocks,
                "bytes": lane.body_bytes,
                "first": lane.first_seq,
                "last": lane.last_seq,
            }
            for lane in stats.lanes
        },
        "ledger": [_ledger_facts(row) for row in stored.ledger()],
    }


def _ledger_facts(row: LedgerRow) -> dict[str, Any]:
    entry = row.entry
    return {
        "uplink": entry.uplink,
        "lane": _LANES[entry.lane],
        "reason": entry.reason,
        "run": None if entry.run is None else f"{entry.run:016x}",
        "events": entry.count,
        "first": entry.first_seq,
        "last": entry.last_seq,
        "time": _iso(entry.wall_ns),
    }


def verify_facts(
    report: VerifyReport, accounts: list[dict[str, Any]] | None, *, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a walk over every block found, and whether each uplink's count of pending events is right.

    ``accounts`` is None where they were not compared.
    """
    wrong = [
        f"uplink {one['uplink'] or '(the first)'}: {one['pending']} events are pending by its account, "
        f"{one['stored']} are stored"
        for one in accounts or ()
        if one["stored"] != one["pending"]
    ]
    problems = [*notes, *report.problems, *wrong]
    return {
        "sound": not problems,
        "blocks": report.blocks,
        "events": report.events,
        "removed_blocks": report.removed_blocks,
        "booked_losses": report.booked_losses,
        "accounts": accounts,
        "problems": problems,
    }


def _iso(wall_ns: int) -> str:
    """UTC to the millisecond, as far as the calendar goes."""
    try:
        time = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return f"@{wall_ns / 1e9:.3f}"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
