"""W3C Trace Context, level 1: what a ``traceparent`` and a ``tracestate`` say, and whether they may be passed on.

Laws of this file:

- Names are compared as they are written, in lower case; what does not follow the grammar is as if it were not there.
- A ``traceparent`` of a later version is understood as far as version 00 goes, and goes on as version 00 [3.2.4].
- A ``tracestate`` that is wrong, or larger than everybody has to pass on, is left out; its ``traceparent`` stays [3.3].

Core: no I/O, no clock; chance is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import Final

from fieldgate_devices.event import Trace

__all__ = ["TRACEPARENT", "TRACESTATE", "child_of", "new_span_id", "new_trace", "read_trace", "trace_id"]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_PARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MAX_STATE: Final = 512
_MAX_MEMBERS: Final = 32
_MAX_PARENT: Final = 256
_SAMPLED: Final = 1


def read_trace(user: Iterable[tuple[str, str]]) -> tuple[Trace | None, bool]:
    """Return the trace that user properties (or headers) name, and whether any of them is not as it has to be.

    A second ``traceparent`` makes both worthless; several ``tracestate`` are one, in order [3.3.1.1].
    """
    parents: list[str] = []
    states: list[str] = []
    for name, value in user:
        if name == TRACEPARENT:
            parents.append(value)
        elif name == TRACESTATE:
            states.append(value)
    if not parents:
        return None, bool(states)
    parent = _parent(parents[0]) if len(parents) == 1 else ""
    if not parent:
        return None, True
    if not states:
        return Trace(parent), False
    state = _state(states)
    return Trace(parent, state or ""), state is None


def _parent(text: str) -> str:
    """The ``traceparent`` to be passed on; empty if ``text`` is none."""
    match = _PARENT.fullmatch(text) if len(text) <= _MAX_PARENT else None
    if match is None:
        return ""
    version, trace, span, flags, more = match.groups()
    if version == "00":
        return "" if more else text
    return f"00-{trace}-{span}-{int(flags, 16) & _SAMPLED:02x}"


def _state(texts: list[str]) -> str | None:
    """The ``tracestate`` to be passed on, without empty members; None if it is none."""
    if sum(map(len, texts)) + len(texts) - 1 > _MAX_STATE:
        return None
    members = [member for text in texts for one in text.split(",") if (member := one.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > _MAX_MEMBERS or len(keys) < len(members):
        return None
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else None


def trace_id(trace: Trace) -> str:
    """Return the 32 hex digits that all spans of a trace share."""
    return trace.parent[3:35]


def new_span_id(rng: Random) -> str:
    """Return 16 hex digits that are not all zero."""
    return f"{rng.getrandbits(64) or 1:016x}"


def new_trace(rng: Random) -> Trace:
    """Begin a trace that is sampled; its first span is ours."""
    span = new_span_id(rng)
    return Trace(f"00-{rng.getrandbits(128) or 1:032x}-{span}-01", span=span)


def child_of(trace: Trace, rng: Random) -> Trace:
    """Return the context of what was made because of something in ``trace``: the same trace, a parent of its own."""
    span = new_span_id(rng)
    return Trace(f"{trace.parent[:36]}{span}{trace.parent[52:]}", trace.state, span if trace.span else "")
