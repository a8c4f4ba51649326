"""What becomes of an event that the server refuses, or on which it hangs up; the server is played by the test."""

from __future__ import annotations

import json

import pytest

from fieldgate.mqtt.packets import Reason
from pump_rig import Rig, number
from uplink_kit import make_events


@pytest.mark.parametrize("reason", [Reason.NOT_AUTHORIZED, Reason.TOPIC_NAME_INVALID, Reason.PAYLOAD_FORMAT_INVALID])
def test_what_the_server_will_never_take_is_parked_at_once(reason):
    """Sending it again cannot help, and must not hold up the rest (fault 37)."""
    rig = Rig()
    rig.feed.add(make_events(3))
    rig.connect()
    rig.fill()

    assert not rig.ack(2, reason=reason)
    rig.ack(1, 3)

    assert sorted(rig.feed.delivered_seqs) == [1, 3]
    assert rig.feed.done[2] != "delivered"


@pytest.mark.parametrize(
    "reason", [Reason.UNSPECIFIED_ERROR, Reason.IMPLEMENTATION_SPECIFIC_ERROR, Reason.QUOTA_EXCEEDED]
)
def test_a_refusal_that_may_pass_is_never_delivered_and_comes_again_in_order(reason):
    """Fault 37: retry, never "sent"."""
    rig = Rig()
    rig.feed.add(make_events(4))
    rig.connect()
    rig.fill()

    assert rig.ack(2, reason=reason)
    rig.ack(1)
    rig.lose(is_by_server=False)
    rig.connect(session_present=True)
    again = rig.fill()

    assert [(number(publish), publish.dup) for publish in again] == [(2, False), (3, True), (4, True)]
    rig.ack(*(publish.packet_id for publish in again))
    assert rig.feed.delivered_seqs == [1, 2, 3, 4]


def test_a_quota_that_lasts_parks_nothing():
    """It says nothing about the event; tomorrow it is taken."""
    rig = Rig()
    rig.feed.add(make_events(2))
    for _ in range(20):
        rig.connect(session_present=True)
        for publish in rig.fill():
            rig.ack(publish.packet_id, reason=Reason.QUOTA_EXCEEDED if number(publish) == 1 else 0)
        rig.lose(is_by_server=False)

    assert rig.feed.done == {2: "delivered"}
    assert rig.pump.parked == 0


def play(rig: Rig, closes_on: set[int], connections: int, *, is_by_server: bool = True) -> int:
    """A server that hangs up on some events and takes the others; return how many connections were used."""
    for used in range(connections):
        rig.connect(session_present=True)
        while sent := rig.fill():
            for publish in sent:
                if number(publish) in closes_on:
                    break
                rig.ack(publish.packet_id)
            else:
                continue
            rig.lose(is_by_server=is_by_server)
            break
        else:
            return used + 1
    return connections


def test_an_event_on_which_the_server_always_hangs_up_is_parked_and_the_rest_flows():
    """Fault 45: one poisonous event must not stop the uplink for ever."""
    rig = Rig()
    rig.feed.add(make_events(20))

    used = play(rig, {7, 13}, 30)

    assert used <= 15
    assert sorted(rig.feed.delivered_seqs) == [seq for seq in range(1, 21) if seq not in (7, 13)]
    assert "closes the connection" in rig.feed.done[7]
    assert "closes the connection" in rig.feed.done[13]


def test_a_poisonous_event_within_a_batch_is_found():
    """Its neighbours arrive."""
    rig = Rig(format="cloudevents-batch", batch={"max_events": 5, "max_delay": "0s"})
    rig.feed.add(make_events(20))
    for _ in range(60):
        rig.connect(session_present=True)
        closed = False
        while not closed and (sent := rig.fill()):
            for publish in sent:
                if any(event["id"].endswith("-7") for event in json.loads(publish.payload)):
                    closed = True
                    break
                rig.ack(publish.packet_id)
        if not closed:
            break
        rig.lose()

    assert sorted(rig.feed.delivered_seqs) == [seq for seq in range(1, 21) if seq != 7]
    assert set(rig.feed.done) == set(range(1, 21))


def test_a_server_that_hangs_up_on_everything_parks_nothing():
    """Then the fault is the server's; a month of that must not empty the journal into the ledger."""
    rig = Rig()
    rig.feed.add(make_events(100))

    assert play(rig, set(range(1, 101)), 300) == 300

    assert rig.feed.done == {}
    assert play(rig, set(), 5) == 1
    assert rig.feed.delivered_seqs != []
    assert set(rig.feed.done) == set(range(1, 101))
    assert rig.pump.parked == 0


def test_a_link_that_breaks_all_the_time_parks_nothing():
    """Fault 42: flapping is no evidence against an event."""
    rig = Rig()
    rig.feed.add(make_events(5))

    play(rig, {1}, 50, is_by_server=False)

    assert rig.feed.done == {}


def test_a_lone_event_is_not_condemned_without_a_witness():
    """Whether the event or the server is at fault shows only when another event is taken."""
    rig = Rig()
    rig.feed.add(make_events(1))
    play(rig, {1}, 20)
    assert rig.feed.done == {}

    rig.feed.add(make_events(1, 2))
    play(rig, {1}, 20)

    assert rig.feed.delivered_seqs == [2]
    assert rig.feed.done[1] != "delivered"


def test_after_two_fruitless_connections_one_message_at_a_time_until_one_is_acknowledged():
    """Only alone on the way can a message be blamed."""
    rig = Rig()
    rig.feed.add(make_events(50))
    for _ in range(2):
        rig.connect(session_present=True)
        assert len(rig.fill()) == 50
        rig.lose()

    rig.connect(session_present=True)
    (alone,) = rig.fill()
    assert rig.fill() == []
    rig.ack(alone.packet_id)

    assert len(rig.fill()) == 49


# -- the tests notice ------------------------------------------------------------------------------------


def test_a_pump_that_takes_a_refusal_for_delivery_is_caught():
    """Mutant of `test_a_refusal_that_may_pass_is_never_delivered_and_comes_again_in_order`."""
    rig = Rig()
    rig.feed.add(make_events(1))
    rig.connect()
    rig.fill()
    rig.pump.rejected = lambda rejected: rig.feed.delivered(*rejected.run.carries()[0]) or True  # type: ignore[method-assign]

    rig.ack(1, reason=Reason.QUOTA_EXCEEDED)

    assert rig.feed.delivered_seqs == [1]  # wrong, and visible


def test_an_event_refused_again_and_again_is_parked_once_another_was_taken():
    """0x83 every time, while others are taken: the event is at fault."""
    rig = Rig()
    rig.feed.add(make_events(3))
    for _ in range(12):
        rig.connect(session_present=True)
        wants_rest = False
        while not wants_rest and (sent := rig.fill()):
            for publish in sent:
                refused = number(publish) == 2
                wants_rest |= rig.ack(publish.packet_id, reason=Reason.IMPLEMENTATION_SPECIFIC_ERROR if refused else 0)
        rig.lose(is_by_server=False)
        rig.feed.add(make_events(1, 100 + len(rig.feed.batches)))

    assert "again and again" in rig.feed.done[2]
    assert rig.feed.done[1] == rig.feed.done[3] == "delivered"
    assert rig.pump.parked == 1


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
