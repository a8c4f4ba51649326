"""What the commands print of the journal: events, sizes, the result of a check; as plain values for JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fieldgate.journal.dead_letter import DeadLetter
from fieldgate.journal.history import Stored
from fieldgate.journal.records import LedgerRow, ParkedEvent, ParkedHead, VerifyReport
from fieldgate_devices.event import Event, Lane, TimeQuality

__all__ = [
    "dead_letter_facts",
    "event_facts",
    "event_lines",
    "parked_facts",
    "parked_id",
    "stats_facts",
    "verify_facts",
]

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
    if event.expiry_s is not None:
        facts["expiry_s"] = event.expiry_s
    if event.extra is not None and event.extra.cause:
        facts["cause"] = event.extra.cause
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
        "parked": _parked_counts(stored.parked_heads()),
    }


def _parked_counts(heads: Sequence[ParkedHead]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for head in heads:
        of_uplink = counts.setdefault(head.uplink, {"events": 0, "bytes": 0})
        of_uplink["events"] += 1
        of_uplink["bytes"] += head.size_bytes
    return counts


def parked_id(head: ParkedHead) -> str:
    """Return the id by which a person names a parked event."""
    return f"{head.run:016x}-{head.seq}"


def parked_facts(parked: ParkedEvent, *, gateway: str, now_journal_s: int, has_data: bool) -> dict[str, Any]:
    """Return one parked event: why, since when, and the event itself, with its content only if ``has_data``."""
    facts = event_facts(parked.event, gateway=gateway)
    size_bytes = len(parked.event.payload)
    if not has_data:
        facts = {key: value for key, value in facts.items() if key not in ("data", "raw_base64")}
    return {
        "uplink": parked.uplink,
        "reason": parked.reason,
        "parked_at": _iso(parked.wall_ns),
        "parked_for_s": max(0, now_journal_s - parked.parked_s),
        "retrying": parked.is_retrying,
        "payload_bytes": size_bytes,
        **facts,
    }


def dead_letter_facts(letter: DeadLetter, *, kept_for_s: int | None, has_data: bool) -> dict[str, Any]:
    """Return one dead letter, with its bytes (base64) only if ``has_data``; how long it is kept may not be known."""
    facts = {
        "number": letter.number,
        "time": _iso(letter.received_wall_ns),
        "timequality": _QUALITY[TimeQuality.SYNCED if letter.is_synced else TimeQuality.UNSYNCED],
        "kept_for_s": kept_for_s,
        "source": letter.source,
        "topic": letter.topic,
        "lane": _LANES[letter.lane],
        "profile": letter.profile or None,
        "version": letter.version or None,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "damaged": letter.is_damaged,
        "payload_bytes": len(letter.payload),
    }
    if has_data:
        facts["payload_base64"] = b64encode(letter.payload).decode()
    return facts


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
    wrong += [
        f"uplink {one['uplink'] or '(the first)'}: {one['parked']} events are parked by its account, "
        f"{one['parked_kept']} are kept"
        for one in accounts or ()
        if one["parked_kept"] > one["parked"]
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
