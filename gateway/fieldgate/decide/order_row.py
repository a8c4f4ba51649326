"""One row of the durable record of commands: what the journal's side file holds, and what the audit trail shows.

A contract as `orders` is: the file's keeper imports this and nothing else of the stage. Rows are stored as msgpack by
name: a field that is added has a default.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fieldgate.decide.orders import Answer, Order

__all__ = ["Moment", "Row", "RowChanges", "Stage"]


class Stage(StrEnum):
    """How far a command has come, as far as the disk knows."""

    RECEIVED = "received"
    """It waits for its turn: nothing of it was done yet."""
    STARTED = "started"
    """It is about to be carried out, or was: after a crash nobody can tell."""
    ANSWERED = "answered"
    """Its final answer is in the row."""


class Moment(msgspec.Struct, frozen=True):
    """Now: by the OS boot's clock, in UTC (which counts for something only where ``is_synced``), by the journal's."""

    os_boot: str
    boot_s: float
    wall_ns: int
    is_synced: bool
    journal_s: float


class Row(msgspec.Struct, kw_only=True):
    """``number`` is its place in the record; ``has_id`` is False where its id belonged to another command already,
    or to none.

    ``os_boot`` is the OS boot that ``expires_boot_s`` and the order's boot time are of; ``expires_wall_ns`` is the same
    moment in UTC, 0 where the clock was not set. ``received_s`` is on the journal's clock, which runs on over restarts.
    ``answer`` may be `Status.ACCEPTED` before it is final. ``is_told``:
    whoever gave the order has acknowledged the final answer. ``owes_event``: the event that says what became of it
    is not known to be safe.
    """

    number: int
    order: Order
    stage: Stage
    os_boot: str
    received_s: float
    expires_boot_s: float
    expires_wall_ns: int = 0
    started_wall_ns: int = 0
    answer: Answer | None = None
    is_told: bool = False
    has_id: bool = True
    owes_event: bool = False

    @property
    def mark(self) -> str:
        """A name that no other command has had, whatever became of the file in between."""
        return f"{self.number}-{self.order.received_wall_ns:x}"


class RowChanges(msgspec.Struct):
    """What is to be written in one transaction: rows to put, by number, and numbers of rows to remove."""

    rows: dict[int, bytes]
    gone: list[int]

    def __bool__(self) -> bool:
        return bool(self.rows or self.gone)
