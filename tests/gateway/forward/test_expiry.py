"""``honour_expiry``: what its publisher wants no more after a time is not sent after it, and says how much is left."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from fieldgate.forward.expiry import Expiry
from fieldgate.mqtt.packets import Publish
from fieldgate_devices.event import Stamp, TimeQuality
from pump_rig import Rig, number
from uplink_kit import RUN, make_event, make_events

STAMPED_S = 5.0  # the boot time of `uplink_kit.STAMP`
FORMATS = ["cloudevents", "cloudevents-binary", "raw"]


def mixed(*expiries: int | None) -> list[Any]:
    return [make_event(seq, expiry_s=expiry_s) for seq, expiry_s in enumerate(expiries, 1)]


def left_s(publish: Publish) -> int | None:
    return publish.properties.message_expiry_s if publish.properties is not None else None


@pytest.mark.parametrize("form", FORMATS)
def test_what_has_ended_is_not_sent_and_the_rest_says_what_is_left(form):
    """Sent 20 s after their receipt: in order, the one that ended is booked as expired."""
    rig = Rig(format=form, honour_expiry=True)
    rig.feed.add(mixed(None, 60, 10, None, 3600, None))
    rig.connect()
    rig.now_s = STAMPED_S + 20

    sent = rig.fill()
    rig.ack(*(publish.packet_id for publish in sent))

    assert [left_s(publish) for publish in sent] == [None, 40, None, 3580, None]
    assert rig.feed.done == {3: "expired"} | dict.fromkeys((1, 2, 4, 5, 6), "delivered")


def test_by_default_forwarding_ignores_it():
    """A reading of an hour ago is still a reading; who wants otherwise says so."""
    rig = Rig()
    rig.feed.add(mixed(1, 10))
    rig.connect()
    rig.now_s = STAMPED_S + 3600

    assert [left_s(publish) for publish in rig.fill()] == [None, None]


def test_over_3_1_1_only_the_end_is_kept():
    """There is no property to say the rest."""
    rig = Rig(3 + 1, honour_expiry=True)
    rig.feed.add(mixed(60, 10))
    rig.connect()
    rig.now_s = STAMPED_S + 20

    (publish,) = rig.fill()

    assert number(publish) == 1
    assert rig.feed.done == {2: "expired"}


@pytest.mark.parametrize("version", [4, 5])
def test_what_is_sent_again_says_what_is_left_then_or_is_not_sent(version):
    """An outage with messages on the way takes time as well; a binary payload stays what it is."""
    rig = Rig(version, honour_expiry=True, format="raw")
    rig.feed.add([make_event(seq, b"\x00\x02\x02\x02\x02\x02\x02", is_json=False, expiry_s=60 * seq) for seq in (1, 2)])
    rig.connect()
    rig.now_s = STAMPED_S
    first = rig.fill()
    assert [left_s(publish) for publish in first] == ([60, 120] if version == 5 else [None, None])
    rig.lose(is_by_server=False)

    rig.now_s += 90
    rig.connect(session_present=True)
    (again,) = rig.fill()
    rig.ack(again.packet_id)

    assert again.payload == first[1].payload
    assert left_s(again) == (30 if version == 5 else None)
    assert again.dup
    assert rig.feed.done == {1: "expired", 2: "delivered"}


def test_a_batch_leaves_out_what_has_ended():
    """One message of many events has one interval, which says nothing of one of them."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 3, "max_delay": "0s"}, honour_expiry=True)
    rig.feed.add(mixed(None, 10, 60, None))
    rig.connect()
    rig.now_s = STAMPED_S + 20

    publishes = rig.fill()
    rig.ack(*(publish.packet_id for publish in publishes))

    ids = [event["id"].split("-")[1] for publish in publishes for event in json.loads(publish.payload)]
    assert ids == ["1", "3", "4"]
    assert rig.feed.done[2] == "expired"
    assert [left_s(publish) for publish in publishes] == [None] * len(publishes)


def test_aliases_and_expiry_live_together():
    """Those with an interval go in full between those with a number."""
    rig = Rig(honour_expiry=True)
    rig.connect(topic_alias_maximum=5)
    rig.now_s = STAMPED_S
    rig.feed.add(mixed(None, None, None, 60, None))

    sent = rig.fill()

    assert [bool(publish.topic) for publish in sent] == [True, True, False, True, False]
    assert left_s(sent[3]) == 60


@pytest.mark.parametrize(
    ("run", "quality", "wall_ns", "now_s", "left"),
    [
        (RUN, TimeQuality.UNSYNCED, None, 25.0, 80),  # this process: boot time
        (7, TimeQuality.UNSYNCED, None, 25.0, 80),  # an earlier process of this OS boot: boot time
        (9, TimeQuality.SYNCED, 30 * 10**9, 2.0, 70),  # another OS boot: the wall clock, where both are trusted
        (9, TimeQuality.SYNCED, None, 2.0, 98),  # else it has waited at least since this boot began
        (9, TimeQuality.UNSYNCED, 30 * 10**9, 2.0, 98),
        (9, TimeQuality.SYNCED, -50 * 10**9, 2.0, 98),  # a clock set back makes nothing younger
    ],
)
def test_what_is_left_needs_no_trust_in_the_clock(run, quality, wall_ns, now_s, left):
    """P6."""
    boots = {RUN: "now", 7: "now", 9: "before"}
    expiry = Expiry(run=RUN, os_boot_of=boots.get, wall_ns=lambda: wall_ns)
    event = make_event(1, stamp=Stamp(run, 0, 5 * 10**9, quality), expiry_s=100)

    assert expiry.ends_s(event, now_s) - now_s == pytest.approx(left)


def test_a_stored_event_that_never_ends_is_asked_nothing():
    """None is no zero."""
    expiry = Expiry(run=RUN, os_boot_of=lambda _run: None, wall_ns=lambda: None)

    assert [expiry.ends_s(event, math.inf) for event in make_events(2)] == [None, None]
