"""A bridge that brings back what we sent upstream (fault 49): known by its id, counted, and no event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldgate.forward.presence import Presence
from fieldgate.ingest.echo import EchoGuard
from fieldgate.mqtt.packets import Publish
from pump_rig import Rig
from session_kit import Server, ack_ids
from uplink_kit import RUN, make_events

OWN = EchoGuard("gw", {RUN})
OTHER = EchoGuard("another", {RUN + 1})


def sent(version: int, **config: Any) -> list[Publish]:
    """What an uplink of gateway ``gw`` sends."""
    rig = Rig(version, **config)
    rig.feed.add(make_events(4))
    rig.connect()
    publishes = rig.fill()
    assert publishes
    return publishes


FORMS = [
    (4, {"format": "cloudevents"}),
    (5, {"format": "cloudevents"}),
    (4, {"format": "cloudevents-batch", "batch": {"max_events": 4}}),
    (5, {"format": "cloudevents-binary"}),
    (5, {"format": "raw"}),
]


@pytest.mark.parametrize(("version", "config"), FORMS)
def test_whatever_form_it_left_in_it_is_known(version, config):
    """And only to the gateway that sent it: a chain of gateways is no loop."""
    for publish in sent(version, **config):
        assert OWN.is_ours(publish)
        assert not OTHER.is_ours(publish)


@pytest.mark.parametrize(("version", "config"), FORMS)
def test_what_comes_back_is_acknowledged_counted_and_no_event(version, config):
    """The bridge must not stall on it, and nothing is sent upstream twice."""
    server = Server()
    client = server.connect(version=version)
    client.server.tally.echoes = 0
    client.inbox._echoes._guard = OWN
    echoes = [
        Publish("mirror/x", one.payload, 1, packet_id=number, properties=one.properties)
        for number, one in enumerate(sent(version, **config), 1)
    ]

    answers = client.send(*echoes)

    assert ack_ids(answers) == [publish.packet_id for publish in echoes]
    assert server.intake.heard == []
    assert server.tally.echoes == len(echoes)


def test_devices_beside_the_bridge_are_events_as_before():
    """On the bridge's own connection too."""
    server = Server()
    client = server.connect()
    client.inbox._echoes._guard = OWN
    (echo, *_) = sent(4)

    client.send(
        Publish("mirror/x", echo.payload, 1, packet_id=1),
        Publish("site/a", b'{"n":1}', 1, packet_id=2),
        Publish("mirror/x", echo.payload, 1, packet_id=3),
    )

    assert [one.payload for one in server.intake.heard] == [b'{"n":1}']
    assert server.tally.echoes == 2


@pytest.mark.parametrize(
    "payload",
    [
        b'{"specversion":"1.0","id":"',
        b'{"specversion":"1.0","id":7}',
        b'[{"specversion":"1.0","id":"x"},',
        b'{"specversion":"1.0","id":"zzzzzzzzzzzzzzzz-1"}',
        b'{"specversion":"1.0","id":"' + b"[" * 100_000,
        json.dumps({"specversion": "1.0", "id": "0" * 16 + "-1", "source": "elsewhere"}).encode(),
    ],
)
def test_what_only_looks_like_it_is_an_event(payload):
    """Other people send CloudEvents as well, and broken ones."""
    assert not OWN.is_ours(Publish("t", payload, 1))


def test_its_birth_and_its_will_are_known_as_well():
    """They are retained, so a bridge brings them back at each of its connects."""
    presence = Presence("s", gateway="gw", uplink="up", run=RUN)
    birth = presence.message("online", wall_ns=0, is_synced=True, is_retained=True)
    will = Publish("s", presence.will().payload, 1)

    assert OWN.is_ours(birth)
    assert OWN.is_ours(will)
    assert not OTHER.is_ours(birth)
    assert not OTHER.is_ours(will)


def test_a_gateway_whose_memory_was_lost_is_known_by_its_name():
    """A new journal knows no earlier runs."""
    fresh = EchoGuard("gw", set())

    assert all(fresh.is_ours(publish) for publish in sent(4))
