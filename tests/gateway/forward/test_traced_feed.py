"""What an uplink does with recorded events shows as spans; to the outbox and the uplink nothing is different."""

from __future__ import annotations

from random import Random

import pytest

from fieldgate.forward.traced_feed import TracedFeed
from fieldgate.observe.span import Span
from fieldgate.observe.tracing import Tracer
from fieldgate_devices.event import Event, Extra, Trace
from uplink_kit import RUN, STAMP, MemoryFeed, make_event


class Rig:
    """A feed with ten events, of which those with an even number are recorded."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.now_ns = STAMP.boot_ns
        tracer = Tracer(self, sample=0.0, rate_per_s=1, run=RUN, rng=Random(1), boot_ns=self._tick, wall_ns=lambda: 0)
        self.inner = MemoryFeed()
        self.inner.add([self._event(seq) for seq in range(1, 11)])
        self.feed = TracedFeed(self.inner, tracer, uplink="cloud")

    def _tick(self) -> int:
        self.now_ns += 1
        return self.now_ns

    def put(self, spans: list[Span]) -> None:
        self.spans += spans

    @staticmethod
    def _event(seq: int) -> Event:
        trace = Trace(f"00-{seq:032x}-{seq:016x}-01", span=f"{seq:016x}")
        return make_event(seq, extra=Extra(trace=trace) if seq % 2 == 0 else None)

    def seqs(self) -> list[int]:
        return [int(one.parent, 16) for one in self.spans]


def test_each_recorded_event_has_a_span_from_take_to_acknowledgement() -> None:
    """Those beside it have none, and acknowledgements come in any order."""
    rig = Rig()
    (shipment,) = rig.feed.take(10)

    rig.feed.delivered(shipment.batch, 4, 10)
    rig.feed.delivered(shipment.batch, 0, 4)

    assert rig.seqs() == [6, 8, 10, 2, 4]
    assert all(one.start_ns < one.end_ns and not one.problem and not one.links for one in rig.spans)
    assert {one.facts["fieldgate.uplink"] for one in rig.spans} == {"cloud"}
    assert rig.inner.done == dict.fromkeys(range(1, 11), "delivered")


@pytest.mark.parametrize("end", ["parked", "put_back"])
def test_a_try_that_came_to_nothing_says_why(end: str) -> None:
    """The next one is a span of its own."""
    rig = Rig()
    (shipment,) = rig.feed.take(2)
    if end == "parked":
        rig.feed.parked(shipment.batch, 0, 2, "refused")
        assert [one.problem for one in rig.spans] == ["parked: refused"]
        return

    rig.feed.put_back()
    for again in rig.feed.take(2):
        rig.feed.delivered(again.batch, again.start, again.stop)

    assert rig.seqs() == [2, 2]
    assert [bool(one.problem) for one in rig.spans] == [True, False]


def test_what_shares_a_message_is_linked_and_nothing_else() -> None:
    """A batch belongs to many traces: each shows the others."""
    rig = Rig()
    (shipment,) = rig.feed.take(10)
    rig.feed.joined([(shipment.batch, 0, 3), (shipment.batch, 3, 6)])
    rig.feed.joined([(shipment.batch, 6, 10)])

    rig.feed.delivered(shipment.batch, 0, 10)

    links = {int(one.parent, 16): [int(span, 16) for _, span in one.links] for one in rig.spans}
    assert links == {2: [4, 6], 4: [2, 6], 6: [2, 4], 8: [10], 10: [8]}
