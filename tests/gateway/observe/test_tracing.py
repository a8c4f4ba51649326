"""Which messages are recorded, and how their spans hang together; time and chance are numbers."""

from __future__ import annotations

from random import Random

import pytest

from fieldgate.observe.span import Span
from fieldgate.observe.tracing import Sampler, Tracer
from fieldgate_devices.event import Address, Event, Extra, Stamp, Trace

DEVICE = "00f067aa0ba902b7"
SAMPLED = Trace(f"00-{'a' * 32}-{DEVICE}-01", "rojo=1")
QUIET = Trace(f"00-{'c' * 32}-{DEVICE}-00")
RUN = 7


class Rig:
    """A tracer whose clocks stand where they are put; ``spans`` are what it made."""

    def __init__(self, *, sample: float = 0.0, rate_per_s: float = 1000.0) -> None:
        self.spans: list[Span] = []
        self.boot_ns, self.wall_ns = 1_000, 5_000_000
        self.tracer = Tracer(
            self, sample=sample, rate_per_s=rate_per_s, run=RUN, rng=Random(1), boot_ns=lambda: self.boot_ns,
            wall_ns=lambda: self.wall_ns,
        )  # fmt: skip

    def put(self, spans: list[Span]) -> None:
        self.spans += spans

    def stamp(self) -> Stamp:
        return Stamp(RUN, self.wall_ns, self.boot_ns)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_a_share_of_all_messages_is_chosen_however_they_come(share: float) -> None:
    """One draw per choice: reads of one and reads of a thousand give the same share."""
    for size in (1, 7, 1000):
        sampler = Sampler(share, Random(2))
        chosen = [sampler.chosen(size) for _ in range(100_000 // size)]
        assert all(0 <= place < size for places in chosen for place in places)
        assert sum(map(len, chosen)) / 100_000 == pytest.approx(share, rel=0.1, abs=0.002)


def test_what_nobody_records_costs_no_span() -> None:
    """A device that says no means it; a chance of 0 is none."""
    rig = Rig()

    assert rig.tracer.begin(["a", "b"], "in", rig.stamp(), None) is None
    assert rig.tracer.begin(["a", "b"], "in", rig.stamp(), {1: QUIET}) is None
    assert Rig(sample=1.0).tracer.begin(["a"], "in", rig.stamp(), {0: QUIET}) is None


def test_a_clock_that_is_set_meanwhile_moves_no_span() -> None:
    """NTP steps the wall clock back by an hour between decode and rules."""
    rig = Rig()
    read = rig.tracer.begin(["a", "b"], "in", rig.stamp(), {1: SAMPLED})
    assert read is not None
    rig.boot_ns, rig.wall_ns = 1_010, 17
    read.decoded()
    rig.boot_ns = 1_030

    read.decided([])

    receive, decode, rules = rig.spans
    assert [(one.start_ns - 5_000_000, one.end_ns - 5_000_000) for one in rig.spans] == [(0, 30), (0, 10), (10, 30)]
    assert (receive.trace, receive.parent, receive.state) == ("a" * 32, DEVICE, "rojo=1")
    assert decode.parent == rules.parent == receive.id == read.traces[1].span
    assert read.traces[1].parent == SAMPLED.parent, "what is passed on is what the device said"


def test_what_is_stored_by_an_earlier_run_ends_by_the_clock_of_now() -> None:
    """Its boot time is of another boot."""
    rig = Rig()
    trace = Trace(SAMPLED.parent, "", "d" * 16)
    of_earlier = Event(
        Address("d", "t", "a"), Stamp(RUN - 1, 4_000_000, 99_999), b"1", True, 0, seq=3, extra=Extra(trace=trace)
    )

    rig.tracer.stored([of_earlier, Event(Address("d", "t", "a"), rig.stamp(), b"1", True, 0)])

    (commit,) = rig.spans
    assert (commit.start_ns, commit.end_ns, commit.parent) == (4_000_000, 5_000_000, "d" * 16)


def test_devices_that_ask_for_everything_get_as_much_as_the_rate_allows() -> None:
    """A span costs a hundred times what an event does: a flag of a device must not slow down the others."""
    rig = Rig(rate_per_s=10)
    stamp = rig.stamp()
    taken = 0
    for _ in range(30):
        read = rig.tracer.begin(["a"], "in", stamp, {0: SAMPLED})
        taken += read is not None
    assert (taken, rig.tracer.over_rate) == (10, 20)

    rig.boot_ns += 500_000_000
    read = rig.tracer.begin(["a"] * 9, "in", rig.stamp(), dict.fromkeys(range(9), SAMPLED))

    assert read is not None
    assert [bool(one.span) for one in read.traces.values()] == [True] * 5 + [False] * 4
    assert {one.parent for one in read.traces.values()} == {SAMPLED.parent}, "all are passed on"
