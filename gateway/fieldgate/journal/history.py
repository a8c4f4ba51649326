"""Look through what is stored: every event over all lanes in order of sequence numbers, a bounded piece at a time.

Works on the running gateway's journal, between whose commits it reads, and on a stopped one's files.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, Protocol

from fieldgate.errors import FieldgateError
from fieldgate.journal.records import JournalStats, LedgerRow, Loss, ParkedHead, ReadHint, ReadResult
from fieldgate_devices.event import LANES, Event, TimeQuality

__all__ = ["HistoryError", "HistoryQuery", "HistoryStep", "NewestEvents", "Place", "Stored", "history_step"]

_READ_BYTES: Final = 64 << 10
_FAR: Final = 1 << 62
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(s|m|h|d)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Stored(Protocol):
    """What can be looked through: the running gateway's journal, or the files of a stopped one."""

    def read(self, lane: int, after_seq: int, *, max_bytes: int, hint: ReadHint | None = None) -> ReadResult:
        """Blocks of a lane that hold events above ``after_seq``, and what turned out to be lost on the way."""

    def stats(self) -> JournalStats:
        """Sizes and counts."""

    def ledger(self) -> list[LedgerRow]:
        """What uplinks will never get."""

    def uplink_states(self) -> dict[str, bytes]:
        """What the last commit left of each uplink's state."""

    def parked_heads(self) -> list[ParkedHead]:
        """What is parked, without its content."""


class HistoryError(FieldgateError):
    """A question about the history that cannot be answered as put."""


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which events: above ``after_seq``, received at ``since_ns`` (UTC) or later, of devices that match a glob.

    An event of an unset clock has no time to compare: it is taken if its block may have been heard since then by the
    journal's own clock, that is, from ``since_journal_s`` on.
    """

    after_seq: int = 0
    since_ns: int = 0
    since_journal_s: float = 0.0
    device: str | None = None

    @classmethod
    def of(cls, *, since: str | None, device: str | None, now_wall_ns: int, now_journal_s: float) -> HistoryQuery:
        """Read a request: ``since`` is a duration back from now (``90s 15m 1h 7d``) or an ISO 8601 time.

        Raises:
            HistoryError: ``since`` is neither.
        """
        if since is None:
            return cls(device=device)
        since_ns = _since_ns(since, now_wall_ns)
        age_s = (now_wall_ns - since_ns) / 1e9
        return cls(since_ns=since_ns, since_journal_s=now_journal_s - age_s, device=device)

    def after(self, seq: int) -> HistoryQuery:
        """Return the query for what follows the event with that sequence number."""
        return replace(self, after_seq=seq)

    def takes(self, event: Event, *, heard_s: float) -> bool:
        """Whether ``event``, whose block was heard at ``heard_s`` on the journal's own clock, is asked for."""
        if event.seq <= self.after_seq:
            return False
        if self.device is not None and not fnmatchcase(event.address.device, self.device):
            return False
        if event.stamp.quality == TimeQuality.UNSYNCED:
            return heard_s >= self.since_journal_s
        return event.stamp.wall_ns >= self.since_ns


@dataclass(slots=True)
class Place:
    """Where one lane stands: everything up to ``after_seq`` was read; ``events`` are those not given yet."""

    after_seq: int
    hint: ReadHint | None = None
    events: deque[Event] = field(default_factory=deque)
    is_at_end: bool = False


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A piece of the answer; ``position`` is None after the last one. ``losses`` are told once: book them."""

    events: list[Event]
    losses: list[Loss]
    position: list[Place] | None


def history_step(stored: Stored, *, query: HistoryQuery, position: list[Place] | None) -> HistoryStep:
    """Return the next events, possibly none yet; reads each lane once at most. Runs in the journal's thread."""
    places = position if position is not None else [Place(query.after_seq) for _ in LANES]
    losses: list[Loss] = []
    for lane, place in zip(LANES, places, strict=True):
        if not place.is_at_end and not place.events:
            losses += _read_on(stored, lane, place, query)
    known_to = min((place.after_seq for place in places if not place.is_at_end), default=_FAR)
    given: list[Event] = []
    for place in places:
        while place.events and place.events[0].seq <= known_to:
            given.append(place.events.popleft())
    given.sort(key=lambda event: event.seq)
    is_over = all(place.is_at_end and not place.events for place in places)
    return HistoryStep(given, losses, None if is_over else places)


def _read_on(stored: Stored, lane: int, place: Place, query: HistoryQuery) -> list[Loss]:
    after_seq = place.after_seq
    result = stored.read(lane, after_seq, max_bytes=_READ_BYTES, hint=place.hint)
    place.hint = result.hint
    for block in result.blocks:
        heard_s = block.info.heard_s
        place.events.extend(
            event for event in block.events if event.seq > after_seq and query.takes(event, heard_s=heard_s)
        )
        place.after_seq = max(place.after_seq, block.info.last_seq)
    for loss in result.losses:
        place.after_seq = max(place.after_seq, loss.last_seq)
    place.is_at_end = not result.more
    return result.losses


class NewestEvents:
    """Finds the newest ``count`` events that ``query`` takes: looks at the end of the log, then further back."""

    def __init__(self, query: HistoryQuery, count: int, *, newest_seq: int) -> None:
        self.events: deque[Event] = deque(maxlen=count)
        self.losses: list[Loss] = []
        self._query = query
        self._newest_seq = newest_seq
        self._span = 2 * count
        self._position: list[Place] | None = None
        self._set_back()

    def _set_back(self) -> None:
        self.events.clear()
        self._query = self._query.after(max(0, self._newest_seq - self._span))

    def step(self, stored: Stored) -> bool:
        """Look a little further; answers whether `events` is complete. Runs in the journal's thread."""
        step = history_step(stored, query=self._query, position=self._position)
        self._position = step.position
        self.events.extend(step.events)
        self.losses += step.losses
        if step.position is not None:
            return False
        oldest_seq = min((lane.first_seq for lane in stored.stats().lanes if lane.first_seq is not None), default=_FAR)
        if len(self.events) == self.events.maxlen or self._query.after_seq < oldest_seq:
            return True
        self._span *= 8
        self._set_back()
        return False


def _since_ns(text: str, now_wall_ns: int) -> int:
    match = _DURATION.fullmatch(text)
    if match:
        return now_wall_ns - int(float(match[1]) * _UNIT_S[match[2]] * 1e9)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise HistoryError(
            f"since {text!r} is neither a duration (90s, 15m, 1h, 7d) nor a time (2026-07-14T12:00:00Z)"
        ) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e9)
