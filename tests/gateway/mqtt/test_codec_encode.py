"""The encoder: exact bytes where the specification shows them, and a refusal of what cannot be said."""

from __future__ import annotations

import pytest

from fieldgate.mqtt.codec import MalformedPacket, encode, encode_properties, encode_publish
from fieldgate.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)

EXACT: list[tuple[Packet, int, str]] = [
    (Connect("", 4, True, 10), 4, "10 0c 0004 4d515454 04 02 000a 0000"),
    (Connect("c", 3), 3, "10 0f 0006 4d5149736470 03 02 003c 0001 63"),
    (Connect("c", 5, False, 0), 5, "10 0e 0004 4d515454 05 00 0000 00 0001 63"),
    (
        Connect("c", 4, True, 10, "u", b"p", Will("w", b"x", 2, True)),
        4,
        "10 19 0004 4d515454 04 f6 000a 0001 63 0001 77 0001 78 0001 75 0001 70",
    ),
    (ConnAck(), 4, "20 02 00 00"),
    (ConnAck(5), 4, "20 02 00 05"),
    (ConnAck(0x87), 5, "20 03 00 87 00"),
    (ConnAck(0, True, Properties(receive_maximum=20)), 5, "20 06 01 00 03 210014"),
    (Publish("a/b", b"x", 1, packet_id=10), 4, "32 08 0003 612f62 000a 78"),
    (Publish("a/b", b"x", 1, True, True, 10), 5, "3b 09 0003 612f62 000a 00 78"),
    (PubAck(1), 5, "40 02 0001"),
    (PubAck(1, 0x10), 5, "40 03 0001 10"),
    (PubAck(1, 0, Properties(reason_string="x")), 5, "40 08 0001 00 04 1f0001 78"),
    (PubRec(1), 4, "50 02 0001"),
    (PubRel(1), 4, "62 02 0001"),
    (Subscribe(10, (Subscription("a/b", 1), Subscription("c/d", 2))), 4, "82 0e 000a 0003 612f62 01 0003 632f64 02"),
    (Subscribe(10, (Subscription("a", 2, True, True, 2),)), 5, "82 07 000a 00 0001 61 2e"),
    (SubAck(10, (0, 2, 0x80)), 4, "90 05 000a 00 02 80"),
    (Unsubscribe(10, ("a", "b")), 4, "a2 08 000a 0001 61 0001 62"),
    (UnsubAck(10, (0,)), 4, "b0 02 000a"),
    (UnsubAck(10, (0, 0x11)), 5, "b0 05 000a 00 00 11"),
    (PingReq(), 4, "c0 00"),
    (PingResp(), 5, "d0 00"),
    (Disconnect(), 5, "e0 00"),
    (Disconnect(0x8B), 4, "e0 00"),
    (Disconnect(0x8B), 5, "e0 01 8b"),
    (Disconnect(0, Properties(session_expiry_s=1)), 5, "e0 07 00 05 1100000001"),
    (Auth(), 5, "f0 00"),
    (Auth(0x18, Properties(authentication_method="m")), 5, "f0 06 18 04 1500016d"),
]

UNSAYABLE: dict[str, tuple[Packet, int]] = {
    "client id with NUL": (Connect("\0", 4), 4),
    "client id with a surrogate": (Connect("\ud800", 4), 4),
    "client id too long": (Connect("x" * 65_536, 4), 4),
    "password alone in 3.1.1": (Connect("c", 4, password=b"p"), 4),
    "password too long": (Connect("c", 5, username="u", password=b"p" * 65_536), 5),
    "keep-alive too long": (Connect("c", 5, keep_alive_s=65_536), 5),
    "will QoS 3": (Connect("c", 5, will=Will("w", b"", 3)), 5),
    "will topic empty": (Connect("c", 5, will=Will("", b"")), 5),
    "will topic with a wildcard": (Connect("c", 5, will=Will("#", b"")), 5),
    "will with a property of PUBLISH": (Connect("c", 5, will=Will("w", b"", properties=Properties(topic_alias=1))), 5),
    "MQTT 5 code in 3.1.1 CONNACK": (ConnAck(0x87), 4),
    "3.1.1 code in MQTT 5 CONNACK": (ConnAck(5), 5),
    "refusal with a session": (ConnAck(0x87, True), 5),
    "topic empty": (Publish("", b""), 4),
    "topic empty without alias": (Publish("", b"", properties=Properties()), 5),
    "topic alias in 3.1.1": (Publish("", b"", properties=Properties(topic_alias=1)), 4),
    "topic with a wildcard": (Publish("a/+", b""), 4),
    "topic too long": (Publish("x" * 65_536, b""), 4),
    "QoS 3": (Publish("t", b"", 3, packet_id=1), 4),
    "QoS -1": (Publish("t", b"", -1, packet_id=1), 4),
    "DUP at QoS 0": (Publish("t", b"", dup=True), 4),
    "PUBLISH id 0": (Publish("t", b"", 1), 4),
    "PUBLISH id 65,536": (Publish("t", b"", 1, packet_id=65_536), 4),
    "property of CONNECT in PUBLISH": (Publish("t", b"", properties=Properties(receive_maximum=1)), 5),
    "property out of range": (Publish("t", b"", properties=Properties(topic_alias=0)), 5),
    "property wider than its type": (Publish("t", b"", properties=Properties(message_expiry_s=1 << 32)), 5),
    "subscription id too large": (Publish("t", b"", properties=Properties(subscription_ids=(1 << 28,))), 5),
    "byte property negative": (Publish("t", b"", properties=Properties(payload_format=-1)), 5),
    "PUBACK id 0": (PubAck(0), 4),
    "PUBACK id 65,536": (PubAck(65_536), 4),
    "PUBACK reason in 3.1.1": (PubAck(1, 0x97), 4),
    "PUBACK reason unknown": (PubAck(1, 1), 5),
    "SUBSCRIBE empty": (Subscribe(1, ()), 4),
    "SUBSCRIBE bad filter": (Subscribe(1, (Subscription("a#"),)), 4),
    "SUBSCRIBE QoS 3": (Subscribe(1, (Subscription("a", 3),)), 4),
    "SUBSCRIBE retain handling 3": (Subscribe(1, (Subscription("a", 0, False, False, 3),)), 5),
    "SUBSCRIBE no-local shared": (Subscribe(1, (Subscription("$share/g/a", 0, True),)), 5),
    "SUBACK empty": (SubAck(1, ()), 4),
    "SUBACK of MQTT 5 in 3.1.1": (SubAck(1, (0x87,)), 4),
    "UNSUBSCRIBE empty": (Unsubscribe(1, ()), 5),
    "UNSUBACK unknown reason": (UnsubAck(1, (1,)), 5),
    "DISCONNECT unknown reason": (Disconnect(1), 5),
    "AUTH in 3.1.1": (Auth(), 4),
    "AUTH unknown reason": (Auth(1), 5),
}


@pytest.mark.parametrize(("packet", "version", "expected"), EXACT, ids=[f"{p[0]!r:.40} {p[1]}" for p in EXACT])
def test_the_bytes_are_those_of_the_specification(packet: Packet, version: int, expected: str):
    """Written out by hand from the figures of each section, so that a fault in both halves cannot hide."""
    assert encode(packet, version).hex() == bytes.fromhex(expected).hex()


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_cannot_be_said_is_refused(name: str):
    """A peer would close the connection over it; the fault must show here, where it is."""
    packet, version = UNSAYABLE[name]

    with pytest.raises(MalformedPacket):
        encode(packet, version)


def test_properties_are_left_out_in_3_1_1():
    """A message with properties must still reach a subscriber of 3.1.1."""
    rich = Publish("t", b"x", 1, packet_id=1, properties=Properties(user=(("k", "v"),)))

    assert encode(rich, 4) == encode(Publish("t", b"x", 1, packet_id=1), 4)


def test_encode_publish_refuses_what_would_break_the_stream():
    """The hot path checks no more than this: a wrong length or id would corrupt every packet behind it."""
    for packet_id in (0, 65_536, -1):
        with pytest.raises(MalformedPacket):
            encode_publish(b"t", b"", packet_id, qos=1)
    for size in (65_536, 70_000):
        with pytest.raises(MalformedPacket):
            encode_publish(b"t" * size, b"", 1, qos=1)
    with pytest.raises(MalformedPacket, match="fit"):
        encode_publish(b"t", bytes(268_435_455), 0, qos=0)


def test_properties_are_checked_for_their_place_only_when_it_is_given():
    """An uplink encodes a block for its PUBLISH packets ahead; it knows where it will stand."""
    assert encode_properties(Properties(subscription_ids=(1, 200))) == bytes.fromhex("05 0b01 0bc801")
    with pytest.raises(MalformedPacket, match="topic_alias"):
        encode_properties(Properties(topic_alias=0))


def test_what_is_no_packet_is_a_fault_of_the_caller():
    """The set of packets is closed; a new one without an encoder must not become an empty answer."""
    with pytest.raises(AssertionError):
        encode("PINGREQ", 4)  # type: ignore[arg-type]  # the mistake that this is about
