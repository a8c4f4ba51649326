"""Turn a stream of bytes into MQTT packets, whatever the chunks.

Promises: every byte is looked at a bounded number of times (a packet that comes one byte at a time costs the same
order as one that comes whole); a header that breaks the rules or announces too much raises before its body has come;
what is held is at most one unfinished packet of ``max_packet_bytes`` and a small cache of topics.

The length of a packet may be written longer than needed in 3.1.1, which does not forbid it, and not in MQTT 5
[MQTT-1.5.5-1]; nor may any other number there. Sessions decide what packets mean; ``codec_bodies`` reads all that are
not on the fast path.
"""

from __future__ import annotations

import re
from dataclasses import replace
from struct import unpack
from typing import Final

from fieldgate.mqtt.codec_bodies import BODIES, Rules, check_header, check_protocol, lawful_first_bytes
from fieldgate.mqtt.packets import Packet, PubAck, Publish, Reason
from fieldgate.mqtt.properties import MAX_USER_PROPERTIES
from fieldgate.mqtt.wire import CodecError, MalformedPacket, PacketTooLarge, Reader

__all__ = ["Decoder"]

_CACHED_TOPICS: Final = 128
_CACHED_TOPIC_BYTES: Final = 128
_PUBACK_RUN: Final = re.compile(rb"(?:\x40\x02(?!\x00\x00)..)++", re.DOTALL).match


class Decoder:
    """Sans-io stream decoder: fed bytes in any chunking, answers packets.

    ``version`` is None on the server's side until the CONNECT, which must come first and sets it (3, 4 or 5), even
    where the rest of it is malformed. An unknown level raises with reason 0x84 and sets the version in which to word
    the refusal.
    ``from_client`` says who sends: packets that only the other side may send are protocol errors.
    ``max_packet_bytes`` counts the whole packet, header included [3.1.2.11.4]; ``max_connect_bytes`` the CONNECT, which
    comes from somebody unknown.
    """

    def __init__(
        self,
        *,
        version: int | None,
        max_packet_bytes: int,
        from_client: bool,
        max_user_properties: int = MAX_USER_PROPERTIES,
        max_connect_bytes: int | None = None,
    ) -> None:
        self._take_rules(Rules(version, from_client, max_user_properties))
        self._packet_bytes = max_packet_bytes
        self._max_packet_bytes = min(max_packet_bytes, max_connect_bytes or max_packet_bytes)
        self._held = bytearray()  # the beginning of a packet that is not complete
        self._wanted = 0  # bytes that must be there before looking again makes sense
        self._topics: dict[bytes, str] = {}  # length prefix and UTF-8 -> validated topic
        self._failure: Reason | None = None

    @property
    def version(self) -> int | None:
        """The protocol level of the connection."""
        return self._rules.version

    @property
    def is_between_packets(self) -> bool:
        """Whether nothing of an unfinished packet is held."""
        return not self._held

    def feed(self, chunk: bytes) -> list[Packet]:
        """Take the next bytes of the stream; answer the packets that are complete now.

        Raises:
            CodecError: the bytes break the rules. Its ``packets`` are those before the bad one. The stream is lost:
                feeding more raises again.
        """
        if self._failure is not None:
            raise CodecError("the stream has failed before", self._failure)
        if self._held:
            self._held += chunk
            if len(self._held) < self._wanted:
                return []
            chunk = bytes(self._held)
            self._held.clear()
        packets: list[Packet] = []
        try:
            done = self._decode(chunk, packets)
            if done < len(chunk):
                self._wanted = self._check_unfinished(chunk, done)
                self._held += memoryview(chunk)[done:]
        except CodecError as error:
            error.packets = packets
            self._failure = error.reason
            raise
        return packets

    def _decode(self, data: bytes, packets: list[Packet]) -> int:
        """Append all complete packets of ``data``; answer where the first incomplete one begins.

        The loop reads by itself what a busy stream is made of, and hands all else to `_packet`: a PUBLISH of QoS 0 or
        1 with a topic seen before and no properties, and PUBACKs, a run of them at once. A cached topic is at most 128
        bytes long, so one byte of its length finds its end, and a wrong guess finds nothing in the cache.
        """
        append, get_topic, limit = packets.append, self._topics.get, self._max_packet_bytes
        at, end, skip = 0, len(data), self._skip
        may_exceed, has_no_block = end > limit, skip == 2
        while at + 1 < end:
            first = data[at]
            size = data[at + 1]
            body = at + 2
            if size > 127:
                if body < end and 0 < (more := data[body]) < 128:
                    size += (more << 7) - 128
                    body += 1
                else:
                    size, body = self._long_size(data, at)
                    if not body:
                        break
            stop = body + size
            if stop > end or (may_exceed and stop - at > limit):
                break
            if first & 0xFD == 0x30 and size > 4:
                middle = body + 2 + data[body + 1]
                topic = get_topic(data[body:middle])
                start = middle + skip if first == 0x32 else middle + skip - 2
                if topic is not None and start <= stop and (has_no_block or not data[start - 1]):
                    packet_id = data[middle] << 8 | data[middle + 1] if first == 0x32 else 0
                    if packet_id or first == 0x30:
                        append(Publish(topic, data[start:stop], 1 if packet_id else 0, False, False, packet_id))
                        at = stop
                        continue
            elif first == 0x40 and skip and (run := _PUBACK_RUN(data, at)) is not None:
                at = run.end()
                packets.extend(map(PubAck, unpack(f">{len(run[0]) // 2}H", run[0])[1::2]))
                continue
            append(self._packet(first, data, body, stop))
            skip, limit = self._skip, self._max_packet_bytes
            may_exceed, has_no_block = end > limit, skip == 2
            at = stop
        return at

    def _long_size(self, data: bytes, at: int) -> tuple[int, int]:
        """Read a remaining length of more than one byte; answer it and where the body begins (0: not there yet)."""
        value = shift = 0
        for position in range(at + 1, min(at + 5, len(data))):
            byte = data[position]
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift and self._rules.is_v5:
                    raise MalformedPacket("the remaining length is longer than its value needs")  # [MQTT-1.5.5-1]
                return value, position + 1
            shift += 7
        if shift == 28:
            raise MalformedPacket("the remaining length has more than 4 bytes")  # [2.1.4]
        return 0, 0

    def _check_unfinished(self, data: bytes, at: int) -> int:
        """Check what there is of an incomplete packet; answer how many bytes are needed to go on."""
        if data[at] not in self._lawful:
            check_header(data[at], self._rules)
        size, body = self._long_size(data, at)
        if not body:
            return len(data) - at + 1
        whole = body - at + size
        if whole > self._max_packet_bytes:
            raise PacketTooLarge(f"a packet of {whole} bytes; the most is {self._max_packet_bytes}")
        return whole

    def _packet(self, first: int, data: bytes, body: int, stop: int) -> Packet:
        if first not in self._lawful:
            check_header(first, self._rules)
        reader = Reader(data, body, stop)
        if self._rules.version is None:
            self._begin(reader)
        packet = BODIES[first >> 4](first, reader, self._rules)
        reader.end()
        if type(packet) is Publish and packet.topic:
            length = data[body] << 8 | data[body + 1]
            if length <= _CACHED_TOPIC_BYTES:
                if len(self._topics) >= _CACHED_TOPICS:
                    self._topics.clear()
                self._topics[data[body : body + 2 + length]] = packet.topic
        return packet

    def _begin(self, reader: Reader) -> None:
        """Read name and level of the CONNECT and take the version from it, before anything else can go wrong."""
        name, level = reader.string(), reader.byte()
        version = level if level in (3, 4, 5) else 5 if 5 < level < 128 else 4
        self._take_rules(replace(self._rules, version=version))
        self._max_packet_bytes = self._packet_bytes
        check_protocol(name, level)

    def _take_rules(self, rules: Rules) -> None:
        self._rules = rules
        self._lawful = lawful_first_bytes(rules.version, rules.from_client)
        # The bytes between topic and payload of a PUBLISH at QoS 1 without properties; 0: none is lawful yet.
        self._skip = 0 if rules.version is None else 3 if rules.is_v5 else 2
