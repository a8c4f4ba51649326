"""Print the codec's cost in µs per operation: ``python tests/bench/codec_speed.py``.

Not a unit test: it says how fast this machine is now. Each figure is the best of several rounds, in process CPU time,
over 64 KiB chunks, the size of one socket read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fieldgate.mqtt.codec import PUBACKS, Decoder, encode, encode_publish
from fieldgate.mqtt.packets import Packet, Properties, Publish

CHUNK_BYTES = 65_536
ROUNDS = 25


def best_us(work: Callable[[], object], operations: int) -> float:
    """Return the least CPU time of one operation, in µs, over several rounds."""
    best_ns = min(_timed_ns(work) for _ in range(ROUNDS))
    return best_ns / operations / 1000


def _timed_ns(work: Callable[[], object]) -> int:
    start_ns = time.process_time_ns()
    work()
    return time.process_time_ns() - start_ns


def decode_us(stream: bytes, count: int, version: int, *, chunk_bytes: int = CHUNK_BYTES) -> float:
    """Return the cost of one packet of ``stream``, fed in chunks."""
    chunks = [stream[at : at + chunk_bytes] for at in range(0, len(stream), chunk_bytes)]

    def work() -> None:
        decoder = Decoder(version=version, max_packet_bytes=262_144, from_client=True)
        found = sum(len(decoder.feed(chunk)) for chunk in chunks)
        assert found == count

    return best_us(work, count)


def encode_us(call: Callable[[int], bytes], count: int = 10_000) -> float:
    """Return the cost of one call with the packet ids 1 to ``count``."""

    def work() -> None:
        for packet_id in range(1, count + 1):
            call(packet_id)

    return best_us(work, count)


def stream_of(make: Callable[[int], Packet], version: int, count: int) -> bytes:
    """Return the bytes of ``count`` packets with the ids from 1."""
    return b"".join(encode(make(packet_id), version) for packet_id in range(1, count + 1))


def main() -> None:
    """Measure and print the table."""
    payload = b"x" * 120
    topics = [f"plant/line-{line:02}/t/sensor-1" for line in range(50)]

    def publish(packet_id: int) -> Publish:
        return Publish(topics[packet_id % 50], payload, 1, packet_id=packet_id)

    def publish_with_properties(packet_id: int) -> Publish:
        properties = Properties(message_expiry_s=60, user=(("id", "0000"),))
        return Publish(topics[0], payload, 1, packet_id=packet_id, properties=properties)

    count = 10_000
    topic = topics[0].encode()
    rows = {
        "decode PUBLISH QoS 1, v4, 50 topics": decode_us(stream_of(publish, 4, count), count, 4),
        "decode PUBLISH QoS 1, v5, 50 topics": decode_us(stream_of(publish, 5, count), count, 5),
        "decode PUBLISH QoS 1, v4, 1 topic": decode_us(
            stream_of(lambda n: Publish(topics[0], payload, 1, packet_id=n), 4, count), count, 4
        ),
        "decode PUBLISH QoS 1, v4, new topic each": decode_us(
            stream_of(lambda n: Publish(f"plant/line/t/sensor-{n}", payload, 1, packet_id=n), 4, count), count, 4
        ),
        "decode PUBLISH QoS 1, v4, chunks of 300 bytes": decode_us(
            stream_of(publish, 4, count), count, 4, chunk_bytes=300
        ),
        "decode PUBLISH QoS 1, v4, one packet a read": decode_us(
            stream_of(lambda n: Publish(topics[0], payload, 1, packet_id=n), 4, count), count, 4, chunk_bytes=151
        ),
        "decode PUBLISH QoS 0, v4": decode_us(stream_of(lambda n: Publish(topics[0], payload), 4, count), count, 4),
        "decode PUBLISH QoS 1, v5, two properties": decode_us(stream_of(publish_with_properties, 5, count), count, 5),
        "decode PUBACK, v4": decode_us(PUBACKS, 65_535, 4),
        "decode PUBACK, v5": decode_us(PUBACKS, 65_535, 5),
        "encode_publish QoS 1, v4": encode_us(lambda n: encode_publish(topic, payload, n, qos=1)),
        "encode_publish QoS 1, v5": encode_us(lambda n: encode_publish(topic, payload, n, qos=1, properties=b"\x00")),
        "encode(Publish) QoS 1, v4": encode_us(lambda n: encode(publish(n), 4)),
        "an empty call, included in encode": encode_us(lambda n: b""),
    }
    for name, cost_us in rows.items():
        print(f"{name:48} {cost_us:7.3f} µs")  # noqa: T201 - what this script is for


if __name__ == "__main__":
    main()
