"""What is encoded is decoded again, for all packets of both versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.codec import PUBACKS, encode, encode_properties, encode_publish
from fieldgate.mqtt.packets import Connect, Packet, Properties, PubAck, Publish
from mqtt_packets import blobs, client_side, connects, packet_ids, packets, properties, publishes, server_side

SIDES = st.tuples(st.sampled_from((4, 5)), st.booleans())


@settings(deadline=None, max_examples=300)
@given(SIDES.flatmap(lambda side: st.tuples(st.just(side), packets(side[0], from_client=side[1]))))
def test_every_packet_survives_the_wire(case: tuple[tuple[int, bool], Packet]):
    """The two halves of the codec are written apart; this holds them together."""
    (version, from_client), packet = case
    decoder = server_side(version) if from_client else client_side(version)

    assert decoder.feed(encode(packet, version)) == [packet]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from((3, 4, 5)).flatmap(connects))
def test_every_connect_survives_the_wire(packet: Connect):
    """CONNECT has the most optional parts, in an order that its flags decide."""
    assert server_side().feed(encode(packet, packet.version)) == [packet]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from((4, 5)).flatmap(lambda v: st.tuples(st.just(v), publishes(v, from_client=True))))
def test_encode_publish_agrees_with_encode(case: tuple[int, Publish]):
    """The hot path and the general one must be one format."""
    version, packet = case
    block = encode_properties(packet.properties) if version == 5 else b""

    fast = encode_publish(
        packet.topic.encode(),
        packet.payload,
        packet.packet_id,
        qos=packet.qos,
        retain=packet.retain,
        dup=packet.dup,
        properties=block,
    )

    assert fast == encode(packet, version)


@pytest.mark.parametrize("size", [0, 115, 116, 117, 16_370, 16_371, 16_372, 70_000, 2_097_200])
def test_every_width_of_the_length_is_written_and_read(size: int):
    """One byte to four bytes of remaining length, at the edges [2.1.4]."""
    packet = Publish("topic", b"x" * size, 1, packet_id=3)
    decoder = server_side(4, max_packet_bytes=1 << 22)

    assert decoder.feed(encode(packet, 4) * 2) == [packet, packet]


@given(packet_ids, st.integers(0, 40))
def test_a_slice_of_pubacks_is_what_encode_says(first: int, count: int):
    """Acknowledging a run is one slice; an error of one here would acknowledge a stranger's message."""
    last = min(first + count, 65_535)

    run = PUBACKS[4 * (first - 1) : 4 * last]

    assert run == b"".join(encode(PubAck(packet_id), 4) for packet_id in range(first, last + 1))
    assert run == b"".join(encode(PubAck(packet_id), 5) for packet_id in range(first, last + 1))


@given(properties("PUBLISH"), blobs)
def test_properties_may_be_encoded_ahead(found: Properties, payload: bytes):
    """An uplink encodes the block once and uses it for many events."""
    packet = encode_publish(b"t", payload, 7, qos=1, properties=encode_properties(found))

    assert server_side(5).feed(packet) == [Publish("t", payload, 1, packet_id=7, properties=found)]


def test_no_properties_is_one_byte():
    """[2.2.2.1]: an empty block is its length, 0."""
    assert encode_properties(None) == encode_properties(Properties()) == b"\0"
