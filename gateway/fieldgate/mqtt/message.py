"""A message on its way to local subscribers: one value, shared by all of them, and its bytes.

What is the same for many subscribers is encoded once: the property block of MQTT 5 always, the whole packet where
several get it (`share`); a packet id is then written into a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from fieldgate.mqtt.codec import encode_properties, encode_publish
from fieldgate.mqtt.packets import Properties

__all__ = ["Fate", "Message", "Watch"]

_OVERHEAD_BYTES: Final = 200  # what a queued message costs beside its text
_NO_PROPERTIES: Final = b"\x00"
_MAX_TEMPLATES: Final = 16

_Key = tuple[bool, int, bool, bool, tuple[int, ...], int]


class Fate(Enum):
    """What became of a message for one of those who get it."""

    WRITTEN = "written"
    """At QoS 0, which nobody acknowledges."""
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """The client answered with a reason code that says so."""
    LOST = "lost"
    """It will not get it: too old, too large, or no room is left for it."""


Watch = Callable[[str, Fate], None]
"""Told a client id, or the full filter of a shared subscription, and what became of the message there."""


class Message(msgspec.Struct, gc=False):
    """A message as its publisher meant it. ``origin`` is the client id of the publisher, None for the gateway.

    ``watch`` is told what becomes of it, for each client that gets it.

    ``topic_utf8`` may be given by who has it already. ``size_bytes`` is what a queue is charged for keeping it.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    heard_s: float
    origin: str | None = None
    properties: Properties | None = None
    topic_utf8: bytes = b""
    size_bytes: int = 0
    watch: Watch | None = None
    _templates: dict[_Key, tuple[bytes, int]] | None = None  # packet, and where its packet id is

    def __post_init__(self) -> None:
        if not self.topic_utf8:
            self.topic_utf8 = self.topic.encode()
        self.size_bytes = len(self.topic_utf8) + len(self.payload) + _OVERHEAD_BYTES
        if self.properties is not None:
            self.size_bytes += _weight(self.properties)

    def is_expired(self, now_s: float) -> bool:
        """Whether the publisher's Message Expiry Interval has passed [MQTT-3.3.2-5].

        With an interval of 0 a message is for those who can have it at once.
        """
        properties = self.properties
        if properties is None or properties.message_expiry_s is None:
            return False
        waited_s = now_s - self.heard_s
        return waited_s > 0 and waited_s >= properties.message_expiry_s

    def share(self) -> None:
        """Several subscribers will get this message: keep what was encoded for one for the next."""
        self._templates = {}

    def packet(
        self,
        packet_id: int,
        *,
        is_v5: bool,
        qos: int,
        retain: bool,
        dup: bool,
        subscription_ids: tuple[int, ...],
        now_s: float,
    ) -> bytes:
        """The PUBLISH for one subscriber; ``packet_id`` is not looked at with ``qos`` 0."""
        templates = self._templates
        if templates is None:
            block = self.property_block(subscription_ids, now_s) if is_v5 else b""
            return encode_publish(
                self.topic_utf8, self.payload, packet_id, qos=qos, retain=retain, dup=dup, properties=block
            )
        key = (is_v5, qos, retain, dup, subscription_ids if is_v5 else (), self._left_s(now_s) if is_v5 else 0)
        known = templates.get(key)
        if known is not None:
            template, at = known
            return b"%b%b%b" % (template[:at], packet_id.to_bytes(2, "big"), template[at + 2 :]) if qos else template
        block = self.property_block(subscription_ids, now_s) if is_v5 else b""
        packet = encode_publish(
            self.topic_utf8, self.payload, packet_id, qos=qos, retain=retain, dup=dup, properties=block
        )
        if len(templates) < _MAX_TEMPLATES:
            templates[key] = packet, len(packet) - len(self.payload) - len(block) - 2
        return packet

    def property_block(
        self, subscription_ids: tuple[int, ...], now_s: float, *, topic_alias: int | None = None
    ) -> bytes:
        """The encoded properties that a subscriber gets: the publisher's, with what is left of the expiry."""
        own = self.properties
        if own is None:
            if not subscription_ids and topic_alias is None:
                return _NO_PROPERTIES
            return encode_properties(Properties(subscription_ids=subscription_ids, topic_alias=topic_alias))
        return encode_properties(
            Properties(
                payload_format=own.payload_format,
                message_expiry_s=None if own.message_expiry_s is None else self._left_s(now_s),
                content_type=own.content_type,
                response_topic=own.response_topic,
                correlation_data=own.correlation_data,
                user=own.user,
                subscription_ids=subscription_ids,
                topic_alias=topic_alias,
            )
        )

    def _left_s(self, now_s: float) -> int:
        """What is left of the expiry interval, in whole seconds [MQTT-3.3.2-6]; 0 when there is none."""
        properties = self.properties
        if properties is None or properties.message_expiry_s is None:
            return 0
        return max(0, properties.message_expiry_s - int(now_s - self.heard_s))


def _weight(properties: Properties) -> int:
    texts = (properties.content_type, properties.response_topic, properties.correlation_data)
    size_bytes = sum(len(text) for text in texts if text is not None)
    return size_bytes + sum(len(name) + len(text) + _OVERHEAD_BYTES for name, text in properties.user)
