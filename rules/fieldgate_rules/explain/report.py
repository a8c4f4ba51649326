"""An explanation as plain values: ``fieldgate rules explain --json`` prints it, ``EXPLAIN.md`` describes it.

Members are added, never renamed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import Clause, Value

__all__ = ["ClauseFacts", "Did", "Part", "Place", "Report", "Row", "Stop", "clause_facts"]


class Place(msgspec.Struct, frozen=True):
    """A place in a file of rules; line and column count from 1."""

    file: str
    line: int
    column: int

    @classmethod
    def of(cls, where: Location) -> Place:
        """Return the same place."""
        return cls(where.path, where.line, where.column)

    @property
    def short(self) -> str:
        """Without the file."""
        return f"{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ClauseFacts(msgspec.Struct, frozen=True):
    """A part of a condition and what it was. ``value`` null is unknown, and ``why`` says why."""

    text: str
    where: Place
    value: Value | None
    why: str = ""
    parts: tuple[ClauseFacts, ...] = ()


def clause_facts(clause: Clause) -> ClauseFacts:
    """Return a clause as plain values."""
    parts = tuple(map(clause_facts, clause.parts))
    return ClauseFacts(clause.text, Place.of(clause.where), clause.value, clause.why, parts)


class Part(msgspec.Struct, frozen=True):
    """A key of the rule, in the order in which it is gone through, and what came of it.

    ``passed``: it let the event through; ``stopped``: it did not; ``waits``: it will by time or by later events;
    ``skipped``: it was not asked any more.
    """

    key: str
    where: Place
    state: Literal["passed", "stopped", "waits", "skipped"]
    text: str = ""
    clauses: tuple[ClauseFacts, ...] = ()


class Did(msgspec.Struct, frozen=True):
    """An action and what became of it: ``done``, ``would_do`` (in shadow mode) or ``not_done``."""

    action: str
    number: int
    where: Place
    state: Literal["done", "would_do", "not_done"]
    text: str = ""
    id: str = ""


class Stop(msgspec.Struct, frozen=True):
    """What stopped the rule, in one line: the key and why."""

    where: Place
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.text}" if self.text else f"{self.where}: {self.key}"


class Row(msgspec.Struct, frozen=True):
    """A decision in short. ``at`` is UTC, null while nobody knew the time; ``ago_s`` is by boot time."""

    at: str | None
    ago_s: float | None
    group: str
    device: str
    event: str
    outcome: str
    text: str


class Report(msgspec.Struct, frozen=True):
    """Why a rule did what it did at one event, or did nothing.

    ``event`` is its id (``RUN-SEQ``), empty where it was a timer or none was found. ``outcome`` is one of the words of
    ``EXPLAIN.md``; ``never_asked`` where no decision is known. ``now`` is how its timers and throttles stand at
    this moment; ``notes`` are what else is to be known, such as a downtime that was not counted.
    """

    rule: str
    where: Place
    device: str | None
    group: str | None
    event: str
    at: str | None
    ago_s: float | None
    outcome: str
    parts: tuple[Part, ...] = ()
    did: tuple[Did, ...] = ()
    stopped: Stop | None = None
    now: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    decisions: tuple[Row, ...] = ()
