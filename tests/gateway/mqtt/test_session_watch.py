"""Who keeps sessions over a restart is told of every change: a random life, and a mirror that must never be behind."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import (
    Disconnect,
    Packet,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscription,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.session_state import SessionState
from listener_kit import SettlingIntake
from session_kit import Client, Server

IDS = ("a", "b", "c")


def snapshot(state: SessionState) -> dict[str, Any]:
    """All that a session is."""
    outbound = state.outbound
    return {
        "subscriptions": dict(state.subscriptions),
        "queue": [(one.message.payload, one.qos, one.share) for one in outbound.queue if one.qos],
        "in_flight": [(key, one.message.payload, one.qos) for key, one in outbound.in_flight.items()],
        "released": list(outbound.released),
        "next_id": outbound.next_id,
        "unreleased": set(state.unreleased),
        "expiry_s": state.expiry_s,
        "forget_at_s": state.forget_at_s if state.client is None else None,
        "will": state.will,
    }


class Mirror:
    """Keeps what it is told of, as somebody with a disk would."""

    def __init__(self) -> None:
        self.dirty: dict[str, SessionState] = {}
        self.kept: dict[str, dict[str, Any]] = {}

    def changed(self, state: SessionState) -> None:
        self.dirty[state.client_id] = state

    def forgotten(self, state: SessionState) -> None:
        self.dirty.pop(state.client_id, None)
        self.kept.pop(state.client_id, None)

    def write(self) -> None:
        for state in self.dirty.values():
            if state.expiry_s > 0:
                self.kept[state.client_id] = snapshot(state)
            else:
                self.kept.pop(state.client_id, None)
        self.dirty.clear()


def act(server: Server, clients: dict[str, Client], rng: random.Random) -> None:
    """One thing that happens."""
    name = rng.choice(IDS)
    client = clients.get(name)
    if client is None or not client.is_connected:
        will = rng.choice([None, Will("t/will", b"gone", 1, properties=Properties(will_delay_s=rng.choice([0, 5])))])
        properties = Properties(session_expiry_s=rng.choice([0, 20, 20]), receive_maximum=rng.choice([1, 2, 50]))
        clients[name] = server.connect(name, version=5, clean=rng.random() < 0.2, will=will, properties=properties)
        return
    incoming = [one for one in client.received() if isinstance(one, Publish | PubRel)]
    answers: list[Packet] = []
    for one in incoming:
        if rng.random() < 0.7:
            answers += [PubComp(one.packet_id)] if isinstance(one, PubRel) else _answer(one)
    number = rng.randrange(100)
    packet_id = rng.randrange(1, 9)
    match rng.randrange(9):
        case 0:
            client.vanish()
        case 1:
            client.send(Disconnect(0, rng.choice([None, Properties(session_expiry_s=0)])))
        case 2:
            wanted = rng.choice(["t/#", "t/+", "$share/g/t/#"])
            client.subscribe(Subscription(wanted, rng.randrange(3)))
        case 3:
            client.send(Unsubscribe(1, (rng.choice(["t/#", "t/+", "$share/g/t/#"]),)))
        case 4 | 5:
            client.send(Publish("t/1", b"%d" % number, 2, rng.random() < 0.2, packet_id=packet_id))
        case 6:
            client.send(PubRel(packet_id))
        case 7:
            server.now_s += rng.choice([1, 6, 30])
            server.broker.tick(server.now_s)
        case _:
            server.broker.publish("t/2", b"%d" % number, qos=rng.randrange(3), now_s=server.now_s)
    if client.is_connected:
        for answer in answers:
            client.session.receive(encode(answer, 5), server.now_s)


def _answer(publish: Publish) -> list[Packet]:
    if not publish.qos:
        return []
    return [PubAck(publish.packet_id)] if publish.qos == 1 else [PubRec(publish.packet_id)]


@pytest.mark.parametrize("seed", range(12))
def test_a_mirror_that_writes_what_it_is_told_of_is_never_behind(seed: int) -> None:
    """Else a restart would forget a subscription, or deliver at QoS 2 what was delivered."""
    rng = random.Random(seed)
    server, mirror = Server(SettlingIntake()), Mirror()
    server.broker.sessions.watch(mirror)
    clients: dict[str, Client] = {}

    for _ in range(400):
        act(server, clients, rng)
        mirror.write()

        states = [server.broker.sessions.find(name) for name in IDS]
        assert mirror.kept == {one.client_id: snapshot(one) for one in states if one is not None and one.expiry_s > 0}


def test_sessions_that_end_with_their_connection_are_not_told_of() -> None:
    """Most clients: they must not cost a write for each message."""
    server, mirror = Server(SettlingIntake()), Mirror()
    server.broker.sessions.watch(mirror)
    client = server.connect("a", version=5)
    client.subscribe(Subscription("t", 2))

    server.broker.publish("t", b"", qos=2, now_s=server.now_s)
    client.publish(1, qos=2)

    assert mirror.dirty == {}


def test_a_change_that_is_not_told_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the call in `release_id` the mirror falls behind."""

    def silent(self: SessionState, packet_id: int) -> bool:
        self.unreleased.discard(packet_id)
        return True

    monkeypatch.setattr(SessionState, "release_id", silent)

    with pytest.raises(AssertionError):
        test_a_mirror_that_writes_what_it_is_told_of_is_never_behind(1)
