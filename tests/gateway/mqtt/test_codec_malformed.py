"""Packets that break the specification, and the reason code of each, which our CONNACK or DISCONNECT says."""

from __future__ import annotations

import time

import pytest

from fieldgate.mqtt.codec import CodecError, Decoder, MalformedPacket, PacketTooLarge, encode
from fieldgate.mqtt.packets import ConnAck, Disconnect, Properties, Publish, Reason
from fieldgate.mqtt.wire import pack_varint
from mqtt_packets import client_samples, client_side, server_samples, server_side

MALFORMED, PROTOCOL, VERSION = 0x81, 0x82, 0x84

# What a CONNECT has before its client id, by level: name, level, flags, keep-alive, properties.
HEAD_4 = "0004 4d515454 04"
HEAD_5 = "0004 4d515454 05"

# name: (body after the first byte's length, in hex; the reason code)
CONNECTS: dict[str, tuple[str, int]] = {
    "name MQTX": ("0004 4d515458 04 02 003c 0000", VERSION),
    "name MQTT of level 3": ("0004 4d515454 03 02 003c 0000", VERSION),
    "name MQIsdp of level 4": ("0006 4d5149736470 04 02 003c 0000", VERSION),
    "name mqtt": ("0004 6d717474 04 02 003c 0000", VERSION),
    "level 6": ("0004 4d515454 06 02 003c 00 0000", VERSION),
    "name is not UTF-8": ("0004 4d5154ff 04 02 003c 0000", MALFORMED),
    "nothing": ("", MALFORMED),
    "name cut": ("0004 4d51", MALFORMED),
    "no level": ("0004 4d515454", MALFORMED),
    "no flags": (HEAD_4, MALFORMED),
    "no keep-alive": (f"{HEAD_4} 02", MALFORMED),
    "half a keep-alive": (f"{HEAD_4} 02 00", MALFORMED),
    "no client id": (f"{HEAD_4} 02 003c", MALFORMED),
    "client id cut": (f"{HEAD_4} 02 003c 0003 6161", MALFORMED),
    "client id with NUL": (f"{HEAD_4} 02 003c 0001 00", MALFORMED),
    "client id with a surrogate": (f"{HEAD_4} 02 003c 0003 eda080", MALFORMED),
    "client id overlong UTF-8": (f"{HEAD_4} 02 003c 0002 c080", MALFORMED),
    "client id above U+10FFFF": (f"{HEAD_4} 02 003c 0004 f4908080", MALFORMED),
    "reserved flag [MQTT-3.1.2-3]": (f"{HEAD_4} 03 003c 0000", MALFORMED),
    "will QoS without will": (f"{HEAD_4} 0a 003c 0000", MALFORMED),
    "will retain without will": (f"{HEAD_4} 22 003c 0000", MALFORMED),
    "will QoS 3": (f"{HEAD_4} 1e 003c 0000 0001 77 0000", MALFORMED),
    "no will topic": (f"{HEAD_4} 06 003c 0000", MALFORMED),
    "empty will topic": (f"{HEAD_4} 06 003c 0000 0000 0000", PROTOCOL),
    "will topic with a wildcard": (f"{HEAD_4} 06 003c 0000 0001 2b 0000", MALFORMED),
    "no will payload": (f"{HEAD_4} 06 003c 0000 0001 77", MALFORMED),
    "no user name": (f"{HEAD_4} 82 003c 0000", MALFORMED),
    "no password": (f"{HEAD_4} c2 003c 0000 0001 75", MALFORMED),
    "password alone in 3.1.1": (f"{HEAD_4} 42 003c 0000 0001 70", MALFORMED),
    "trailing byte": (f"{HEAD_4} 02 003c 0000 00", MALFORMED),
    "trailing user name": (f"{HEAD_4} 02 003c 0000 0001 75", MALFORMED),
    "no property length": (f"{HEAD_5} 02 003c", MALFORMED),
    "properties cut": (f"{HEAD_5} 02 003c 05 11 0000", MALFORMED),
    "receive maximum 0": (f"{HEAD_5} 02 003c 03 210000 0000", PROTOCOL),
    "maximum packet size 0": (f"{HEAD_5} 02 003c 05 2700000000 0000", PROTOCOL),
    "request problem information 2": (f"{HEAD_5} 02 003c 02 1702 0000", PROTOCOL),
    "request response information 2": (f"{HEAD_5} 02 003c 02 1902 0000", PROTOCOL),
    "session expiry twice": (f"{HEAD_5} 02 003c 0a 1100000001 1100000001 0000", PROTOCOL),
    "authentication data alone": (f"{HEAD_5} 02 003c 04 16000164 0000", PROTOCOL),
    "will property outside the will": (f"{HEAD_5} 02 003c 05 1800000001 0000", PROTOCOL),
    "will delay twice": (f"{HEAD_5} 06 003c 00 0000 0a 1800000001 1800000001 0001 77 0000", PROTOCOL),
    "topic alias in the will": (f"{HEAD_5} 06 003c 00 0000 03 230001 0001 77 0000", PROTOCOL),
    "unknown property": (f"{HEAD_5} 02 003c 02 0401 0000", MALFORMED),
}

# name: (from_client, first byte and body in hex, reason code); the length is put between
BOTH: dict[str, tuple[bool, str, int]] = {
    "type 0": (True, "00", MALFORMED),
    "second CONNECT [MQTT-3.1.0-2]": (True, f"10 {HEAD_4} 02 003c 0000", PROTOCOL),
    "CONNACK to a server": (True, "20 0000", PROTOCOL),
    "SUBACK to a server": (True, "90 0001 00", PROTOCOL),
    "UNSUBACK to a server": (True, "b0 0001", PROTOCOL),
    "PINGRESP to a server": (True, "d0", PROTOCOL),
    "CONNACK to a server with flags [MQTT-2.1.3-1]": (True, "21 0000", MALFORMED),
    "SUBACK to a server with flags": (True, "92 0001 00", MALFORMED),
    "UNSUBACK to a server with flags": (True, "b8 0001", MALFORMED),
    "PINGRESP to a server with flags": (True, "d1", MALFORMED),
    "CONNECT to a client": (False, f"10 {HEAD_4} 02 003c 0000", PROTOCOL),
    "SUBSCRIBE to a client": (False, "82 0001 0001 61 00", PROTOCOL),
    "UNSUBSCRIBE to a client": (False, "a2 0001 0001 61", PROTOCOL),
    "PINGREQ to a client": (False, "c0", PROTOCOL),
    "PUBLISH QoS 3 [MQTT-3.3.1-4]": (True, "36 0001 61 0001", MALFORMED),
    "PUBLISH QoS 3 DUP RETAIN": (True, "3f 0001 61 0001", MALFORMED),
    "PUBLISH DUP at QoS 0 [MQTT-3.3.1-2]": (True, "38 0001 61", MALFORMED),
    "PUBACK flags": (True, "41 0001", MALFORMED),
    "PUBREC flags": (True, "52 0001", MALFORMED),
    "PUBREL flags 0": (True, "60 0001", MALFORMED),
    "PUBREL flags 3": (True, "63 0001", MALFORMED),
    "PUBCOMP flags": (True, "74 0001", MALFORMED),
    "SUBSCRIBE flags 0": (True, "80 0001 0001 61 00", MALFORMED),
    "UNSUBSCRIBE flags 0": (True, "a0 0001 0001 61", MALFORMED),
    "PINGREQ flags": (True, "c8", MALFORMED),
    "DISCONNECT flags": (True, "e1", MALFORMED),
    "CONNACK flags": (False, "21 0000", MALFORMED),
    "SUBACK flags": (False, "92 0001 00", MALFORMED),
    "UNSUBACK flags": (False, "b2 0001", MALFORMED),
    "PINGRESP flags": (False, "d4", MALFORMED),
    "PINGREQ with a body": (True, "c0 00", MALFORMED),
    "PINGRESP with a body": (False, "d0 00", MALFORMED),
    "PUBLISH without a topic": (True, "30", MALFORMED),
    "PUBLISH topic cut": (True, "30 0002 61", MALFORMED),
    "PUBLISH without an id": (True, "32 0001 61", MALFORMED),
    "PUBLISH half an id": (True, "32 0001 61 00", MALFORMED),
    "PUBLISH topic with #": (True, "30 0003 612f23 00", MALFORMED),
    "PUBLISH topic with +": (True, "30 0003 2b2f61 00", MALFORMED),
    "PUBLISH topic with NUL": (True, "30 0001 00 00", MALFORMED),
    "PUBLISH topic with a surrogate": (True, "30 0003 edbfbf 00", MALFORMED),
    "PUBLISH topic not UTF-8": (True, "30 0001 ff 00", MALFORMED),
    "PUBACK empty": (True, "40", MALFORMED),
    "PUBACK half an id": (True, "40 00", MALFORMED),
    "PUBACK id 0": (True, "40 0000", PROTOCOL),
    "PUBREC id 0": (True, "50 0000", PROTOCOL),
    "PUBREL id 0": (True, "62 0000", PROTOCOL),
    "PUBCOMP id 0": (True, "70 0000", PROTOCOL),
    "CONNACK without a code": (False, "20 00", MALFORMED),
    "CONNACK reserved flags [MQTT-3.2.2-1]": (False, "20 0200 00", MALFORMED),
}

ONLY_4: dict[str, tuple[bool, str, int]] = {
    "AUTH": (True, "f0", MALFORMED),
    "DISCONNECT to a client": (False, "e0", PROTOCOL),
    "DISCONNECT with a reason": (True, "e0 00", MALFORMED),
    "PUBLISH topic empty [MQTT-4.7.3-1]": (True, "30 0000 78", PROTOCOL),
    "PUBLISH id 0": (True, "32 0001 61 0000", PROTOCOL),
    "PUBACK with a reason": (True, "40 0001 00", MALFORMED),
    "PUBREL with a reason": (True, "62 0001 00", MALFORMED),
    "SUBSCRIBE empty [MQTT-3.8.3-3]": (True, "82 0001", PROTOCOL),
    "SUBSCRIBE id 0": (True, "82 0000 0001 61 00", PROTOCOL),
    "SUBSCRIBE QoS 3": (True, "82 0001 0001 61 03", PROTOCOL),
    "SUBSCRIBE reserved bits": (True, "82 0001 0001 61 04", MALFORMED),
    "SUBSCRIBE without options": (True, "82 0001 0001 61", MALFORMED),
    "SUBSCRIBE filter a#": (True, "82 0001 0002 6123 00", MALFORMED),
    "SUBSCRIBE filter empty": (True, "82 0001 0000 00", MALFORMED),
    "UNSUBSCRIBE empty [MQTT-3.10.3-2]": (True, "a2 0001", PROTOCOL),
    "UNSUBSCRIBE id 0": (True, "a2 0000 0001 61", PROTOCOL),
    "UNSUBSCRIBE filter #/a": (True, "a2 0001 0003 232f61", MALFORMED),
    "UNSUBSCRIBE filter cut": (True, "a2 0001 0003 23", MALFORMED),
    "CONNACK code 6": (False, "20 0006", PROTOCOL),
    "CONNACK refuses with a session [MQTT-3.2.2-4]": (False, "20 0105", PROTOCOL),
    "CONNACK too long": (False, "20 0000 00", MALFORMED),
    "SUBACK code 3": (False, "90 0001 03", PROTOCOL),
    "SUBACK empty": (False, "90 0001", PROTOCOL),
    "SUBACK id 0": (False, "90 0000 00", PROTOCOL),
    "UNSUBACK with a code": (False, "b0 0001 00", MALFORMED),
    "UNSUBACK id 0": (False, "b0 0000", PROTOCOL),
}

ONLY_5: dict[str, tuple[bool, str, int]] = {
    "PUBLISH topic empty without alias": (True, "30 0000 00 78", PROTOCOL),
    "PUBLISH topic empty with another property": (True, "30 0000 02 0101 78", PROTOCOL),
    "PUBLISH id 0": (True, "32 0001 61 0000 00", PROTOCOL),
    "PUBLISH without properties": (True, "30 0001 61", MALFORMED),
    "PUBLISH topic alias 0 [MQTT-3.3.2-8]": (True, "30 0001 61 03 230000", 0x94),
    "PUBLISH topic alias twice": (True, "30 0001 61 06 230001 230002", PROTOCOL),
    "PUBLISH payload format 2": (True, "30 0001 61 02 0102", PROTOCOL),
    "PUBLISH payload format twice": (True, "30 0001 61 04 0101 0101", PROTOCOL),
    "PUBLISH message expiry twice": (True, "30 0001 61 0a 0200000001 0200000001", PROTOCOL),
    "PUBLISH content type twice": (True, "30 0001 61 06 030000 030000", PROTOCOL),
    "PUBLISH content type with NUL": (True, "30 0001 61 04 03000100", MALFORMED),
    "PUBLISH response topic with # [MQTT-3.3.2-14]": (True, "30 0001 61 04 08000123", PROTOCOL),
    "PUBLISH response topic empty": (True, "30 0001 61 03 080000", PROTOCOL),
    "PUBLISH correlation data twice": (True, "30 0001 61 06 090000 090000", PROTOCOL),
    "PUBLISH subscription id from a client [MQTT-3.3.4-6]": (True, "30 0001 61 02 0b01", PROTOCOL),
    "PUBLISH subscription id 0": (False, "30 0001 61 02 0b00", PROTOCOL),
    "PUBLISH subscription id too long": (False, "30 0001 61 03 0b8100", MALFORMED),
    "PUBLISH subscription id of 5 bytes": (False, "30 0001 61 06 0b8080808001", MALFORMED),
    "PUBLISH session expiry": (True, "30 0001 61 05 1100000001", PROTOCOL),
    "PUBLISH session expiry without its value": (True, "30 0001 61 01 11", MALFORMED),
    "PUBLISH session expiry cut": (True, "30 0001 61 03 110000", MALFORMED),
    "PUBLISH property 0": (True, "30 0001 61 02 0000", MALFORMED),
    "PUBLISH property 127": (True, "30 0001 61 02 7f00", MALFORMED),
    "PUBLISH property 300": (True, "30 0001 61 03 ac0200", MALFORMED),
    "PUBLISH property length too long [MQTT-1.5.5-1]": (True, "30 0001 61 8000", MALFORMED),
    "PUBLISH property length of 5 bytes": (True, "30 0001 61 8080808001", MALFORMED),
    "PUBLISH property length over the end": (True, "30 0001 61 05 0101", MALFORMED),
    "PUBLISH property over its block": (True, "30 0001 61 01 0101", MALFORMED),
    "PUBLISH four byte property over its block": (True, "30 0001 61 03 020000 0000", MALFORMED),
    "PUBLISH user property without value": (True, "30 0001 61 04 26000161", MALFORMED),
    "PUBLISH user property value cut": (True, "30 0001 61 06 26000161 00 01 61", MALFORMED),
    "PUBLISH user property not UTF-8": (True, "30 0001 61 06 260001ff 0000", MALFORMED),
    "PUBACK reason unknown": (True, "40 0001 01", PROTOCOL),
    "PUBREC reason of PUBCOMP": (True, "50 0001 92", PROTOCOL),
    "PUBREL reason of PUBACK": (True, "62 0001 10", PROTOCOL),
    "PUBCOMP reason unknown": (True, "70 0001 80", PROTOCOL),
    "PUBACK trailing": (True, "40 0001 00 00 00", MALFORMED),
    "PUBACK reason string twice": (True, "40 0001 00 06 1f0000 1f0000", PROTOCOL),
    "PUBACK content type": (True, "40 0001 00 03 030000", PROTOCOL),
    "SUBSCRIBE without properties": (True, "82 0001", MALFORMED),
    "SUBSCRIBE empty [MQTT-3.8.3-2]": (True, "82 0001 00", PROTOCOL),
    "SUBSCRIBE id 0": (True, "82 0000 00 0001 61 00", PROTOCOL),
    "SUBSCRIBE QoS 3": (True, "82 0001 00 0001 61 03", PROTOCOL),
    "SUBSCRIBE retain handling 3": (True, "82 0001 00 0001 61 30", PROTOCOL),
    "SUBSCRIBE reserved bit 6 [MQTT-3.8.3-5]": (True, "82 0001 00 0001 61 40", MALFORMED),
    "SUBSCRIBE reserved bit 7": (True, "82 0001 00 0001 61 80", MALFORMED),
    "SUBSCRIBE no-local shared [MQTT-3.8.3-4]": (True, "82 0001 00 000a 24736861 72652f672f61 04", PROTOCOL),
    "SUBSCRIBE subscription id 0": (True, "82 0001 02 0b00 0001 61 00", PROTOCOL),
    "SUBSCRIBE two subscription ids": (True, "82 0001 04 0b010b01 0001 61 00", PROTOCOL),
    "SUBSCRIBE reason string": (True, "82 0001 03 1f0000 0001 61 00", PROTOCOL),
    "UNSUBSCRIBE empty [MQTT-3.10.3-2]": (True, "a2 0001 00", PROTOCOL),
    "UNSUBSCRIBE subscription id": (True, "a2 0001 02 0b01 0001 61", PROTOCOL),
    "DISCONNECT reason unknown": (True, "e0 01", PROTOCOL),
    "DISCONNECT trailing": (True, "e0 00 00 00", MALFORMED),
    "DISCONNECT session expiry from a server [MQTT-3.14.2-2]": (False, "e0 00 05 1100000001", PROTOCOL),
    "DISCONNECT receive maximum": (True, "e0 00 03 210001", PROTOCOL),
    "AUTH flags": (True, "f1", MALFORMED),
    "AUTH reason unknown": (True, "f0 01 00", PROTOCOL),
    "AUTH without a method": (True, "f0 18 00", PROTOCOL),
    "AUTH with data and no method": (True, "f0 18 04 16000164", PROTOCOL),
    "AUTH without properties": (True, "f0 18", MALFORMED),
    "CONNACK short and accepting": (False, "20 0000", MALFORMED),
    "CONNACK short with a code of MQTT 5": (False, "20 0087", MALFORMED),
    "CONNACK short with a session": (False, "20 0101", MALFORMED),
    "CONNACK reason unknown": (False, "20 0001 00", PROTOCOL),
    "CONNACK refuses with a session [MQTT-3.2.2-6]": (False, "20 0187 00", PROTOCOL),
    "CONNACK maximum QoS 2": (False, "20 0000 02 2402", PROTOCOL),
    "CONNACK retain available 2": (False, "20 0000 02 2502", PROTOCOL),
    "CONNACK wildcard available 2": (False, "20 0000 02 2802", PROTOCOL),
    "CONNACK subscription ids available 2": (False, "20 0000 02 2902", PROTOCOL),
    "CONNACK shared available 2": (False, "20 0000 02 2a02", PROTOCOL),
    "CONNACK receive maximum 0": (False, "20 0000 03 210000", PROTOCOL),
    "CONNACK authentication data alone": (False, "20 0000 04 16000164", PROTOCOL),
    "CONNACK request problem information": (False, "20 0000 02 1701", PROTOCOL),
    "SUBACK empty": (False, "90 0001 00", PROTOCOL),
    "SUBACK reason unknown": (False, "90 0001 00 03", PROTOCOL),
    "UNSUBACK empty": (False, "b0 0001 00", PROTOCOL),
    "UNSUBACK reason unknown": (False, "b0 0001 00 80 01", PROTOCOL),
}


def _framed(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes((first, len(body))) + body


def _raises(decoder: Decoder, stream: bytes) -> Reason:
    with pytest.raises(CodecError) as caught:
        decoder.feed(stream)
    assert str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", CONNECTS)
def test_a_bad_connect_has_its_reason(name: str):
    """[3.1]; the first thing that a stranger can send."""
    body, reason = CONNECTS[name]

    assert _raises(server_side(), _framed(0x10, bytes.fromhex(body))) == reason


@pytest.mark.parametrize(
    ("version", "name", "case"),
    [
        pytest.param(version, name, case, id=f"v{version} {name}")
        for version, table in ((4, BOTH | ONLY_4), (5, BOTH | ONLY_5))
        for name, case in table.items()
    ],
)
def test_a_bad_packet_has_its_reason(version: int, name: str, case: tuple[bool, str, int]):
    """[4.13]: one code for what cannot be read, others for what may not be said."""
    from_client, text, reason = case
    raw = bytes.fromhex(text)
    decoder = server_side(version) if from_client else client_side(version)

    assert _raises(decoder, _framed(raw[0], raw[1:])) == reason


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("from_client", [True, False])
def test_a_packet_cut_short_by_its_own_length_is_refused_or_another_packet(version: int, from_client: bool):
    """Every truncation of every sample, its length corrected: none may be read past its end.

    Some prefixes are packets of their own (a shorter payload, fewer filters); those must encode to what they were.
    """
    samples = client_samples(version) if from_client else server_samples(version)
    refused = 0
    for sample in samples[1:]:
        raw = encode(sample, version)
        header = 2 if raw[1] < 128 else 3
        for size in range(len(raw) - header):
            cut = bytes((raw[0], *_length(size))) + raw[header : header + size]
            decoder = server_side(version) if from_client else client_side(version)
            try:
                (packet,) = decoder.feed(cut)
            except MalformedPacket:
                refused += 1
            else:
                assert _same(encode(packet, version), cut)

    assert refused > 20


def _length(size: int) -> bytes:
    return bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))


def _same(ours: bytes, theirs: bytes) -> bool:
    """Whether the bytes are equal but for a success code that may be left out [3.4.2.1], [3.14.2.1]."""
    return ours == theirs or (theirs[-1] == 0 and ours[2:] == theirs[2:-1]) or ours == bytes((theirs[0], 0))


def test_user_properties_are_bounded():
    """Mosquitto spent minutes on them (CVE-2021-41039); the bound is the caller's, its excess is a quota (0x97)."""
    decoder = Decoder(version=5, max_packet_bytes=1 << 18, from_client=True, max_user_properties=3)
    three, four = (encode(Publish("t", b"", properties=Properties(user=(("k", "v"),) * count)), 5) for count in (3, 4))

    assert len(decoder.feed(three)) == 1
    assert _raises(decoder, four) == Reason.QUOTA_EXCEEDED


def test_the_cost_of_user_properties_is_linear():
    """Twice the properties must cost twice, not four times: 256 KiB hold 50,000 of them."""

    def cost_s(count: int) -> float:
        packet = encode(Publish("t", b"", properties=Properties(user=(("k", "v"),) * count)), 5)
        decoder = Decoder(version=5, max_packet_bytes=1 << 20, from_client=True, max_user_properties=count)
        start_s = time.process_time()
        decoder.feed(packet)
        return time.process_time() - start_s

    small_s = min(cost_s(4_000) for _ in range(3))
    large_s = min(cost_s(32_000) for _ in range(3))

    assert large_s < 8 * 3 * small_s  # 8 for the count, 3 for the noise; a quadratic cost would be 64


def test_errors_have_the_class_that_says_whose_limit_it_was():
    """A session treats a packet that is too large as its own decision, a malformed one as the sender's fault."""
    with pytest.raises(PacketTooLarge):
        server_side(4, max_packet_bytes=10).feed(b"\x30\x09")
    with pytest.raises(MalformedPacket):
        server_side(4, max_packet_bytes=10).feed(b"\x36\x09")


def test_the_text_of_an_error_is_bounded_whatever_it_quotes():
    """It goes into a log line and into our DISCONNECT as reason string; 64 KiB of a hostile topic must not."""
    topic = ("\ud7ff#" * 16_000).encode()
    body = len(topic).to_bytes(2, "big") + topic

    with pytest.raises(MalformedPacket) as caught:
        server_side(4).feed(b"\x30" + pack_varint(len(body)) + body)

    assert len(str(caught.value)) <= 200
    encode(Disconnect(0x81, Properties(reason_string=str(caught.value))), 5)


@pytest.mark.parametrize(("code", "reason"), [(1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)])
def test_the_refusal_of_a_3_1_1_server_is_understood_in_5(code: int, reason: int):
    """An uplink that tries MQTT 5 first must learn why it was refused, and fall back [3.1.1: 3.1.2.2]."""
    assert client_side(5).feed(bytes((0x20, 2, 0, code))) == [ConnAck(reason)]
