"""The contract between a source and the flow, in both directions.

A source hands over batches and is told, later and possibly out of order, which of their messages are
settled (P1): only then may it acknowledge them. Both calls happen on the event loop, never at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from fieldgate_devices.event import Trace

__all__ = ["Damaged", "Intake", "Received", "Settler"]


class Received(msgspec.Struct, gc=False):
    """One message as a source heard it, before it is decoded.

    ``content_id`` and ``expiry_s``: see `fieldgate_devices.event.Event`.
    """

    topic: str
    payload: bytes
    content_id: int
    size_bytes: int
    expiry_s: int | None = None


class Damaged(msgspec.Struct, gc=False):
    """Bytes that are known to be no message: ``code`` and, in words, ``detail`` say why. ``message`` has them raw."""

    message: Received
    code: str
    detail: str


class Settler(Protocol):
    """Who must be told when messages are safe: one connection of one source, of one generation.

    Positions are the source's own: message number ``n`` of a connection that the intake was given has
    position ``n``, counted from 0 and never reused while the connection lives. ``source`` is the name of its listener
    or source.
    """

    source: str

    def settled(self, first: int, count: int) -> None:
        """Messages ``first`` … ``first + count - 1`` are safe. Each position is told exactly once, in any order.

        Called on a connection that is closed too; then it does nothing.
        """

    def flush(self) -> None:
        """Nothing more is settled for now: write what has become due (one write for many `settled`)."""


class Intake(Protocol):
    """Where a source puts what it heard; implemented by the pipeline."""

    def accept(
        self,
        received: Sequence[Received],
        settler: Settler,
        first: int,
        *,
        lane: int,
        traces: Mapping[int, Trace] | None = None,
    ) -> None:
        """Take one read's messages, whose positions start at ``first``; never blocks and never refuses.

        ``traces`` has, by place in ``received``, the traces to which messages belong; None where none does.
        """

    def refuse(self, damaged: Sequence[Damaged], settler: Settler, first: int, *, lane: int) -> None:
        """Take what is known to be no message, as `accept` takes messages: it is kept aside, and never an event."""

    def is_open(self) -> bool:
        """Whether new messages may be accepted now; when false a source stops reading (it keeps answering pings)."""

    def stalled(self, *, is_far: bool = False) -> None:
        """A connection has filled its window and waits for its acknowledgements: commit now rather than later.

        ``is_far``: a round trip to it takes long, so that what it waits costs rate at once.
        """
