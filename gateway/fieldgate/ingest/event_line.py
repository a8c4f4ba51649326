"""Events of one connection on their way: acknowledged in a line, handed to the intake or held while it is closed.

What a listener's and a source's connections do alike:

- Positions are given in the order of receipt; `AckLine` acknowledges in that order [MQTT-4.6.0-2].
- A message that is sent again (DUP) while its first copy waits, on this connection or an earlier one of the session,
  joins that copy. What is sent under a used packet id with other content is never mistaken for it.
- What the intake does not take yet is held here; at the end it is lost to us and counted.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from fieldgate.ingest.inbox_batch import Batch, Run
from fieldgate.ingest.source import Intake, Received, Settler
from fieldgate.mqtt.ack_line import AckLine, Owed
from fieldgate.mqtt.packets import Publish
from fieldgate_devices.event import Trace

__all__ = ["EventLine", "EventTally"]

_OVERHEAD_BYTES: Final = 64  # what an event costs beside its text while it waits


class EventTally(Protocol):
    """What is counted of events."""

    events: int
    bytes: int
    unsaved: int


class EventLine:
    """``owed`` is what earlier connections of the session did not live to acknowledge, by packet id; it is shared.

    ``unreleased`` are the session's QoS 2 ids between PUBREC and PUBREL.
    """

    __slots__ = (
        "_handed_to", "_held", "_intake", "_lane", "_owed", "_settler", "_tally", "acks", "is_over", "receiving",
        "unreleased",
    )  # fmt: skip

    def __init__(
        self,
        settler: Settler,
        *,
        intake: Intake,
        lane: int,
        owed: dict[int, Owed],
        unreleased: set[int],
        tally: EventTally,
    ) -> None:
        self.acks = AckLine()
        self.receiving: set[int] = set()  # QoS 2 ids whose PUBREC is still to come
        self.unreleased = unreleased
        self._settler = settler
        self._intake = intake
        self._lane = lane
        self._owed = owed
        self._tally = tally
        self._handed_to = 0  # positions below were given to the intake
        self._held: list[Run] = []
        self.is_over = False

    @property
    def has_held(self) -> bool:
        """Whether messages wait here for the intake to open."""
        return bool(self._held)

    def is_repeated(self, packet: Publish, code: int, own_id: int | None, batch: Batch) -> bool:
        """Whether this PUBLISH (QoS 1 or 2) is one that we have already; then it stands in the line as far as it must.

        ``own_id`` is its content id, None if it is no event.
        """
        packet_id, is_twice = packet.packet_id, packet.qos == 2
        if is_twice and packet_id in self.receiving:
            return True
        if is_twice and packet_id in self.unreleased:  # [MQTT-4.3.3-10]
            self.close_run(batch)
            self.receiving.add(packet_id)
            self.acks.add_ready(code)
            return True
        owed = self._owed.pop(packet_id, None)
        if not packet.dup or own_id is None:
            return False
        self.close_run(batch)
        if owed is not None and owed.content_id == own_id and owed.is_release == is_twice:
            self.acks.add_joined(code, owed)
            if is_twice:
                self.receiving.add(packet_id)
            return True
        return (code, own_id) in batch.waiting(self.acks)

    def close_run(self, batch: Batch) -> None:
        """Put what was gathered into the line, so that something else can stand behind it."""
        received, codes, content_ids = batch.received, batch.codes, batch.content_ids
        if not received:
            return
        for index, expiry_s in batch.expiries.items():
            received[index].expiry_s = expiry_s
        if self._owed:
            for code in codes:
                self._owed.pop(abs(code), None)  # a new message under the id: the old one is not claimed any more
        text_bytes = sum([one.size_bytes for one in received])
        first = self.acks.add_events(codes, content_ids, text_bytes + _OVERHEAD_BYTES * len(codes))
        batch.runs.append((received, first, batch.traces))
        batch.end_run()
        self._tally.events += len(codes)
        self._tally.bytes += text_bytes

    def hand_over(self, runs: Sequence[Run]) -> None:
        """Give runs to the intake, or hold them while it is closed."""
        for run in runs:
            if not self._held and self._intake.is_open():
                self._give(*run)
            elif self.is_over:
                self._tally.unsaved += len(run[0])
            else:
                self._held.append(run)

    def retry(self) -> None:
        """Hand over what was held, if the intake is open again."""
        if self._held and self._intake.is_open():
            held, self._held = self._held, []
            for run in held:
                self._give(*run)

    def end(self, *, keeps: int) -> bool:
        """The connection is over; return whether anything was held, which is given up.

        ``keeps``: how many acknowledgements that are still to come a later connection may claim, of earlier
        connections together; all of this one if it had more.
        """
        self.is_over = True
        had_held = bool(self._held)
        self._tally.unsaved += sum(len(received) for received, _, _ in self._held)
        self._held.clear()
        if keeps:
            debts, owing = self.acks.owed(), self._owed
            for packet_id, owed in debts.items():
                if owed.line is not self.acks or owed.position < self._handed_to:
                    owing[packet_id] = owed
            while len(owing) > max(len(debts), keeps):
                del owing[next(iter(owing))]  # a client that resumes sends all of it again: it has forgotten the oldest
        return had_held

    def _give(self, received: list[Received], first: int, traces: dict[int, Trace] | None) -> None:
        self._handed_to = first + len(received)
        if traces:
            self._intake.accept(received, self._settler, first, lane=self._lane, traces=traces)
        else:
            self._intake.accept(received, self._settler, first, lane=self._lane)
