"""The acknowledgements that one connection is owed, in the order in which its PUBLISHes came.

Laws of this file:

- An acknowledgement leaves only when everything received before it on this connection has left [MQTT-4.6.0-2],
  and that of an event only when the event is settled (P1). Events may settle in any order.
- Positions number the events of one connection and are never reused. Packet ids are only labels: an id may stand
  in the line twice, if the client sent two different messages under it.
- What is still owed when the connection ends becomes `Owed`: a client that resumes its session and sends the same
  message again joins the event that is already on its way, instead of making a second one.

A read's worth of PUBLISHes is one run, and runs of consecutive packet ids are acknowledged by one slice of a
constant: nothing here is done per event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from fieldgate.mqtt.codec import PUBACKS

__all__ = ["AckLine", "Owed"]

_NOT_AN_EVENT: Final = -1
_READY_BYTES: Final = 256  # what an entry without an event costs us; it has no other weight


class Owed:
    """An acknowledgement that a closed connection still owed. ``is_release`` tells QoS 2 (PUBREC) from QoS 1."""

    __slots__ = ("content_id", "is_release", "line", "position")

    def __init__(self, line: AckLine, position: int, content_id: int, *, is_release: bool) -> None:
        self.line = line
        self.position = position
        self.content_id = content_id
        self.is_release = is_release

    @property
    def is_settled(self) -> bool:
        """Whether the event that this acknowledgement is for is safe by now."""
        return self.line.is_settled(self.position)


class _Run:
    """PUBLISHes that came together. ``codes``: n is a PUBACK for id n, -n a PUBREC, 0 nothing (QoS 0).

    ``refusal`` is the packet that leaves instead.
    """

    __slots__ = ("codes", "content_ids", "done", "first", "owed", "refusal", "size_bytes")

    def __init__(
        self, codes: list[int], content_ids: Sequence[int], *, first: int, size_bytes: int, owed: Owed | None = None
    ) -> None:
        self.codes = codes
        self.content_ids = content_ids
        self.first = first
        self.size_bytes = size_bytes
        self.owed = owed
        self.refusal = b""
        self.done = 0


class AckLine:
    """FIFO of acknowledgements; only its settled prefix is due.

    ``in_flight`` counts the PUBLISHes that were received and not acknowledged, ``size_bytes`` the weight that their
    runs were given; a run gives its weight back when all of it has left the line. ``next_position`` is the position
    of the next event.
    """

    __slots__ = ("_later", "_runs", "_settled_to", "in_flight", "next_position", "size_bytes")

    def __init__(self) -> None:
        self.in_flight = 0
        self.size_bytes = 0
        self.next_position = 0
        self._runs: deque[_Run] = deque()
        self._settled_to = 0  # all positions below are settled
        self._later: dict[int, int] = {}  # settled intervals above that, first position -> end

    def add_events(self, codes: list[int], content_ids: Sequence[int], size_bytes: int) -> int:
        """Append a run of events and return the position of the first."""
        first = self.next_position
        self._runs.append(_Run(codes, content_ids, first=first, size_bytes=size_bytes))
        self.next_position = first + len(codes)
        self.size_bytes += size_bytes
        self.in_flight += len(codes) - codes.count(0)
        return first

    def add_ready(self, code: int) -> None:
        """Append an acknowledgement that waits for nothing but those before it."""
        self._runs.append(_Run([code], (), first=_NOT_AN_EVENT, size_bytes=_READY_BYTES))
        self.in_flight += 1
        self.size_bytes += _READY_BYTES

    def add_refusal(self, code: int, packet: bytes) -> None:
        """Append ``packet``, a PUBACK or PUBREC that says no; it waits for nothing but those before it."""
        self.add_ready(code)
        self._runs[-1].refusal = packet

    def add_joined(self, code: int, owed: Owed) -> None:
        """Append an acknowledgement that waits for an event of an earlier connection."""
        self._runs.append(_Run([code], (owed.content_id,), first=_NOT_AN_EVENT, size_bytes=_READY_BYTES, owed=owed))
        self.in_flight += 1
        self.size_bytes += _READY_BYTES

    def settled(self, first: int, count: int) -> None:
        """Positions ``first`` … ``first + count - 1`` are safe; each is told once, in any order."""
        if first != self._settled_to:
            self._later[first] = first + count
            return
        end: int | None = first + count
        later = self._later
        while end is not None:
            self._settled_to = end
            end = later.pop(end, None) if later else None

    def is_settled(self, position: int) -> bool:
        """Whether this position was told to be safe."""
        return position < self._settled_to or any(first <= position < end for first, end in self._later.items())

    def take_due(self) -> tuple[bytes, list[int]]:
        """Remove what is due and return its bytes, and the packet ids that PUBRECs among them bear."""
        runs = self._runs
        releases: list[int] = []
        if not runs or runs[0].first >= self._settled_to:
            return b"", releases
        out: list[bytes] = []
        while runs:
            run = runs[0]
            codes = run.codes
            due = self._due_in(run)
            if due == run.done:
                break
            part = codes if due - run.done == len(codes) else codes[run.done : due]
            self.in_flight -= len(part) - part.count(0)
            out.append(run.refusal or _encode(part, releases))
            run.done = due
            if due < len(codes):
                break
            runs.popleft()
            self.size_bytes -= run.size_bytes
        return b"".join(out), releases

    def _due_in(self, run: _Run) -> int:
        if run.first >= 0:
            return max(run.done, min(self._settled_to - run.first, len(run.codes)))
        return 1 if run.owed is None or run.owed.is_settled else 0

    def waiting(self) -> Iterator[tuple[int, int]]:
        """Every event that still waits for its acknowledgement, as (code, content id)."""
        for run in self._runs:
            if run.content_ids:
                yield from zip(run.codes[run.done :], run.content_ids[run.done :], strict=True)

    def owed(self) -> dict[int, Owed]:
        """What this line, whose connection has ended, still owes, by packet id."""
        debts: dict[int, Owed] = {}
        for run in self._runs:
            if run.owed is not None:
                debts[abs(run.codes[0])] = run.owed
            elif run.first >= 0:
                for index in range(run.done, len(run.codes)):
                    if code := run.codes[index]:
                        debts[abs(code)] = Owed(self, run.first + index, run.content_ids[index], is_release=code < 0)
        return debts


def _encode(codes: list[int], releases: list[int]) -> bytes:
    first = codes[0]
    count = len(codes)
    if first > 0 and codes[-1] == first + count - 1 and codes == list(range(first, first + count)):
        return PUBACKS[4 * (first - 1) : 4 * (first - 1 + count)]
    out: list[bytes] = []
    for code in codes:
        if code > 0:
            out.append(PUBACKS[4 * (code - 1) : 4 * code])
        elif code < 0:
            releases.append(-code)
            out.append(b"\x50\x02" + (-code).to_bytes(2, "big"))
    return b"".join(out)
