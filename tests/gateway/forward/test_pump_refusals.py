"""What becomes of an event that the server refuses, or on which it hangs up; the server is played by the test."""

from __future__ import annotations

import json

import pytest

from fieldgate.mqtt.packets import Reason
from pump_rig import Rig, number
from uplink_kit import make_event, make_events


@pytest.mark.parametrize("reason", [Reason.NOT_AUTHORIZED, Reason.TOPIC_NAME_INVALID, Reason.PAYLOAD_FORMAT_INVALID])
def test_what_the_server_will_never_take_is_parked_at_once(reason):
    """Sending it again cannot help, and must not hold up the rest (fault 37)."""
    rig = Rig()
    rig.feed.add(make_events(3))
    rig.connect()
    rig.fill()

    rig.ack(2, reason=reason)
    rig.ack(1, 3)

    assert sorted(rig.feed.delivered_seqs) == [1, 3]
    assert rig.feed.done[2].startswith("the server refuses it")


@pytest.mark.parametrize(
    "reason", [Reason.UNSPECIFIED_ERROR, Reason.IMPLEMENTATION_SPECIFIC_ERROR, Reason.QUOTA_EXCEEDED]
)
def test_a_refusal_that_may_pass_is_tried_again_after_a_pause_on_the_same_connection(reason):
    """Fault 37: retry with back-off, never "sent", and the others need not wait for it."""
    rig = Rig()
    rig.feed.add(make_events(4))
    rig.connect()
    rig.fill()

    rig.ack(2, reason=reason)
    assert rig.fill() == []
    assert rig.wait_s >= 0.25
    rig.ack(1, 3, 4)
    assert rig.feed.delivered_seqs == [1, 3, 4]
    (again,) = rig.fill_after_the_pause()

    assert (number(again), again.dup) == (2, False)
    rig.ack(again.packet_id)
    assert rig.feed.delivered_seqs == [1, 3, 4, 2]


def test_no_matching_subscribers_is_success():
    """0x10 is below 0x80: the server has the event, though nobody is there to read it."""
    rig = Rig()
    rig.feed.add(make_events(3))
    rig.connect()
    rig.fill()

    rig.ack(1, 2, 3, reason=Reason.NO_MATCHING_SUBSCRIBERS)

    assert rig.feed.delivered_seqs == [1, 2, 3]


def test_a_quota_that_lasts_parks_nothing_and_holds_up_nobody():
    """It says nothing about the event; tomorrow it is taken. Each try is further from the last."""
    rig = Rig()
    rig.feed.add(make_events(2))
    rig.connect()
    tries = []
    for turn in range(200):
        rig.feed.add(make_events(1, 100 + turn))
        for publish in rig.fill():
            is_over_quota = number(publish) == 1
            tries += [rig.now_s] * is_over_quota
            rig.ack(publish.packet_id, reason=Reason.QUOTA_EXCEEDED if is_over_quota else 0)
        rig.now_s += 0.5

    assert sorted(rig.feed.done) == [2, *range(100, 300)]
    assert rig.pump.parked == 0
    assert len(tries) < 12
    assert tries[-1] - tries[-2] > 10 * (tries[1] - tries[0])


def test_a_server_that_refuses_everything_for_now_is_asked_ever_more_rarely():
    """A day over the quota is neither a hot loop nor a growing heap: what waits is bounded."""
    rig = Rig()
    rig.feed.add(make_events(5000))
    rig.connect()
    asked = 0
    while rig.now_s < 3600:
        for publish in rig.fill():
            asked += 1
            rig.ack(publish.packet_id, reason=Reason.QUOTA_EXCEEDED)
        rig.fill()
        rig.now_s += rig.wait_s

    assert rig.feed.handed_out < 1000 + 150
    assert asked < 20_000
    for _ in range(300):
        for publish in rig.fill():
            rig.ack(publish.packet_id)
        rig.now_s += 1.0
    assert sorted(rig.feed.delivered_seqs) == list(range(1, 5001))


def test_what_waits_for_another_try_is_bounded_also_while_others_are_taken():
    """One topic of two is over its quota, all day: the other goes on until a hundred wait, and no more do."""
    rig = Rig(mqtt={"window": 20})
    rig.feed.add(make_events(2000))
    rig.connect()
    while rig.now_s < 600:
        sent = []
        while more := rig.fill():
            sent += more
        assert rig.wait_s is None or rig.wait_s > 0, "a hot loop"
        for publish in sent:
            rig.ack(publish.packet_id, reason=Reason.QUOTA_EXCEEDED if number(publish) % 2 else 0)
        rig.now_s += 1.0

    assert 90 < len(rig.feed.done) < 1000
    assert rig.feed.handed_out - len(rig.feed.done) <= 100 + 20


@pytest.mark.parametrize("is_by_hang_up", [False, True])
def test_a_server_that_takes_nothing_makes_no_heap_of_suspects(is_by_hang_up):
    """None of many is to blame when none is taken; all of them are tried again from the beginning."""
    rig = Rig(mqtt={"window": 20})
    rig.feed.add(make_events(500))
    for _ in range(40):
        rig.connect(session_present=True)
        for _ in range(10):
            for publish in rig.fill():
                if not is_by_hang_up:
                    rig.ack(publish.packet_id, reason=Reason.IMPLEMENTATION_SPECIFIC_ERROR)
            rig.now_s += 60.0
        rig.lose()

    assert rig.feed.done == {}
    assert rig.feed.handed_out <= 200


def test_a_server_that_minds_every_packet_id_is_not_asked_in_a_loop():
    """0x91: another id at once, once; then with pauses, and never parked."""
    rig = Rig()
    rig.feed.add(make_events(1))
    rig.connect()
    (first,) = rig.fill()

    rig.ack(first.packet_id, reason=Reason.PACKET_ID_IN_USE)
    (second,) = rig.fill()
    assert second.packet_id != first.packet_id
    assert (second.payload, second.dup) == (first.payload, False)
    for _ in range(10):
        rig.ack(second.packet_id, reason=Reason.PACKET_ID_IN_USE)
        assert rig.fill() == []
        (second,) = rig.fill_after_the_pause()

    rig.ack(second.packet_id)
    assert rig.feed.delivered_seqs == [1]


def test_a_packet_too_large_for_a_server_that_only_says_so_is_found_and_parked():
    """DISCONNECT 0x95 names no packet: all that was on the way goes one at a time until one is alone with it."""
    rig = Rig()
    events = make_events(30)
    events[20] = make_event(21, b'"%b"' % (b"x" * 5000))
    rig.feed.add(events)
    connections = 0
    is_over = True
    while is_over:
        connections += 1
        rig.connect(session_present=True)
        is_over = False
        while not is_over and (sent := rig.fill()):
            for publish in sent:
                if len(publish.payload) > 5000:
                    is_over = True
                    break
                rig.ack(publish.packet_id)
        rig.lose(is_too_large=is_over)

    assert connections <= 4
    assert sorted(rig.feed.delivered_seqs) == [seq for seq in range(1, 31) if seq != 21]
    assert "too large" in rig.feed.done[21]
    assert "0x95" in rig.feed.done[21]


# -- the tests notice ------------------------------------------------------------------------------------


def test_a_pump_that_takes_a_refusal_for_delivery_is_caught():
    """Mutant of `test_a_refusal_that_may_pass_is_tried_again_after_a_pause_on_the_same_connection`."""
    rig = Rig()
    rig.feed.add(make_events(1))
    rig.connect()
    rig.fill()
    rig.pump.rejected = lambda rejected, now_s: rig.feed.delivered(*rejected.run.carries()[0])  # type: ignore[method-assign]

    rig.ack(1, reason=Reason.QUOTA_EXCEEDED)

    assert rig.feed.delivered_seqs == [1]  # wrong, and visible


def test_an_event_refused_again_and_again_is_parked_once_another_was_taken():
    """0x83 every time, while others are taken: the event is at fault."""
    rig = Rig()
    rig.feed.add(make_events(3))
    rig.connect()
    for turn in range(60):
        rig.feed.add(make_events(1, 100 + turn))
        for publish in rig.fill():
            is_refused = number(publish) == 2
            rig.ack(publish.packet_id, reason=Reason.IMPLEMENTATION_SPECIFIC_ERROR if is_refused else 0)
        rig.now_s += 0.5

    assert "again and again" in rig.feed.done[2]
    assert rig.feed.done[1] == rig.feed.done[3] == "delivered"
    assert rig.pump.parked == 1


@pytest.mark.parametrize(("refusals", "is_parked"), [(3, False), (4, True)])
def test_three_failures_make_a_suspect_and_only_one_more_makes_it_guilty(refusals, is_parked):
    """What the server takes in the end was not poisonous, however often it was refused before."""
    rig = Rig()
    rig.feed.add(make_events(1))
    rig.connect()
    left = refusals
    for turn in range(40):
        rig.feed.add(make_events(1, 100 + turn))
        for publish in rig.fill():
            is_refused = number(publish) == 1 and left > 0
            left -= is_refused
            rig.ack(publish.packet_id, reason=Reason.IMPLEMENTATION_SPECIFIC_ERROR if is_refused else 0)
        rig.now_s += 0.5

    assert left == 0
    assert rig.pump.parked == is_parked
    assert (rig.feed.done[1] == "delivered") is not is_parked


def test_a_compressed_batch_is_taken_apart_as_well():
    """The envelopes are found again in what was sent, byte for byte."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 5, "max_delay": "0s", "compression": "zstd"})
    rig.feed.add(make_events(5))
    rig.connect()
    (batch,) = rig.fill()

    rig.ack(batch.packet_id, reason=Reason.NOT_AUTHORIZED)
    for publish in rig.fill():
        rig.ack(publish.packet_id)

    assert rig.feed.delivered_seqs == [1, 2, 3, 4, 5]


def test_the_suspects_survive_the_loss_of_the_session():
    """They are unknown to the new one, so they bear no DUP when they are tried again."""
    rig = Rig()
    rig.feed.add(make_events(2))
    for _ in range(5):
        rig.connect(session_present=True)
        assert rig.fill()
        rig.lose()
    rig.connect(session_present=False)

    sent = rig.fill()
    rig.ack(sent[0].packet_id)
    sent += rig.fill()

    assert sorted(number(publish) for publish in sent) == [1, 2]
    assert not any(publish.dup for publish in sent)


def test_start_over_forgets_suspects_and_what_waits_for_its_batch():
    """After a fault of ours the feed hands everything out again, each event once."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 100, "max_delay": "60s"})
    rig.feed.add(make_events(5))
    rig.connect()
    rig.fill()

    rig.pump.start_over()
    rig.connect()
    rig.fill()
    rig.now_s += 60
    (publish,) = rig.fill()

    assert len(json.loads(publish.payload)) == 5
