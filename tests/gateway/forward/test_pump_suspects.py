"""Servers that hang up on an event instead of refusing it: which one it is, and what becomes of the rest."""

from __future__ import annotations

import json

import pytest

from fieldgate.mqtt.packets import Reason
from pump_rig import Rig, number
from uplink_kit import make_events


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


@pytest.mark.parametrize("poison", [1, 7, 300, 1000])
def test_a_poisonous_event_is_found_although_a_reset_takes_the_acknowledgements_along(poison):
    """Fault 45 with mosquitto: closing with unread input is a RST, and the PUBACKs before it are never read."""
    rig = Rig()
    rig.feed.add(make_events(1200))
    connections = 0
    while len(rig.feed.done) < 1200:
        connections += 1
        assert connections <= 8
        rig.connect(session_present=True)
        while sent := rig.fill():
            if poison in map(number, sent):
                rig.lose()
                break
            rig.ack(*(publish.packet_id for publish in sent))

    assert "closes the connection" in rig.feed.done[poison]
    assert rig.pump.parked == 1


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


@pytest.mark.parametrize("by", ["close", "refusal"])
def test_batches_that_are_all_too_much_for_the_server_are_taken_apart(by):
    """A 3.1.1 server cannot say how much it takes; without this such an uplink stands still for ever."""
    rig = Rig(3 + 1 if by == "close" else 5, format="cloudevents-batch", batch={"max_events": 5, "max_delay": "0s"})
    rig.feed.add(make_events(20))
    turns = 0
    while len(rig.feed.done) < 20:
        turns += 1
        assert turns < 60
        rig.connect(session_present=True)
        for _ in range(100):
            sent = rig.fill()
            too_much = [publish for publish in sent if len(json.loads(publish.payload)) > 1]
            rig.ack(*(publish.packet_id for publish in sent if publish not in too_much))
            if too_much and by == "close":
                break
            rig.ack(*(publish.packet_id for publish in too_much), reason=Reason.IMPLEMENTATION_SPECIFIC_ERROR)
            rig.now_s += 60
        rig.lose()

    assert sorted(rig.feed.delivered_seqs) == list(range(1, 21))
    assert rig.pump.parked == 0


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
