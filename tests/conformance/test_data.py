"""Strings and numbers [MQTT5 1.5; 3.1.1 1.5, 2.2.3]: bytes that are none end the connection that sent them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mqtt_bytes as mb
from mqtt_peer import Server, fresh

ILL_FORMED = {
    "no lead byte": b"\xff",
    "lone continuation": b"\x80",
    "cut short": b"\xe2\x82",
    "bad continuation": b"\xc3\x28",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "overlong slash": b"\xc0\xaf",
    "overlong of three": b"\xe0\x80\xaf",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
}
NULS = {"null": b"\0", "null within": b"a\0b", "overlong null": b"\xc0\x80"}

ALIKE = {"\u00e4": "a\u0308", "a\u0308": "\u00e4", "\u00c5": "\u212b", "\u212b": "\u00c5"}

Place = Callable[[bytes, int], bytes]

CONNECTED: dict[str, Place] = {
    "topic": lambda bad, level: mb.publish(b"t" + bad, level=level),
    "filter": lambda bad, level: mb.subscribe(b"t" + bad, level=level),
    "filter to unsubscribe": lambda bad, level: mb.unsubscribe(b"t" + bad, level=level),
}
CONNECTED_5: dict[str, Place] = {
    "content type": lambda bad, _: mb.publish("t", properties=((mb.CONTENT_TYPE, bad),)),
    "response topic": lambda bad, _: mb.publish("t", properties=((mb.RESPONSE_TOPIC, b"r" + bad),)),
    "user property name": lambda bad, _: mb.publish("t", properties=((mb.USER, (bad, "v")),)),
    "user property value": lambda bad, _: mb.publish("t", properties=((mb.USER, ("n", bad)),)),
    "reason string": lambda bad, _: mb.disconnect(0, ((mb.REASON, bad),)),
}
CONNECTING: dict[str, Place] = {
    "client id": lambda bad, level: mb.connect(b"c" + bad, level=level),
    "will topic": lambda bad, level: mb.connect("c", level=level, will=(b"w" + bad, b"")),
    "user name": lambda bad, level: mb.connect("c", level=level, user=b"u" + bad, password=b""),
}
CONNECTING_5: dict[str, Place] = {
    "authentication method": lambda bad, _: mb.connect("c", properties=((mb.AUTH_METHOD, bad),)),
    "user property of CONNECT": lambda bad, _: mb.connect("c", properties=((mb.USER, ("n", bad)),)),
    "content type of the will": lambda bad, _: mb.connect("c", will=("w", b""), will_props=((mb.CONTENT_TYPE, bad),)),
    "response topic of the will": lambda bad, _: mb.connect(
        "c", will=("w", b""), will_props=((mb.RESPONSE_TOPIC, b"r" + bad),)
    ),
    "user property of the will": lambda bad, _: mb.connect("c", will=("w", b""), will_props=((mb.USER, (bad, "v")),)),
}
CLAUSES = {
    "topic": ("MQTT5-3.3.2-1", "MQTT311-3.3.2-1"),
    "filter": ("MQTT5-3.8.3-1", "MQTT311-3.8.3-1"),
    "filter to unsubscribe": ("MQTT5-3.10.3-1", "MQTT311-3.10.3-1"),
    "content type": ("MQTT5-3.3.2-19",),
    "response topic": ("MQTT5-3.3.2-13",),
    "user property name": ("MQTT5-1.5.7-1",),
    "user property value": ("MQTT5-1.5.7-1",),
    "client id": ("MQTT5-3.1.3-4", "MQTT311-3.1.3-4"),
    "will topic": ("MQTT5-3.1.3-11", "MQTT311-3.1.3-10"),
    "user name": ("MQTT5-3.1.3-12", "MQTT311-3.1.3-11"),
    "user property of CONNECT": ("MQTT5-1.5.7-1",),
    "user property of the will": ("MQTT5-1.5.7-1",),
}
LONGER = pytest.mark.mosquitto_differs("takes a remaining length that is longer than it need be")
STRINGS = ("MQTT5-1.5.4-1", "MQTT311-1.5.3-1")
NULL_CLAUSES = ("MQTT5-1.5.4-2", "MQTT311-1.5.3-2")


def _grid(places: dict[str, Place], levels: tuple[int, ...], bad: dict[str, bytes], clauses: tuple[str, ...]) -> list:
    return [
        pytest.param(
            make(raw, level),
            level,
            id=f"{place}, {name}, {level}",
            marks=pytest.mark.clause(*clauses, *CLAUSES.get(place, ())),
        )
        for place, make in places.items()
        for level in levels
        for name, raw in bad.items()
    ]


@pytest.mark.parametrize(
    ("sent", "level"),
    [
        *_grid(CONNECTED, (4, 5), ILL_FORMED, STRINGS),
        *_grid(CONNECTED_5, (5,), ILL_FORMED, STRINGS),
        *_grid(CONNECTED, (4, 5), NULS, NULL_CLAUSES),
        *_grid(CONNECTED_5, (5,), NULS, NULL_CLAUSES),
    ],
)
def test_a_string_that_is_not_utf_8_ends_the_connection(server: Server, sent: bytes, level: int) -> None:
    """A string that one program reads and another cannot is the beginning of an attack."""
    peer = server.connect(level=level)

    peer.send(sent)

    peer.rejected(0x81, 0x82, 0x8F, 0x90)


@pytest.mark.parametrize(
    ("sent", "level"),
    [
        *_grid(CONNECTING, (4, 5), ILL_FORMED, STRINGS),
        *_grid(CONNECTING_5, (5,), ILL_FORMED, STRINGS),
        *_grid(CONNECTING, (4, 5), NULS, NULL_CLAUSES),
        *_grid(CONNECTING_5, (5,), NULS, NULL_CLAUSES),
    ],
)
def test_a_connect_with_a_string_that_is_not_utf_8_is_refused(server: Server, sent: bytes, level: int) -> None:
    """Client id and user name decide what somebody may do; they are read in one way or not at all."""
    peer = server.open(level)

    peer.send(sent)

    if level == 5:
        peer.refused(0x81, 0x82, 0x85, 0x86, 0x8C)
    else:
        assert all(got.kind == mb.CONNACK and got.reason in (2, 4) for got in peer.end())


CONTROLS = {
    "U+0001": b"\x01",
    "U+001F": b"\x1f",
    "U+007F": b"\x7f",
    "U+0080": "\x80".encode(),
    "U+009F": "\x9f".encode(),
    "U+FDD0": "\ufdd0".encode(),
    "U+FFFF": "\uffff".encode(),
}
NOT_LET_IN = {"client id": 0x85, "will topic": 0x90, "user name": 0x86}


@pytest.mark.clause("MQTT5-4.13.1-1", "MQTT311-4.8.0-1")
@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize("place", CONNECTED)
def test_a_name_with_a_control_character_is_malformed(
    fieldgate: Server, level: int, place: str, control: bytes
) -> None:
    """1.5.4 lets a receiver say so (1.5.3 in 3.1.1): such a name is there to deceive whoever reads it on a screen."""
    peer = fieldgate.connect(level=level)

    peer.send(CONNECTED[place](control, level))

    peer.rejected(0x81)


@pytest.mark.clause("MQTT311-3.1.4-1")
@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
@pytest.mark.parametrize("place", NOT_LET_IN)
def test_who_connects_with_a_control_character_in_a_name_is_not_let_in(
    fieldgate: Server, level: int, place: str, control: bytes
) -> None:
    """MQTT 5 says which name it is; a 3.1.1 client is not answered, as with any CONNECT that is malformed."""
    peer = fieldgate.open(level)

    peer.send(CONNECTING[place](control, level))

    answers = [(got.kind, got.reason) for got in peer.end()]
    assert answers == ([(mb.CONNACK, NOT_LET_IN[place])] if level == 5 else [])


@pytest.mark.clause("MQTT5-1.5.4-3", "MQTT311-1.5.3-3", "MQTT5-4.7.3-4", "MQTT311-4.7.3-4")
@pytest.mark.parametrize(
    "name", ids=ascii, argvalues=["\ufeff", "\ufeffa", "a\ufeff", "\u00e4", "a\u0308", "\u00c5", "\u212b", "\U0001d11e"]
)
def test_no_character_is_skipped_or_normalised(server: Server, level: int, name: str) -> None:
    """U+FEFF is a character like any other, and two ways to write ä are two topics."""
    topic = f"{fresh('t')}/{name}"
    subscriber = server.connect(level=level)
    subscriber.subscribe(topic)
    other = server.connect(level=level)
    other.subscribe(topic.replace("\ufeff", "") + "/")
    publisher = server.connect(level=level)

    publisher.publish(topic, b"here")
    publisher.publish(topic.replace(name, ALIKE.get(name, "x")), b"elsewhere")

    assert [(got.topic, got.payload) for got in subscriber.messages()] == [(topic, b"here")]
    assert other.messages() == []


@pytest.mark.clause("MQTT5-1.5.5-1")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\xc0\x80\x00", id="remaining length", marks=LONGER),
        pytest.param(b"\x30\x84\x00\x00\x01t\x00", id="remaining length of PUBLISH", marks=LONGER),
        pytest.param(mb.packet(0x30, mb.text("t"), b"\x80\x00"), id="property length"),
        pytest.param(mb.packet(0x30, mb.text("t"), b"\x03\x81\x00\x01"), id="property identifier"),
        pytest.param(mb.packet(0x82, b"\0\1", b"\x03\x0b\x81\x00", mb.text("f"), b"\0"), id="subscription identifier"),
    ],
)  # fmt: skip
def test_a_number_longer_than_it_need_be_is_malformed(server: Server, sent: bytes) -> None:
    """One number has one form, so that two programs agree on where a packet ends."""
    peer = server.connect()

    peer.send(sent)

    peer.rejected(0x81, 0x82)


@pytest.mark.clause("MQTT5-1.5.5-1")
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x30\xff\xff\xff\xff\x01", id="remaining length"),
        pytest.param(b"\x30\x80\x80\x80\x80\x01", id="remaining length of zeros"),
        pytest.param(mb.packet(0x30, mb.text("t"), b"\xff\xff\xff\xff\x01" + bytes(9)), id="property length"),
        pytest.param(
            mb.packet(0x82, b"\0\1", b"\x06\x0b\xff\xff\xff\xff\x01", mb.text("f"), b"\0"), id="subscription id"
        ),
    ],
)
def test_a_number_of_more_than_four_bytes_is_malformed(server: Server, sent: bytes) -> None:
    """Nobody waits for the end of a number that has none."""
    peer = server.connect()

    peer.send(sent)

    peer.rejected(0x81, 0x82, 0x95)


@pytest.mark.clause("MQTT311-4.8.0-1")
def test_a_remaining_length_of_five_bytes_ends_a_3_1_1_connection(server: Server) -> None:
    """The same in 3.1.1, where the close says it all."""
    peer = server.connect(level=4)

    peer.send(b"\x30\xff\xff\xff\xff\x01")

    peer.rejected()


@pytest.mark.clause("MQTT5-4.2.0-1", "MQTT311-7.1.1-1")
@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_385, 131_072])
def test_packets_of_every_length_arrive_whole(server: Server, level: int, size: int) -> None:
    """Around every length at which the remaining length takes one byte more, both ways."""
    topic = fresh("t")
    subscriber = server.connect(level=level)
    subscriber.subscribe(topic)
    overhead = 2 + len(topic) + 2 + (level == 5)
    payload = bytes(max(0, size - overhead))

    server.connect(level=level).publish(topic, payload)

    (got,) = subscriber.messages()
    assert got.payload == payload
    assert got.wire[1:].startswith(mb.varint(len(got.body)))


@pytest.mark.clause("MQTT5-2.2.2-1")
def test_answers_without_properties_say_so_by_a_length_of_zero(server: Server) -> None:
    """Property Length may be left out only where the packet's section says so."""
    peer = server.connect()
    topic = fresh("t")

    suback = peer.ask(mb.subscribe((topic, 0), packet_id=5), kind=mb.SUBACK)
    unsuback = peer.ask(mb.unsubscribe(topic, packet_id=6), kind=mb.UNSUBACK)
    peer.subscribe((topic, 0))
    peer.send(mb.publish(topic, b"p"))
    got = peer.expect(mb.PUBLISH)

    assert suback.wire == b"\x90\x04\0\5\0\0"
    assert unsuback.wire == b"\xb0\x04\0\6\0\0"
    assert got.wire == mb.packet(0x30, mb.text(topic), b"\0p")
