"""Which uplinks get an event that a rule has routed: in memory, as the outbox settles and counts it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fieldgate.journal import outbox as outbox_module
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.uplink_state import Route, UplinkState
from fieldgate_devices.event import Extra, Publish
from uplink_kit import STAMP, make_event

ONLY_B = Route("cloud", is_wanted=lambda event: event.address.device == "b", filter="b")
CLOUD, SITE = Route("cloud"), Route("site")
PAGER = Route("pager", is_told_only=True, filter="told")


class Settled:
    """A settler that notes positions."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    def settled(self, first: int, count: int) -> None:
        self.positions += range(first, first + count)

    def flush(self) -> None: ...


def outbox_of(
    routes: Sequence[Route], *, is_relay: bool = True, states: dict[str, UplinkState] | None = None
) -> Outbox:
    return Outbox(
        routes,
        gateway="gw",
        is_relay=is_relay,
        hold_s=0.2,
        commit_delay_s=0.05,
        next_seq=1,
        stored_to=[0, 0, 0],
        states=states or {},
        attention=lambda: None,
        now_stamp=lambda: STAMP,
    )


def accept(outbox: Outbox, *extras: Extra | None, is_routed: bool = True) -> Settled:
    settled = Settled()
    events = [make_event(0, extra=extra) for extra in extras]
    outbox.accept(events, settled, 0, now_s=1.0, size_bytes=100, is_routed=is_routed)
    return settled


def handed(outbox: Outbox, name: str) -> list[int]:
    feed = outbox.feeds[name]
    feed.is_down(False)
    if feed.wants_save_now:
        outbox.states()
        outbox.states_saved()
    return [event.seq for shipment in feed.take(100) for event in shipment.events[shipment.start : shipment.stop]]


CASES = [
    (Extra(uplinks=("cloud",)), {"cloud"}),
    (Extra(uplinks=("site", "cloud")), {"site", "cloud"}),
    (Extra(uplinks=("pager",)), set()),
    (Extra(uplinks=()), set()),
    (Extra(uplinks=("gone",)), set()),
    (Extra(uplinks=("gone", "site")), {"site"}),
    (Extra(notify=("pager",)), {"cloud", "site", "pager"}),
    (Extra(notify=("cloud",)), {"cloud", "site"}),
    (Extra(uplinks=("site",), notify=("pager",)), {"site", "pager"}),
    (Extra(uplinks=(), notify=("pager", "gone")), {"pager"}),
    (Extra(cause="0-1", at_ns=5), {"cloud", "site"}),
    (None, {"cloud", "site"}),
]


@pytest.mark.parametrize(("extra", "wanted"), CASES)
def test_an_event_goes_to_whom_the_rule_names_and_is_counted_there_alone(extra, wanted):
    """An uplink that pays per message must not get what a rule keeps from it."""
    outbox = outbox_of([CLOUD, SITE, PAGER])

    accept(outbox, extra)

    assert {name for name in outbox.feeds if handed(outbox, name)} == wanted
    assert {name for name, feed in outbox.feeds.items() if feed.state.routed} == wanted


@pytest.mark.parametrize(("extra", "is_taken"), [(Extra(uplinks=("cloud",)), False), (None, False)])
def test_the_uplinks_own_filter_holds_as_well(extra, is_taken):
    """``only`` may be there because the far side is not to see certain devices; no rule opens that."""
    outbox = outbox_of([ONLY_B, SITE])

    accept(outbox, extra)

    assert bool(handed(outbox, "cloud")) is is_taken


def test_what_is_routed_to_nobody_is_settled_at_once_and_counted():
    """A rule that names an uplink of last year must not fill the disk, nor hold up its device."""
    outbox = outbox_of([CLOUD, PAGER])

    settled = accept(outbox, Extra(uplinks=("gone",)), Extra(uplinks=("cloud",)), Extra(uplinks=()))

    assert settled.positions == [0, 2]
    assert outbox.routing.nowhere == 2
    outbox.feeds["cloud"].is_down(False)
    (shipment,) = outbox.feeds["cloud"].take(5)
    outbox.feeds["cloud"].delivered(shipment.batch, shipment.start, shipment.stop)
    outbox.begin_turn()
    assert sorted(settled.positions) == [0, 1, 2]
    assert not outbox.has_unwritten


def test_at_level_journal_it_is_settled_once_it_is_written():
    """There every event is on disk before its device is told anything."""
    outbox = outbox_of([CLOUD], is_relay=False)

    settled = accept(outbox, Extra(uplinks=()))
    assert settled.positions == []

    job = outbox.begin_write(10.0, everything=True)
    outbox.written(job)
    assert settled.positions == [0]


def test_ordinary_events_are_not_for_a_webhook_that_is_the_only_uplink():
    """They are settled, as those that no filter takes: no disk fills up with what nobody is to get."""
    outbox = outbox_of([PAGER])

    settled = accept(outbox, None, None, is_routed=False)

    assert settled.positions == [0, 1]
    assert outbox.routing.nowhere == 0
    assert handed(outbox, "pager") == []


def test_a_dead_webhook_makes_no_event_go_to_disk_sooner():
    """The hold is what saves the flash while the main uplink is well; a dead broker ends it, which is the control."""
    due_s = {}
    for dead in (None, PAGER, SITE):
        outbox = outbox_of([CLOUD] if dead is None else [CLOUD, dead])
        outbox.feeds["cloud"].is_down(False)
        accept(outbox, *[None] * 30, is_routed=False)
        due_s[dead] = outbox.commit_due_s(1.0)

    assert due_s[PAGER] == due_s[None]
    assert due_s[SITE] < due_s[None]


def test_a_batch_says_whether_a_message_of_a_rule_is_in_it():
    """Uplinks look at no event for that."""
    outbox = outbox_of([CLOUD])

    accept(outbox, Extra(uplinks=("cloud",)))
    accept(outbox, None, Extra(uplinks=("cloud",), publish=Publish("a/b")))

    outbox.feeds["cloud"].is_down(False)
    assert [shipment.has_publishes for shipment in outbox.feeds["cloud"].take(5)] == [False, True]


def test_the_fast_path_looks_at_no_extra(monkeypatch):
    """Devices that tell their own time have an `Extra` with every event; that costs nothing here."""
    outbox = outbox_of([CLOUD, PAGER])

    looked: list[object] = []
    monkeypatch.setattr(Route, "takes", lambda self, event: looked.append(event))
    monkeypatch.setattr(Route, "is_meant", lambda self, extra: looked.append(extra))
    accept(outbox, Extra(at_ns=1), is_routed=False)

    assert looked == []


def test_the_range_of_routed_events_is_forgotten_behind_all_cursors():
    """Else one routed event would make all damage uncertain for ever."""
    outbox = outbox_of([CLOUD, SITE])
    accept(outbox, Extra(uplinks=("cloud",)), None)
    lane = make_event(0).lane
    assert outbox.states()["cloud"].chosen[lane] == (1, 2)
    assert outbox.routing.may_hold_routed(lane, 2, 9)

    for name in ("cloud", "site"):
        feed = outbox.feeds[name]
        feed.is_down(False)
        outbox.states()
        outbox.states_saved()
        for shipment in feed.take(9):
            feed.delivered(shipment.batch, shipment.start, shipment.stop)

    assert outbox.states()["cloud"].chosen[lane] == (0, 0)
    assert not outbox.routing.may_hold_routed(lane, 1, 9)


def test_a_start_goes_on_with_the_range(monkeypatch):
    """It is stored with the uplinks' states, in the commit that stores the events."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 1)
    states = {"cloud": UplinkState(chosen=[(0, 0), (3, 8), (0, 0)], counted_to=[0, 8, 0])}

    outbox = outbox_of([CLOUD], states=states)

    assert outbox.routing.may_hold_routed(1, 8, 20)
    assert not outbox.routing.may_hold_routed(1, 9, 20)
    assert not outbox.routing.may_hold_routed(0, 1, 20)
