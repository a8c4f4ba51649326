"""A span: one step of one message, from when to when, in the words of OpenTelemetry. Core: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

__all__ = ["Span", "SpanSink"]


class Span(msgspec.Struct, frozen=True, gc=False):
    """What a collector is told.

    ``trace`` has 32 and ``id`` and ``parent`` have 16 hex digits; no parent: it is the first of its trace. Times are
    UTC in ns since 1970. ``links`` are (trace, span) of others that share what was done. ``problem`` says
    why it failed.
    """

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    kind: Literal["consumer", "internal", "producer"] = "internal"
    facts: Mapping[str, str | int] = {}
    links: Sequence[tuple[str, str]] = ()
    state: str = ""
    problem: str = ""


class SpanSink(Protocol):
    """Who takes spans."""

    def put(self, spans: Sequence[Span]) -> None:
        """Take them; never blocks, and drops what there is no room for."""
