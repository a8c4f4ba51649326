"""Bytes from anybody: any chunking gives the same answers, and nothing that is sent breaks more than its sender."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from listener_kit import SettlingIntake
from session_kit import Server


def transcript(version: int) -> list[bytes]:
    """A life with everything in it."""
    v5 = version == 5
    packets: list[Packet] = [
        Connect(
            "c",
            version,
            will=Will("w", b"gone"),
            properties=Properties(session_expiry_s=5, topic_alias_maximum=3, receive_maximum=4) if v5 else None,
        ),
        Subscribe(1, (Subscription("a/#", 1), Subscription("b", 0))),
        Publish("a/1", b"one", 1, packet_id=1),
        Publish("a/1", b"two", 0),
        Publish("a/2", b"three", 2, retain=True, packet_id=2, properties=Properties(topic_alias=1) if v5 else None),
        PubRel(77),
        PubAck(1),
        PingReq(),
        Publish("b", b"x" * 200, 1, packet_id=3),
        Unsubscribe(2, ("b",)),
        Subscribe(3, (Subscription("a/+", 2), Subscription("$share/g/c/#", 2), Subscription("$share/g"))),
        Publish("c/long", b"four", 2, packet_id=4),
        Publish("c/long", b"five", 1, packet_id=5),
        PubRel(4),
        PubAck(2),
        PubRec(3),
        PubComp(3),
        PubRec(66),
        PubAck(5),
        Disconnect(),
    ]
    return [encode(packet, version) for packet in packets]


@pytest.mark.parametrize("version", [4, 5])
def test_a_life_cut_at_every_byte_has_the_same_answers(version: int) -> None:
    """TCP cuts where it likes."""
    whole = b"".join(transcript(version))

    def live(*chunks: bytes) -> tuple[list[Packet], list[bytes]]:
        server = Server(SettlingIntake())
        client = server.open(version)
        for chunk in chunks:
            client.session.receive(chunk, server.now_s)
        assert client.closed == "politely"
        # One read's control answers precede its PUBACKs: only the order within each kind is promised.
        answers = sorted(client.received(), key=lambda packet: type(packet).__name__)
        return answers, server.intake.payloads

    expected = live(*transcript(version))
    assert expected[1] == [b"one", b"two", b"three", b"x" * 200, b"four", b"five"]

    for cut in range(1, len(whole)):
        assert live(whole[:cut], whole[cut:]) == expected
    assert live(*(bytes([byte]) for byte in whole)) == expected


@settings(max_examples=60, deadline=None)
@given(version=st.sampled_from([4, 5]), seed=st.integers(0, 2**32))
def test_mutated_packets_end_their_client_at_worst(version: int, seed: int) -> None:
    """P8: no exception leaves a session, and a bystander is served as before."""
    rng = random.Random(seed)
    server = Server(SettlingIntake())
    bystander = server.connect("bystander")
    for _ in range(10):
        client = server.open(version)
        for packet in transcript(version):
            mutated = bytearray(packet)
            for _ in range(rng.choice([0, 0, 1, 3])):
                mutated[rng.randrange(len(mutated))] = rng.randrange(256)
            client.session.receive(
                bytes(mutated[: rng.randint(1, len(mutated))] if rng.random() < 0.1 else mutated), 0.0
            )
        client.vanish()

    assert PingResp() in bystander.send(PingReq())


@settings(max_examples=100, deadline=None)
@given(chunks=st.lists(st.binary(max_size=80), max_size=5), connected=st.booleans())
def test_any_bytes_at_all_end_their_client_at_worst(chunks: list[bytes], connected: bool) -> None:
    server = Server(SettlingIntake())
    client = server.connect("c", version=5) if connected else server.open()

    for chunk in chunks:
        client.session.receive(chunk, server.now_s)
    client.vanish()

    assert PingResp() in server.connect("bystander").send(PingReq())
