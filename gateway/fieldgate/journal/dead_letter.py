"""A dead letter: a message that broke its contract or that nobody knows, kept as it came for a person to look at.

Plain values, no I/O. The device was told that its message is safe, and it is; it is no event until it is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from fieldgate.errors import FieldgateError
from fieldgate.journal.history import HistoryQuery

__all__ = ["UNKNOWN_DEVICE", "DeadLetter", "Kind", "LetterChanges", "LetterQuery", "LettersUnreadable"]

UNKNOWN_DEVICE: Final = "unknown_device"
"""The reason of a message that no profile matches, where the configuration does not take those."""

Kind = tuple[str, str]
"""Profile (empty: none) and reason: what dead letters are counted by."""

_OVERHEAD_BYTES: Final = 160  # what a row has beside its texts, about


class LettersUnreadable(FieldgateError):
    """What is kept cannot be shown or changed now."""


class DeadLetter(msgspec.Struct, gc=False):
    """One message. ``number`` is 0 until it is on the disk, then ascending and never used again.

    ``source`` names the listener or source that heard it, ``profile`` and ``version`` the contract that it broke (empty
    and 0: it has none; only 0: none was asked), ``reason`` how, as a code, and ``detail`` in words. ``attempts`` counts
    the replays that it was refused by again. ``heard_s`` is the receipt on the journal's own clock, for where
    ``is_synced`` is not true.
    """

    number: int
    received_wall_ns: int
    source: str
    topic: str
    payload: bytes
    content_id: int
    lane: int
    profile: str
    version: int
    reason: str
    detail: str
    attempts: int = 0
    is_synced: bool = True
    heard_s: int = 0

    @property
    def kind(self) -> Kind:
        """What it is counted by."""
        return self.profile, self.reason

    @property
    def is_damaged(self) -> bool:
        """Whether these are bytes that never were a message, such as a frame with a wrong checksum.

        Then no contract was asked, and no replay makes an event of them.
        """
        return self.version == 0 and self.reason != UNKNOWN_DEVICE

    @property
    def size_bytes(self) -> int:
        """What it takes on the disk, near enough for limits."""
        return _OVERHEAD_BYTES + len(self.payload) + len(self.topic) + len(self.detail) + len(self.source)


@dataclass(slots=True)
class LetterChanges:
    """What becomes durable together. ``again`` are known letters that a replay left with another reason."""

    new: list[DeadLetter] = field(default_factory=list)
    again: list[DeadLetter] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.new or self.again or self.gone)


@dataclass(frozen=True, slots=True)
class LetterQuery:
    """Which dead letters: all that are given must hold; ``topic`` is a glob, ``since`` as in `HistoryQuery`.

    A letter of an unset clock is compared by the journal's own.
    """

    numbers: frozenset[int] | None = None
    profile: str | None = None
    reason: str | None = None
    topic: str | None = None
    since_ns: int = 0
    since_journal_s: float = 0.0

    @classmethod
    def of(
        cls,
        *,
        numbers: list[int] | None,
        profile: str | None,
        reason: str | None,
        topic: str | None,
        since: str | None,
        now_wall_ns: int,
        now_journal_s: float,
    ) -> LetterQuery:
        """Read a request.

        Raises:
            HistoryError: ``since`` is neither a duration nor a time.
        """
        when = HistoryQuery.of(since=since, device=None, now_wall_ns=now_wall_ns, now_journal_s=now_journal_s)
        only = None if numbers is None else frozenset(numbers)
        return cls(only, profile, reason, topic, when.since_ns, when.since_journal_s)

    def takes(self, letter: DeadLetter) -> bool:
        """Whether ``letter`` is asked for."""
        if self.numbers is not None and letter.number not in self.numbers:
            return False
        if self.profile not in (None, letter.profile) or self.reason not in (None, letter.reason):
            return False
        if self.topic is not None and not fnmatchcase(letter.topic, self.topic):
            return False
        if letter.is_synced:
            return letter.received_wall_ns >= self.since_ns
        return letter.heard_s >= self.since_journal_s
