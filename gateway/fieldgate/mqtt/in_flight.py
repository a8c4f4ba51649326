"""The QoS 1 messages of a client that the server has not acknowledged yet, by runs of packet ids.

Laws of this file:

- A packet id is in use from `add` until its PUBACK [MQTT-2.2.1-4]; ids are given out in rising order, and one that
  is still in use after a wrap is passed over.
- What was sent on an earlier connection is sent again on the next one, in the original order, before anything new
  [MQTT-4.4.0-1], [MQTT-4.6.0-1]: byte for byte as before but for the DUP flag and, where the server asks for it,
  the packet id.
- A run is one write's worth of packets with consecutive ids; bookkeeping is per run, so that a burst of PUBACKs in
  order costs one comparison with the PUBACKs that are expected.

What a run carries for its owner (``batch``, ``start``) is opaque here.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from fieldgate.mqtt.codec import PUBACKS
from fieldgate.mqtt.framing import packet_ends, with_expiry, with_packet_id, with_topic

__all__ = ["Delivered", "InFlight", "Piece", "Run"]

Delivered = Callable[[object, int, int], None]
"""Told ``(batch, start, stop)`` for each range that the server has acknowledged."""

Piece = tuple[object, int, int]
"""``(batch, start, stop)``: ``events[start:stop]`` of a batch."""

_MAX_ID: Final = 65_535
_DUP: Final = 0x08  # in the first byte of a PUBLISH


class Run:
    """``count`` packets with ids from ``first_id`` on: those after the first ``skip`` packets of ``wire``.

    Packet ``k`` carries ``events[start + k]`` of ``batch``; where ``pieces`` is set there is one packet, which
    carries all of these. ``order`` counts packets in the order of their first sending. ``aliases`` are the topics by
    alias of the connection for which ``wire`` was made; what is sent again bears its topic in full.
    """

    __slots__ = (
        "aliases",
        "batch",
        "count",
        "expires_at_s",
        "first_id",
        "is_known",
        "order",
        "packet_bytes",
        "pieces",
        "refusals",
        "skip",
        "start",
        "tries",
        "wire",
    )

    def __init__(
        self,
        first_id: int,
        count: int,
        wire: bytes,
        *,
        batch: object = None,
        start: int = 0,
        pieces: tuple[Piece, ...] | None = None,
        aliases: Sequence[bytes] = (),
    ) -> None:
        self.aliases = aliases
        self.first_id = first_id
        self.count = count
        self.wire = wire
        self.batch = batch
        self.start = start
        self.pieces = pieces
        self.skip = 0
        self.order = 0
        self.packet_bytes = len(wire) // count
        self.is_known = False  # the server of the present session may have it: DUP is due
        self.expires_at_s: float | None = None  # not to be sent any more from then on; for single packets
        self.refusals = 0  # since nothing but the server was to blame
        self.tries = 0  # how often the server has refused it for now

    def carries(self) -> tuple[Piece, ...]:
        """Return what all packets of this run carry."""
        return ((self.batch, self.start, self.start + self.count),) if self.pieces is None else self.pieces

    def cut(self, count: int) -> Run:
        """Cut off the first ``count`` packets (fewer than all) and return them; this run keeps the rest."""
        head = Run(self.first_id, count, self.wire, batch=self.batch, start=self.start, aliases=self.aliases)
        head.skip, head.order, head.packet_bytes = self.skip, self.order, self.packet_bytes
        head.is_known, head.refusals, head.tries = self.is_known, self.refusals, self.tries
        self.drop(count)
        return head

    def drop(self, count: int) -> None:
        """Forget the first ``count`` packets (fewer than all)."""
        self.first_id += count
        self.start += count
        self.skip += count
        self.order += count
        self.count -= count

    def packets(self) -> list[bytes]:
        """Return the packets as they were first sent, with their topics in full."""
        wire, aliases = self.wire, self.aliases
        ends = packet_ends(wire)
        begins = [0, *ends]
        packets = [wire[begins[k] : ends[k]] for k in range(self.skip, self.skip + self.count)]
        return [with_topic(packet, aliases) for packet in packets] if aliases else packets

    def renumber(self, packet_id: int) -> None:
        """Give the single packet of this run another id."""
        self.wire = with_packet_id(self.packets()[0], packet_id)
        self.first_id, self.skip, self.aliases = packet_id, 0, ()

    def set_expiry(self, left_s: float) -> None:
        """Say in the single packet of this run, of MQTT 5, what is left of its Message Expiry Interval."""
        self.wire = with_expiry(self.packets()[0], left_s)
        self.skip, self.aliases = 0, ()

    def again(self) -> bytes:
        """Return the bytes to send on a later connection; DUP is set where the server may know the packets."""
        packets = self.packets()
        return b"".join([_with_dup(packet) for packet in packets] if self.is_known else packets)


def _with_dup(packet: bytes) -> bytes:
    return b"%c%b" % (packet[0] | _DUP, packet[1:])


def _order(run: Run) -> int:
    return run.order


class InFlight:
    """Everything between the first write of a packet and its PUBACK, over connections.

    ``sent`` was written on the present connection; ``held`` waits to be written again on it. ``size_bytes`` is what
    both hold, to within rounding.
    """

    def __init__(self, *, first_id: int = 1) -> None:
        self.sent: deque[Run] = deque()
        self.held: deque[Run] = deque()
        self.sent_count = 0
        self.held_count = 0
        self.size_bytes = 0
        self.is_overtaken = False  # the oldest sent message waits although a later one was acknowledged
        self._reserved: set[int] = set()
        self._next_id = first_id
        self._span_end = first_id  # ids from _next_id to below this one are free
        self._next_order = 0

    def __len__(self) -> int:
        return self.sent_count + self.held_count

    def clear(self) -> None:
        """Forget everything; the owner sends it again from where it has it."""
        self.sent.clear()
        self.held.clear()
        self.sent_count = self.held_count = self.size_bytes = 0
        self.is_overtaken = False

    # -- packet ids -------------------------------------------------------------------------------------------

    def span(self, limit: int) -> tuple[int, int]:
        """Return ``(first_id, count)``: up to ``limit`` consecutive free ids; ``count`` is 0 when none is free."""
        if self._next_id >= self._span_end:
            self._find_span()
        return self._next_id, min(limit, self._span_end - self._next_id)

    def fresh_id(self) -> int:
        """Return a free id for a message that is then given to `hold`; 0 when none is free."""
        packet_id, count = self.span(1)
        self._next_id += count
        return packet_id if count else 0

    def reserve(self) -> int:
        """Take one id for another use (SUBSCRIBE …) until `release`; 0 when none is free."""
        packet_id = self.fresh_id()
        if packet_id:
            self._reserved.add(packet_id)
        return packet_id

    def release(self, packet_id: int) -> bool:
        """Give back an id that `reserve` gave; return whether it was one."""
        if packet_id not in self._reserved:
            return False
        self._reserved.remove(packet_id)
        return True

    def release_all(self) -> None:
        """Give back what `reserve` gave: the connection on which an answer could come is gone."""
        self._reserved.clear()

    def _find_span(self) -> None:
        """Move on to the next free id and find out how many free ones follow it."""
        taken = [(run.first_id, run.first_id + run.count) for runs in (self.sent, self.held) for run in runs]
        taken += [(packet_id, packet_id + 1) for packet_id in self._reserved]
        taken.sort()
        for at in (self._next_id, 1):
            for first, end in taken:
                if first <= at < end:
                    at = end
            if at <= _MAX_ID:
                break
        self._next_id = at
        self._span_end = max(at, min((first for first, _ in taken if first > at), default=_MAX_ID + 1))

    # -- sending ----------------------------------------------------------------------------------------------

    def add(self, run: Run) -> None:
        """Take a run just written for the first time, whose ids `span` gave."""
        run.order = self._next_order
        run.is_known = True
        self._next_order += run.count
        self._next_id = run.first_id + run.count
        self.sent.append(run)
        self.sent_count += run.count
        self.size_bytes += run.packet_bytes * run.count

    def hold_all(self, *, is_session_present: bool) -> None:
        """A new connection is up: everything is to be sent again, with DUP where the server kept the session."""
        held = sorted((*self.sent, *self.held), key=_order)
        if not is_session_present:
            for run in held:
                run.is_known = False
        self.held = deque(held)
        self.held_count += self.sent_count
        self.sent.clear()
        self.sent_count = 0
        self.is_overtaken = False

    def hold(self, run: Run) -> None:
        """Take back a run that `remove` took out: it is to be sent again, at its old place."""
        insort(self.held, run, key=_order)
        self.held_count += run.count
        self.size_bytes += run.packet_bytes * run.count

    def next_held(self, limit: int) -> Run | None:
        """Take the next run to be sent again out of ``held``, of at most ``limit`` packets."""
        if not self.held or limit <= 0:
            return None
        run = self.held[0]
        if run.count > limit:
            run = run.cut(limit)
        else:
            self.held.popleft()
        self.held_count -= run.count
        self.size_bytes -= run.packet_bytes * run.count
        return run

    def send_again(self, run: Run) -> bytes:
        """Book a run from `next_held` as sent and return its bytes."""
        wire = run.again()
        run.is_known = True
        self.sent.append(run)
        self.sent_count += run.count
        self.size_bytes += run.packet_bytes * run.count
        return wire

    # -- acknowledgements -------------------------------------------------------------------------------------

    def acknowledge(self, chunk: bytes, delivered: Delivered) -> int:
        """Take the PUBACKs at the start of ``chunk`` that are the next ones expected; return the bytes taken."""
        offset, size = 0, len(chunk)
        sent = self.sent
        while size - offset >= 4 and sent:
            run = sent[0]
            count = min(run.count, (size - offset) >> 2)
            end = offset + 4 * count
            at = 4 * run.first_id - 4
            # One comparison of bytes for the whole run is what makes an acknowledgement cost next to nothing.
            if chunk[offset:end] != PUBACKS[at : at + 4 * count]:
                break
            offset = end
            self._settle_head(run, count, delivered)
        return offset

    def acknowledge_ids(self, first_id: int, count: int, delivered: Delivered) -> int:
        """Take PUBACKs of success for ``count`` ids from ``first_id`` on; return how many of them were waiting."""
        taken = 0
        end = first_id + count
        while first_id < end:
            run = self.sent[0] if self.sent else None
            if run is not None and run.first_id == first_id:
                step = min(run.count, end - first_id)
                self._settle_head(run, step, delivered)
            else:
                step = 1
                one = self.remove(first_id)
                for piece in one.carries() if one is not None else ():
                    delivered(*piece)
                taken -= one is None
            taken += step
            first_id += step
        return taken

    def acknowledge_all(self, ids: Sequence[int], delivered: Delivered) -> int:
        """Take PUBACKs of success in the order of ``ids``, by runs of consecutive ones; as `acknowledge_ids`."""
        taken = start = 0
        size = len(ids)
        for index in range(1, size + 1):
            if index == size or ids[index] != ids[index - 1] + 1:
                taken += self.acknowledge_ids(ids[start], index - start, delivered)
                start = index
        return taken

    def remove(self, packet_id: int) -> Run | None:
        """Take one sent packet out, as a run of its own; None when that id is not waiting for a PUBACK."""
        index = next((i for i, run in enumerate(self.sent) if 0 <= packet_id - run.first_id < run.count), None)
        if index is None:
            return None
        run = self.sent[index]
        place = packet_id - run.first_id
        self.is_overtaken = bool(index or place)
        del self.sent[index]
        before = run.cut(place) if place else None
        taken = run
        if run.count > 1:
            taken = run.cut(1)
            self.sent.insert(index, run)
        if before is not None:
            self.sent.insert(index, before)
        self.sent_count -= 1
        self.size_bytes -= taken.packet_bytes
        return taken

    def _settle_head(self, run: Run, count: int, delivered: Delivered) -> None:
        """Book the first ``count`` packets of the oldest run as done, then tell the owner."""
        start = run.start
        self.is_overtaken = False
        self.sent_count -= count
        self.size_bytes -= run.packet_bytes * count
        if count == run.count:
            self.sent.popleft()
        else:
            run.drop(count)
        if run.pieces is None:
            delivered(run.batch, start, start + count)
        else:
            for piece in run.pieces:
                delivered(*piece)
