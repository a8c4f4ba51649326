"""The decoder's promise: the same packets whatever the chunks, at a bounded cost, with at most one packet held."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fieldgate.mqtt.codec_decode as codec_decode
from fieldgate.mqtt.codec import (
    PUBACKS,
    CodecError,
    Decoder,
    MalformedPacket,
    PacketTooLarge,
    encode,
    encode_publish,
)
from fieldgate.mqtt.packets import Connect, Packet, PingReq, PubAck, Publish, Reason
from mqtt_packets import client_samples, client_side, packets, server_samples, server_side, wire

SIDES = [
    pytest.param(4, True, id="3.1.1 client"),
    pytest.param(5, True, id="5 client"),
    pytest.param(4, False, id="3.1.1 server"),
    pytest.param(5, False, id="5 server"),
]


def _samples(version: int, from_client: bool) -> list[Packet]:
    return client_samples(version) if from_client else server_samples(version)


def _fresh(version: int, from_client: bool) -> Decoder:
    return server_side() if from_client else client_side(version)


@pytest.mark.parametrize(("version", "from_client"), SIDES)
def test_a_stream_of_every_packet_decodes_to_what_was_encoded(version: int, from_client: bool):
    """All packets of one side in one read, as after a stall of the network."""
    sent = _samples(version, from_client)

    got = _fresh(version, from_client).feed(wire(sent, version))

    assert got == sent


@pytest.mark.parametrize(("version", "from_client"), SIDES)
def test_a_cut_at_any_byte_changes_nothing(version: int, from_client: bool):
    """TCP may cut anywhere; the packets are the same, and each comes as soon as its last byte does."""
    sent = _samples(version, from_client)
    stream = wire(sent, version)
    ends = [len(wire(sent[: count + 1], version)) for count in range(len(sent))]

    for cut in range(len(stream) + 1):
        decoder = _fresh(version, from_client)
        before = decoder.feed(stream[:cut])
        after = decoder.feed(stream[cut:])

        assert before + after == sent
        assert len(before) == sum(end <= cut for end in ends)


@pytest.mark.parametrize(("version", "from_client"), SIDES)
def test_one_byte_at_a_time_gives_the_same_packets(version: int, from_client: bool):
    """The slowest of senders is understood like any other."""
    sent = _samples(version, from_client)
    decoder = _fresh(version, from_client)

    got = [packet for byte in wire(sent, version) for packet in decoder.feed(bytes((byte,)))]

    assert got == sent
    assert decoder.is_between_packets


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_chunking_gives_the_same_packets(data: st.DataObject):
    """What is on the fast path, what misses it and what is held over must agree, in any mixture."""
    version = data.draw(st.sampled_from((4, 5)))
    from_client = data.draw(st.booleans())
    sent = data.draw(st.lists(packets(version, from_client=from_client), max_size=8))
    stream = b"".join(encode(packet, version) for packet in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = server_side(version) if from_client else client_side(version)

    got: list[Packet] = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += decoder.feed(stream[start:stop])

    assert got == sent


def test_the_connect_decides_the_version_of_what_follows_in_the_same_read():
    """A client need not wait for the CONNACK [3.1.4]; a PUBLISH behind the CONNECT is of its version."""
    for version in (4, 5):
        decoder = server_side()
        sent = [Connect("c", version), Publish("t", b"x", 1, packet_id=1), Publish("t", b"y", 1, packet_id=2)]

        got = decoder.feed(wire(sent, version))

        assert got == sent
        assert decoder.version == version


def test_mqtt_3_1_is_read_so_that_it_can_be_refused():
    """A client of 2010 deserves a CONNACK with "unacceptable protocol version", not silence."""
    decoder = server_side()

    got = decoder.feed(encode(Connect("old", 3), 3))

    assert got == [Connect("old", 3)]
    assert decoder.version == 3


@pytest.mark.parametrize(("level", "wording"), [(6, 5), (127, 5), (0x84, 4), (0, 4), (3, 3)])
def test_an_unknown_level_says_in_which_version_to_refuse(level: int, wording: int):
    """0x84 is what a mosquitto bridge says first; it goes on with 4 when it is refused in the words of 3.1.1."""
    decoder = server_side()

    with pytest.raises(MalformedPacket) as caught:
        decoder.feed(b"\x10\x0d\x00\x04MQTT" + bytes((level, 2, 0, 60)) + b"\x00\x01c")

    assert caught.value.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION
    assert decoder.version == wording


def test_a_malformed_connect_still_tells_the_version():
    """The session must know whether to word its CONNACK in 3.1.1 or 5."""
    decoder = server_side()

    with pytest.raises(MalformedPacket):
        decoder.feed(b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x01")

    assert decoder.version == 5


def test_a_packet_over_the_limit_is_refused_at_its_header():
    """256 MB announced by a first packet must cost nothing (CVE-2023-0809)."""
    decoder = server_side(5, max_packet_bytes=1_000)

    with pytest.raises(PacketTooLarge) as caught:
        decoder.feed(b"\x30\xff\xff\xff\x7f")

    assert caught.value.reason is Reason.PACKET_TOO_LARGE
    assert decoder.is_between_packets


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("is_whole", [True, False])
def test_the_limit_counts_the_whole_packet_whether_it_came_at_once_or_not(extra: int, is_whole: bool):
    """Maximum Packet Size counts the header too [3.1.2.11.4], and a large read must not get more through."""
    packet = encode_publish(b"t", b"x" * 293, 1, qos=1)
    decoder = server_side(4, max_packet_bytes=len(packet) - extra)
    first = packet if is_whole else packet[:10]

    if extra:
        with pytest.raises(PacketTooLarge):
            decoder.feed(b"\xc0\x00" + first)
    else:
        assert len(decoder.feed(b"\xc0\x00" + first) + decoder.feed(packet[len(first) :])) == 2


@pytest.mark.parametrize("bad", [0x36, 0x38, 0x00, 0x80, 0xF1, 0x20])
def test_a_bad_first_byte_is_refused_before_the_body_comes(bad: bytes):
    """A hostile header must not make us wait for, and hold, 256 KiB of body."""
    with pytest.raises(MalformedPacket):
        server_side(5).feed(bytes((bad,)))


@pytest.mark.parametrize("first", [b"\x30\x07", b"\xc0\x00", b"\x40\x02\x00\x01", b"\x30"])
def test_nothing_is_accepted_before_the_connect(first: bytes):
    """[MQTT-3.1.0-1]; limits come before authentication."""
    with pytest.raises(MalformedPacket) as caught:
        server_side().feed(first)

    assert caught.value.reason is Reason.PROTOCOL_ERROR


def test_the_packets_before_a_bad_one_are_not_lost():
    """They were received: a PUBLISH before the fault may be acknowledged, its sender may not repeat it."""
    decoder = server_side(4)
    good = [Publish("t", b"x", 1, packet_id=9), PingReq()]

    with pytest.raises(CodecError) as caught:
        decoder.feed(wire(good, 4) + b"\x36\x00")

    assert caught.value.packets == good


def test_after_an_error_the_stream_is_lost():
    """Nobody knows where the next packet begins; guessing would make packets out of payload."""
    decoder = server_side(4)
    with pytest.raises(MalformedPacket):
        decoder.feed(b"\x00\x00")

    with pytest.raises(CodecError) as caught:
        decoder.feed(b"\xc0\x00")

    assert caught.value.reason is Reason.MALFORMED_PACKET
    assert caught.value.packets == []


def test_a_length_longer_than_needed_is_read_in_3_1_1_and_refused_in_5():
    """[MQTT-1.5.5-1] is new in MQTT 5; small devices write a 3.1.1 header of fixed size."""
    assert server_side(4).feed(b"\xc0\x80\x00\xc0\x80\x80\x00") == [PingReq(), PingReq()]
    assert server_side(4).feed(b"\x30\x84\x00\x00\x01tx") == [Publish("t", b"x")]
    for stream in (b"\xc0\x80\x00", b"\x30\x84\x80\x00\x00\x01t\x00", b"\x30\x84\x00"):
        with pytest.raises(MalformedPacket):
            server_side(5).feed(stream)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("cut", range(5))
def test_a_length_of_five_bytes_is_refused(version: int, cut: int):
    """[2.1.4] allows four; the fifth byte need not come for us to know."""
    decoder = server_side(version)
    stream = b"\x30\x80\x80\x80\x80"

    decoder.feed(stream[:cut])
    with pytest.raises(MalformedPacket) as caught:
        decoder.feed(stream[cut:])

    assert caught.value.reason is Reason.MALFORMED_PACKET


def test_a_run_of_pubacks_is_read_in_any_cut():
    """An upstream acknowledges in runs; they are read at once and must come out like single ones."""
    decoder = client_side(4)
    stream = PUBACKS[: 4 * 300] + b"\xd0\x00" + PUBACKS[-8:]

    got = decoder.feed(stream[:601]) + decoder.feed(stream[601:])

    assert [packet.packet_id for packet in got if isinstance(packet, PubAck)] == [*range(1, 301), 65_534, 65_535]
    assert len(got) == 303


def test_a_puback_for_id_0_in_a_run_is_refused_after_those_before_it():
    """[MQTT-2.2.1-3] holds on the fast path too."""
    with pytest.raises(MalformedPacket) as caught:
        client_side(4).feed(PUBACKS[:8] + b"\x40\x02\x00\x00" + PUBACKS[:4])

    assert caught.value.reason is Reason.PROTOCOL_ERROR
    assert caught.value.packets == [PubAck(1), PubAck(2)]


@pytest.mark.parametrize("version", [4, 5])
def test_the_fast_path_refuses_what_the_slow_one_refuses(version: int):
    """A topic in the cache must not let a packet through that is otherwise wrong."""
    good = encode(Publish("topic", b"", 1, packet_id=1), version)
    bad = {
        "id 0": good[:-2] + b"\0\0" if version == 4 else good[:-3] + b"\0\0\0",
        "no id": b"\x32\x07\x00\x05topic",
        "half an id": b"\x32\x08\x00\x05topic\x01",
        "topic longer than the packet": b"\x32\x05\x00\x05topic\x00\x01",
        "no topic": b"\x32\x01\x00",
        "dup at QoS 0": b"\x38\x07\x00\x05topic",
    }
    if version == 5:
        bad |= {"no properties": b"\x32\x09\x00\x05topic\x00\x01", "none at QoS 0": b"\x30\x07\x00\x05topic"}

    for packet in bad.values():
        for first in (b"", good):
            decoder = server_side(version)
            decoder.feed(first)
            with pytest.raises(MalformedPacket):
                decoder.feed(packet)


def test_the_topic_cache_is_bounded():
    """A client that never repeats a topic must not grow our memory, and must not get a wrong topic."""
    decoder = server_side(4)
    sent = [f"{'é' * (number % 90)}/{number}" for number in range(1_000)]

    got = [
        packet.topic
        for topic in sent
        for packet in decoder.feed(encode(Publish(topic, b"", 1, packet_id=1), 4))
        if isinstance(packet, Publish)
    ]

    assert got == sent
    assert len(decoder._topics) <= 128
    assert max(map(len, decoder._topics)) <= 130


def test_a_mutant_without_the_bound_on_the_cache_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """The test above looks at the cache; this shows that it would see one that grows."""
    monkeypatch.setattr(codec_decode, "_CACHED_TOPICS", 10_000)

    with pytest.raises(AssertionError):
        test_the_topic_cache_is_bounded()


def test_a_large_packet_byte_by_byte_costs_linear_time():
    """256 KiB in chunks of one byte: joining on every feed would take minutes (a slowloris with a fat packet)."""
    packet = encode_publish(b"t", b"x" * 262_000, 1, qos=1)

    def cost_s(size: int) -> float:
        part = encode_publish(b"t", packet[:size], 1, qos=1)
        decoder = server_side(4)
        start_s = time.process_time()
        for at in range(len(part) - 1):
            decoder.feed(part[at : at + 1])
        assert len(decoder.feed(part[-1:])) == 1
        return time.process_time() - start_s

    small_s = min(cost_s(32_000) for _ in range(2))
    large_s = min(cost_s(256_000) for _ in range(2))

    assert large_s < 8 * 3 * small_s  # 8 for the size, 3 for the noise; a quadratic cost would be 64


class _Quadratic(Decoder):
    """A mutant: it looks at all that is held whenever a byte comes."""

    def feed(self, chunk: bytes) -> list[Packet]:
        self._wanted = 0
        return super().feed(chunk)


@pytest.mark.parametrize("decoder_class", [Decoder, pytest.param(_Quadratic, marks=pytest.mark.xfail(strict=True))])
def test_bytes_are_looked_at_a_bounded_number_of_times(decoder_class: type[Decoder], monkeypatch: pytest.MonkeyPatch):
    """The same by counting, which no busy machine can disturb; a mutant shows that it would be noticed."""
    looked_at: list[int] = []
    decode = Decoder._decode
    monkeypatch.setattr(
        Decoder, "_decode", lambda self, data, packets: looked_at.append(len(data)) or decode(self, data, packets)
    )
    stream = encode_publish(b"t", b"x" * 20_000, 1, qos=1) + encode_publish(b"t", b"y" * 5_000, 2, qos=1)
    decoder = decoder_class(version=4, max_packet_bytes=1 << 18, from_client=True)

    got = [packet for at in range(0, len(stream), 3) for packet in decoder.feed(stream[at : at + 3])]

    assert len(got) == 2
    assert sum(looked_at) < 3 * len(stream)


def test_an_unfinished_packet_holds_no_more_than_its_bytes():
    """Many clients may each trickle a packet; what one costs is what it has sent, within the slack of a buffer."""
    decoder = server_side(4)
    decoder.feed(b"\x32\x80\x80\x0c\x00\x01t\x00\x01")
    tracemalloc.start()
    try:
        for _ in range(50_000):
            decoder.feed(b"xy")
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held_bytes < 150_000
