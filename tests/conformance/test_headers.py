"""Fixed headers, packet types, packet ids and packets cut short [MQTT5 2.1, 2.2.1; 3.1.1 2.2, 2.3.1]."""

from __future__ import annotations

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

FLAGS = {  # type -> the flags it must have, and the clauses that say so
    mb.PUBACK: (0, ()),
    mb.PUBREC: (0, ()),
    mb.PUBREL: (2, ("MQTT5-3.6.1-1", "MQTT311-3.6.1-1")),
    mb.PUBCOMP: (0, ()),
    mb.SUBSCRIBE: (2, ("MQTT5-3.8.1-1", "MQTT311-3.8.1-1")),
    mb.UNSUBSCRIBE: (2, ("MQTT5-3.10.1-1", "MQTT311-3.10.1-1")),
    mb.PINGREQ_KIND: (0, ()),
    mb.DISCONNECT: (0, ("MQTT5-3.14.1-1", "MQTT311-3.14.1-1")),
    mb.AUTH: (0, ("MQTT5-3.15.1-1",)),
    mb.CONNACK: (0, ()),  # a client may not send these four at all; with wrong flags they are not even packets
    mb.SUBACK: (0, ()),
    mb.UNSUBACK: (0, ()),
    mb.PINGRESP: (0, ()),
}
BODIES_5 = {
    mb.SUBSCRIBE: mb.subscribe("f")[2:],
    mb.UNSUBSCRIBE: mb.unsubscribe("f")[2:],
    mb.PINGREQ_KIND: b"",
    mb.DISCONNECT: b"",
    mb.AUTH: b"\x18\0",
    mb.CONNACK: b"\0\0",
    mb.PINGRESP: b"",
}
BODIES_4 = {**BODIES_5, mb.SUBSCRIBE: mb.subscribe("f", level=4)[2:], mb.UNSUBSCRIBE: mb.unsubscribe("f", level=4)[2:]}
NAMES = {
    0: "reserved", 1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP",
    8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT",
    15: "AUTH",
}  # fmt: skip


def _flag_cases() -> list:
    cases = []
    for level, bodies in ((4, BODIES_4), (5, BODIES_5)):
        for kind, (right, clauses) in FLAGS.items():
            if kind == mb.AUTH and level == 4:
                continue
            for flags in range(16):
                if flags != right:
                    sent = mb.packet(kind << 4 | flags, bodies.get(kind, b"\0\1"))
                    marks = [pytest.mark.clause(*clauses)] if clauses else []
                    cases.append(pytest.param(sent, level, id=f"{NAMES[kind]} {flags:04b}, {level}", marks=marks))
    return cases


@pytest.mark.clause("MQTT5-2.1.3-1", "MQTT311-2.2.2-1", "MQTT311-2.2.2-2")
@pytest.mark.parametrize(("sent", "level"), _flag_cases())
def test_reserved_flags_end_the_connection(fieldgate: Server, sent: bytes, level: int) -> None:
    """A flag that means nothing today may mean something tomorrow: it must not be let pass."""
    peer = fieldgate.connect(level=level)

    peer.send(sent)

    peer.rejected(0x81)


@pytest.mark.clause("MQTT5-2.1.3-1", "MQTT311-2.2.2-2", "MQTT311-4.8.0-1", "MQTT5-4.13.1-1")
@pytest.mark.parametrize("kind", [mb.SUBSCRIBE, mb.UNSUBSCRIBE, mb.PUBREL], ids=NAMES.get)
def test_a_second_opinion_on_reserved_flags(server: Server, level: int, kind: int) -> None:
    """Those flags that mosquitto looks at too; the full table above is ours alone."""
    peer = server.connect(level=level)
    bodies = BODIES_5 if level == 5 else BODIES_4

    peer.send(mb.packet(kind << 4, bodies.get(kind, b"\0\1")))

    peer.rejected(0x81)


@pytest.mark.clause("MQTT5-2.1.3-1", "MQTT311-2.2.2-2")
@pytest.mark.parametrize("flags", range(1, 16))
def test_a_connect_with_flags_is_refused(fieldgate: Server, level: int, flags: int) -> None:
    """The first byte of a connection is 0x10."""
    peer = fieldgate.open(level)

    peer.send(bytes((0x10 | flags,)) + mb.connect("c", level=level)[1:])

    assert peer.end() == []


@pytest.mark.clause("MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
@pytest.mark.mosquitto_differs("takes a PINGRESP", kind=(mb.PINGRESP,))
@pytest.mark.mosquitto_differs("takes SUBACK and UNSUBACK in 3.1.1", kind=(mb.SUBACK, mb.UNSUBACK), level=(4,))
@pytest.mark.parametrize("kind", [0, mb.CONNACK, mb.SUBACK, mb.UNSUBACK, mb.PINGRESP], ids=NAMES.get)
def test_what_only_a_server_says_ends_the_client_that_says_it(server: Server, level: int, kind: int) -> None:
    """CVE-2021-28166: a CONNACK sent to a broker ended the broker."""
    peer = server.connect(level=level)
    body = {mb.CONNACK: b"\0\0", mb.SUBACK: b"\0\1\0", mb.UNSUBACK: b"\0\1"}.get(kind, b"")

    peer.send(mb.packet(kind << 4, body))

    peer.rejected(0x81, 0x82)


@pytest.mark.clause("MQTT311-4.8.0-1")
def test_auth_is_no_packet_of_3_1_1(server: Server) -> None:
    """Type 15 came with MQTT 5."""
    peer = server.connect(level=4)

    peer.send(b"\xf0\0")

    peer.rejected()


ID_CASES = [
    pytest.param(lambda level: mb.publish("t", level=level, qos=1), id="PUBLISH of QoS 1"),
    pytest.param(lambda level: mb.publish("t", level=level, qos=2), id="PUBLISH of QoS 2"),
    pytest.param(lambda level: mb.subscribe("f", level=level, packet_id=0), id="SUBSCRIBE"),
    pytest.param(lambda level: mb.unsubscribe("f", level=level, packet_id=0), id="UNSUBSCRIBE"),
]


@pytest.mark.clause("MQTT5-2.2.1-3", "MQTT311-2.3.1-1")
@pytest.mark.parametrize("make", ID_CASES)
def test_packet_id_0_ends_the_connection(server: Server, level: int, make) -> None:  # type: ignore[no-untyped-def]
    """There is no acknowledgement for id 0."""
    peer = server.connect(level=level)

    peer.send(make(level))

    peer.rejected(0x81, 0x82)


@pytest.mark.clause(
    "MQTT5-2.2.1-2 MQTT5-4.3.1-1 MQTT5-3.3.1-2",
    "MQTT311-2.3.1-5 MQTT311-4.3.1-1 MQTT311-3.3.1-2",
)
def test_a_delivery_of_qos_0_has_no_packet_id_and_no_dup(server: Server, level: int) -> None:
    """Byte for byte."""
    topic = fresh("t")
    peer = server.connect(level=level)
    peer.subscribe((topic, 0))

    peer.send(mb.publish(topic, b"p", level=level, qos=1, packet_id=9))
    (got,) = [got for got in peer.drain() if got.kind == mb.PUBLISH]

    assert got.wire == mb.publish(topic, b"p", level=level)


@pytest.mark.clause(
    "MQTT5-2.2.1-5 MQTT5-2.2.1-6 MQTT5-3.8.4-2 MQTT5-3.10.4-5",
    "MQTT311-2.3.1-6 MQTT311-2.3.1-7 MQTT311-3.8.4-2 MQTT311-3.10.4-4",
)
@pytest.mark.parametrize("packet_id", [1, 127, 128, 255, 256, 257, 32_768, 65_534, 65_535])
def test_every_acknowledgement_has_the_id_of_what_it_acknowledges(server: Server, level: int, packet_id: int) -> None:
    """Also where the id needs its second byte."""
    topic = fresh("t")
    peer = server.connect(level=level)

    answers = [
        peer.ask(mb.subscribe(topic, level=level, packet_id=packet_id), kind=mb.SUBACK),
        peer.ask(mb.unsubscribe(topic, level=level, packet_id=packet_id), kind=mb.UNSUBACK),
        peer.ask(mb.publish(topic, level=level, qos=1, packet_id=packet_id), kind=mb.PUBACK),
        peer.ask(mb.publish(topic, level=level, qos=2, packet_id=packet_id), kind=mb.PUBREC),
        peer.ask(mb.ack(mb.PUBREL, packet_id), kind=mb.PUBCOMP),
    ]

    assert {got.packet_id for got in answers} == {packet_id}


def _whole(level: int) -> dict[str, bytes]:
    packets = {
        "PUBLISH": mb.publish("t", level=level),
        "PUBLISH of QoS 1": mb.publish("t", level=level, qos=1, packet_id=1),
        "PUBACK": mb.ack(mb.PUBACK, 1),
        "PUBREC": mb.ack(mb.PUBREC, 1),
        "PUBREL": mb.ack(mb.PUBREL, 1),
        "PUBCOMP": mb.ack(mb.PUBCOMP, 1),
        "SUBSCRIBE": mb.subscribe("f/+", level=level),
        "UNSUBSCRIBE": mb.unsubscribe("f/+", level=level),
    }
    if level == 5:
        packets["PUBLISH with properties"] = mb.publish("t", properties=((mb.USER, ("n", "v")), (mb.EXPIRY, 4)))
        packets["SUBSCRIBE with an id"] = mb.subscribe("f", properties=((mb.SUBSCRIPTION_ID, 4000),))
        packets["PUBREL with a reason"] = mb.ack(mb.PUBREL, 1, 0, ((mb.REASON, "r"),))
        packets["DISCONNECT with properties"] = mb.disconnect(0, ((mb.SESSION_EXPIRY, 1),))
    return packets


def _cut_cases() -> list:
    cases = []
    for level in (4, 5):
        for name, whole in _whole(level).items():
            body = whole[2:]
            legal = (
                {1, 2, 3}
                if name.startswith(("PUBA", "PUBR", "PUBC")) and level == 5
                else {1}
                if name[0] == "D"
                else set()
            )
            cases += [
                pytest.param(mb.packet(whole[0], body[:size]), level, id=f"{name} of {size}, {level}")
                for size in range(len(body))
                if size not in legal or (size == 1 and name[0] != "D")
                if not (name[0] == "D" and size == 0)
            ]
    return cases


@pytest.mark.clause("MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
@pytest.mark.parametrize(("sent", "level"), _cut_cases())
def test_a_packet_that_ends_too_early_ends_the_connection(server: Server, sent: bytes, level: int) -> None:
    """The remaining length is right, what it holds is not all there: cut after every byte."""
    peer = server.connect(level=level)

    peer.send(sent)

    peer.rejected(0x81, 0x82)


@pytest.mark.clause("MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
@pytest.mark.parametrize("name", ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "PINGREQ", "DISCONNECT"])
def test_bytes_behind_the_end_of_a_packet_end_the_connection(fieldgate: Server, level: int, name: str) -> None:
    """A packet is what its section says and nothing more."""
    bodies = {"PINGREQ": b"", "DISCONNECT": b"\0\0" if level == 5 else b""}
    first = {"PUBACK": 0x40, "PUBREC": 0x50, "PUBREL": 0x62, "PUBCOMP": 0x70, "PINGREQ": 0xC0, "DISCONNECT": 0xE0}[name]
    body = bodies.get(name, b"\0\1\0\0" if level == 5 else b"\0\1")
    peer = fieldgate.connect(level=level)

    peer.send(mb.packet(first, body, b"x"))

    peer.rejected(0x81)
