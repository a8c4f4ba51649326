"""In any history the disk holds what the broker holds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fieldgate.mqtt.packets import (
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscription,
    Unsubscribe,
)
from fieldgate.mqtt.stored import StoredMessage, StoredState
from memory_kit import KEPT, Disk, Gateway
from session_kit import Client


def canonical(state: StoredState) -> dict[str, Any]:
    """The state without the numbers that are the file's own affair."""

    def content(number: int) -> StoredMessage | None:
        return state.messages[number] if number else None

    return {
        "retained": state.retained,
        "sessions": {
            session.client_id: (
                session.expiry_s,
                session.away_since_s,
                session.user,
                set(session.subscriptions),
                session.unreleased,
                sorted(
                    (repr(content(one.message)), one.qos, one.packet_id, one.subscription_ids, one.is_retained)
                    for one in state.deliveries.get(number, {}).values()
                ),
            )
            for number, session in state.sessions.items()
        },
    }


@pytest.mark.parametrize("seed", range(40))
def test_in_any_history_the_disk_holds_what_the_broker_holds(seed: int) -> None:
    """Differences written over time add up to the same as everything written at once; so does what is read back."""
    rng = random.Random(seed)
    gateway = Gateway()
    clients: dict[str, Client] = {}
    wild = Properties(session_expiry_s=5)
    for _ in range(rng.randrange(20, 400)):
        client_id = rng.choice("abcd")
        client = clients.get(client_id)
        match rng.randrange(11):
            case 0 | 1:
                if client is None or not client.is_connected:
                    clean = rng.random() < 0.2
                    clients[client_id] = gateway.server.connect(
                        client_id, version=5, clean=clean, properties=rng.choice([KEPT, KEPT, wild, Properties()])
                    )
            case 2:
                if client is not None and client.is_connected:
                    client.vanish()
            case 3 | 4:
                if client is not None and client.is_connected:
                    prefix = rng.choice(["", "", "$share/g/"])
                    client.subscribe(Subscription(prefix + rng.choice(["t", "t/#", "+", "r/#"]), rng.randrange(3)))
            case 5:
                if client is not None and client.is_connected:
                    client.send(Unsubscribe(3, (rng.choice(["t", "t/#", "+"]),)))
            case 6 | 7:
                gateway.publish(*range(rng.randrange(6)), qos=rng.randrange(3), topic=rng.choice(["t", "t/1"]))
            case 8:
                gateway.publish(rng.randrange(2), topic=rng.choice(["r/1", "r/2"]), retain=True)
            case 9:
                if client is not None and client.is_connected:
                    for one in client.received():
                        _answer(client, one, rng)
            case 10:
                gateway.look()
                gateway.disk.check()
                gateway.server.broker.tick(gateway.server.now_s)
                if rng.random() < 0.1:
                    gateway.start(now_s=gateway.server.now_s)
                    clients.clear()
    gateway.stop()

    fresh = Disk()
    fresh.apply(gateway.memory.everything(gateway.server.now_s, is_last=True))
    fresh.check()
    assert canonical(gateway.disk.state) == canonical(fresh.state)
    now_s = gateway.server.now_s
    before = canonical(gateway.disk.state)
    gateway.start(now_s=now_s)
    read_back = Disk()
    read_back.apply(gateway.memory.everything(now_s, is_last=True))
    after = canonical(read_back.state)
    assert after["retained"] == before["retained"]
    assert {one: each[2:] for one, each in after["sessions"].items()} == {
        one: each[2:] for one, each in before["sessions"].items()
    }


def _answer(client: Client, packet: Any, rng: random.Random) -> None:
    if not client.is_connected or rng.random() < 0.3:
        return
    match packet:
        case Publish(qos=1):
            client.send(PubAck(packet.packet_id))
        case Publish(qos=2):
            client.send(PubRec(packet.packet_id))
        case PubRel():
            client.send(PubComp(packet.packet_id))
