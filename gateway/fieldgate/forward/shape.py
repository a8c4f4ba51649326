"""What an event looks like as an MQTT message, by ``format`` and protocol version: topic, properties, payload."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, NamedTuple

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.aliases import TopicAliases
from fieldgate.forward.batch import BATCH_TYPE, ZSTD_BATCH_TYPE, Batcher
from fieldgate.forward.binary import BinaryProperties
from fieldgate.forward.encode import CloudEvents, OsBootOf
from fieldgate.forward.property_blocks import with_first
from fieldgate.forward.raw import RawProperties
from fieldgate.forward.topic_template import TopicTemplate
from fieldgate.mqtt.codec import encode_properties
from fieldgate.mqtt.framing import packet_size
from fieldgate.mqtt.packets import Properties
from fieldgate_devices.event import Event

__all__ = ["EVENT_TYPE", "Messages", "Shape", "too_large_text"]

EVENT_TYPE: Final = "application/cloudevents+json"
_MAX_INTERVAL_S: Final = 0xFFFF_FFFF


def too_large_text(limit: int) -> str:
    """Say why a message is parked that is longer than the server takes."""
    return f"too large: the server takes packets of {limit} bytes at most"


class Messages(NamedTuple):
    """Messages of a run of events; see `encode_publishes` for the form of each part."""

    topics: Sequence[bytes]
    properties: Sequence[bytes]
    payloads: Sequence[bytes]

    def part(self, start: int, stop: int) -> Messages:
        """Return ``[start:stop]`` of all three."""
        return Messages(self.topics[start:stop], self.properties[start:stop], self.payloads[start:stop])

    def too_large(self, limit: int) -> list[int]:
        """Return the indexes of messages whose packet is longer than ``limit`` bytes."""
        return [index for index, parts in enumerate(zip(*self, strict=True)) if packet_size(*parts) > limit]


class Shape:
    """Makes messages as one uplink's configuration says. ``batcher`` is set where events share messages."""

    def __init__(self, config: UplinkConfig, *, topic: str, gateway: str, os_boot_of: OsBootOf) -> None:
        self.batcher: Batcher | None = None
        self._topics = TopicTemplate(topic, gateway=gateway)
        self._envelopes = CloudEvents(gateway=gateway, os_boot_of=os_boot_of).envelopes
        self._properties: RawProperties | BinaryProperties | None = None
        self._content_type = EVENT_TYPE
        self._block = b""
        self._is_v5 = False
        self.aliases: TopicAliases | None = None
        if config.format == "raw":
            self._properties = RawProperties(os_boot_of=os_boot_of)
        elif config.format == "cloudevents-binary":
            self._properties = BinaryProperties(gateway=gateway, os_boot_of=os_boot_of)
        elif config.format == "cloudevents-batch":
            batch = config.batch
            is_compressed = batch.compression == "zstd"
            self._content_type = ZSTD_BATCH_TYPE if is_compressed else BATCH_TYPE
            self.batcher = Batcher(
                max_events=batch.max_events, max_delay_s=batch.max_delay, is_compressed=is_compressed
            )

    def connected(self, version: int, max_packet_bytes: int | None, topic_aliases: int = 0) -> None:
        """From now on for this protocol level, and this server's Maximum Packet Size and Topic Alias Maximum."""
        self._is_v5 = version == 5
        self._block = encode_properties(Properties(content_type=self._content_type)) if self._is_v5 else b""
        self.aliases = TopicAliases(topic_aliases, shared_block=self._block) if topic_aliases else None
        if self.batcher is not None:
            room = None
            if max_packet_bytes is not None:
                room = max_packet_bytes - packet_size(self._topics.batch, self._block, b"") - 3
            self.batcher.limit(room)

    def messages(self, events: Sequence[Event], *, is_stored: bool) -> Messages:
        """Return one message per event."""
        topics = self._topics.of_run(events)
        if self._properties is None:
            return Messages(topics, [self._block] * len(events), self._envelopes(events, is_stored=is_stored))
        payloads = self._properties.payloads(events)
        if self._is_v5:
            return Messages(topics, self._properties.blocks(events, is_stored=is_stored), payloads)
        return Messages(topics, [b""] * len(events), payloads)

    def short_messages(self, aliases: TopicAliases, events: Sequence[Event], *, is_stored: bool) -> Messages:
        """Return the same with topic aliases, of which `messages` has none."""
        found = None if self._topics.uses_lane else aliases.known(events)
        if found is None:
            topics = self._topics.of_run(events)
            found = aliases.decide(events, topics, is_by_address=not self._topics.uses_lane)
        sent, firsts, blocks = found
        if self._properties is None:
            return Messages(sent, blocks, self._envelopes(events, is_stored=is_stored))
        blocks = self._properties.blocks(events, is_stored=is_stored, firsts=firsts)
        return Messages(sent, blocks, self._properties.payloads(events))

    def with_expiry(self, messages: Messages, left_s: float) -> Messages:
        """Return one message that says in how many seconds it ends, where the protocol version can."""
        if not self._is_v5:
            return messages
        first = b"\x02%b" % min(ceil(left_s), _MAX_INTERVAL_S).to_bytes(4, "big")
        (block,) = messages.properties
        return messages._replace(properties=[with_first(block, first)])

    def envelopes(self, events: Sequence[Event], *, is_stored: bool) -> list[bytes]:
        """Return the envelope of each event, for a batch."""
        return self._envelopes(events, is_stored=is_stored)

    def joint(self, payload: bytes) -> Messages:
        """Return the one message around a batch; it has no alias, which would save nothing worth having."""
        return Messages([self._topics.batch], [self._block], [payload])

    def size_of_joint(self, payload: bytes) -> int:
        """Return the length of the packet around a batch."""
        return packet_size(self._topics.batch, self._block, payload)
