"""Doubtful cases, asked of a real mosquitto and of our listener: the same answers, or a reason why not.

A case is a list of packets that one client sends after its CONNACK, each given time to be answered. What is compared is
what a program depends on: which packets come back, with what ids and codes, and whether the connection lives.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fieldgate.mqtt.codec import encode
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
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
)
from fieldgate_simulators.broker import Broker, mosquitto_path
from listener_kit import RawClient, SettlingIntake, serving

pytestmark = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed")

S = Subscription
NOBODY = 0x10

SAME: dict[str, list[Packet | bytes]] = {
    "PUBACK nobody waits for": [PubAck(7)],
    "PUBCOMP nobody waits for": [PubComp(7)],
    "UNSUBSCRIBE of nothing": [Unsubscribe(3, ("q", "r"))],
    "a filter twice": [Subscribe(1, (S("t", 0), S("t", 2))), Publish("t", b"m", 1, packet_id=2)],
    "PUBACK for QoS 2": [Subscribe(1, (S("t", 2),)), Publish("t", b"m", 2, packet_id=2), PubRel(2), PubAck(1)],
    "PUBREC for QoS 1": [Subscribe(1, (S("t", 1),)), Publish("t", b"m", 1, packet_id=2), PubRec(1)],
    "PUBCOMP before PUBREC": [Subscribe(1, (S("t", 2),)), Publish("t", b"m", 2, packet_id=2), PubRel(2), PubComp(1)],
    "PUBREC twice": [
        Subscribe(1, (S("t", 2),)), Publish("t", b"m", 2, packet_id=2), PubRel(2), PubRec(1), PubRec(1), PubComp(1),
    ],
    "retained below $": [Publish("$app/r", b"k", 1, True, packet_id=1), Subscribe(1, (S("#"), S("$app/#")))],
    "retained cleared": [Publish("r", b"k", 0, True), Publish("r", b"", 0, True), Subscribe(1, (S("r"),))],
    "200 separators": [Subscribe(1, (S("l/" * 200),)), Publish("l/" * 200, b"", 1, packet_id=2)],
    "a control character": [Publish("a\x01b", b"", 1, packet_id=2)],
    "a second CONNECT": [encode(Connect("c", 4), 4)],
    "reserved flags of PUBREL": [b"\x60\x02\x00\x01"],
    "SUBSCRIBE with packet id 0": [b"\x82\x06\x00\x00\x00\x01t\x00"],
}  # fmt: skip
"""Both versions answer alike. PUBACK 0x10 is read as 0x00: with us the flow always takes a message. Mosquitto 2.0 ends
some connections without a DISCONNECT, and has other codes for some mistakes: that a connection ends is what counts."""

SAME_5: dict[str, list[Packet | bytes]] = {
    "message expiry 0": [
        Subscribe(1, (S("e", 1),)), Publish("e", b"1", 1, packet_id=1, properties=Properties(message_expiry_s=9)),
    ],
    "retain as published": [Subscribe(2, (S("rap", 1, False, True),)), Publish("rap", b"1", 0, True)],
    "a topic alias over the maximum": [Publish("t", b"", properties=Properties(topic_alias=60_000))],
    "a topic alias that was not set": [Publish("", b"", properties=Properties(topic_alias=1))],
    "DISCONNECT with an expiry out of nothing": [Disconnect(0, Properties(session_expiry_s=10))],
    "no local": [Subscribe(1, (S("t", 1, True),)), Publish("t", b"own", 1, packet_id=1)],
}  # fmt: skip

OURS: dict[str, tuple[list[Packet | bytes], list[Any]]] = {
    "PUBREC for an unknown id": ([PubRec(7)], [PubRel(7, 0x92)]),  # [MQTT5 3.6.2.1]; mosquitto says 0x00
    "PUBREL for an unknown id": ([PubRel(7)], [PubComp(7, 0x92)]),  # [MQTT5 3.7.2.1]; mosquitto says 0x00
    "a shared filter without a name": (  # [MQTT-4.8.2-1]; mosquitto 2.0 grants it
        [b"\x82\x10\x00\x01\x00\x00\x0a$share//tt\x00"], [SubAck(1, (0x8F,))],
    ),
    "AUTH without a method": ([Auth(0x19, Properties(authentication_method="m"))], [0x82]),  # mosquitto says nothing
    "no local on a shared one": (  # [MQTT-3.8.3-4]; mosquitto 2.0 grants it
        [b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x04"], [0x82],
    ),
    "a publish to $SYS": (  # as mosquitto 2.1; 2.0 acknowledges it so and then ends the connection
        [Publish("$SYS/broker/uptime", b"1", 1, packet_id=2)], [PubAck(2, 0x87)],
    ),
}  # fmt: skip
"""Where we go by the specification and mosquitto 2.0 does not: MQTT 5 only."""


async def _answers(port: int, version: int, case: list[Packet | bytes]) -> tuple[list[Packet], bool]:
    """What comes back, and whether the connection lives."""
    client = await RawClient.connect(port, "compare", version=version)
    got: list[Packet] = []
    for packet in case:
        client.writer.write(packet if isinstance(packet, bytes) else encode(packet, version))
        try:
            for _ in range(2):  # the first answer to a ping may come before that to what was read with it
                client.write(PingReq())
                while not isinstance(answer := await client.receive(), PingResp):
                    got.append(answer)
        except (EOFError, ConnectionError):
            return got, False
    client.write(Disconnect())
    await client.close()
    return got, True


def _plain(packet: Packet) -> Any:
    """A packet as a program sees it: without the texts for people, and with the codes that mean the same as one."""
    match packet:
        case Disconnect(reason=reason):
            return reason
        case PubAck() | PubRec() | PubRel() | PubComp():
            return type(packet)(packet.packet_id, 0 if packet.reason == NOBODY else packet.reason)
        case SubAck() | UnsubAck():
            return type(packet)(packet.packet_id, packet.reasons)
        case ConnAck():
            return packet.reason
    return packet


def _sorted(found: tuple[list[Packet], bool]) -> tuple[list[str], bool]:
    """One read's acknowledgements and deliveries have no order between them."""
    return sorted(repr(_plain(one)) for one in found[0] if not isinstance(one, Disconnect)), found[1]


async def _clear(port: int) -> None:
    client = await RawClient.connect(port, "clear")
    for topic in ("$app/r", "r", "rap"):
        client.write(Publish(topic, b"", 0, True))
    client.write(Disconnect())
    await client.is_closed()


@pytest.mark.parametrize("version", [4, 5])
async def test_mosquitto_and_we_answer_alike(version: int) -> None:
    """Programs were written against mosquitto."""
    cases = SAME | (SAME_5 if version == 5 else {})
    different: dict[str, tuple[Any, Any]] = {}
    async with Broker() as mosquitto, serving(SettlingIntake()) as listener:
        for name, case in cases.items():
            if version == 5:
                case = [_for_5(one) if isinstance(one, bytes) else one for one in case]
            theirs, ours = [_sorted(await _answers(port, version, case)) for port in (mosquitto.port, listener.port)]
            if theirs != ours:
                different[name] = theirs, ours
            await asyncio.gather(_clear(mosquitto.port), _clear(listener.port))

    assert different == {}


def _for_5(raw: bytes) -> bytes:
    """The raw packets of `SAME` in MQTT 5."""
    if raw[0] == 0x10:
        return encode(Connect("c", 5), 5)
    return b"\x82\x07\x00\x00\x00\x00\x01t\x00" if raw == b"\x82\x06\x00\x00\x00\x01t\x00" else raw


@pytest.mark.parametrize("name", OURS)
async def test_where_we_differ_it_is_by_the_specification(name: str) -> None:
    """Known, and no accident."""
    case, wanted = OURS[name]
    async with serving(SettlingIntake()) as listener:
        got, _ = await _answers(listener.port, 5, case)

    assert [_plain(one) for one in got] == wanted
