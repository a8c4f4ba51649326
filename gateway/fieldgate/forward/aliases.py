"""Topic aliases towards the server: a topic that is used again is sent as a number of three bytes [MQTT5 3.3.2.3.4].

They live as long as the connection on which they were set, so there is one object per connection. What is sent again,
on this connection or on another, bears its topic in full: see `fieldgate.mqtt.framing.with_topic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fieldgate.forward.property_blocks import with_first
from fieldgate_devices.event import Address, Event

__all__ = ["Aliased", "TopicAliases"]

_USES_BEFORE_ALIAS: Final = 2
_MIN_TOPIC_BYTES: Final = 6  # with its length; an alias costs three bytes
_MAX_KNOWN: Final = 10_000
_NO_TOPIC: Final = b"\x00\x00"


class Aliased(NamedTuple):
    """How an event's topic is sent: the topic, the alias as a property (or nothing), and the shared block with it."""

    topic: bytes
    alias: bytes
    block: bytes


class TopicAliases:
    """Gives numbers 1 … ``maximum`` to topics as they are used a second time; the first to come have them.

    ``shared_block`` is the property block of messages that all have the same one.
    """

    def __init__(self, maximum: int, *, shared_block: bytes) -> None:
        self.topics: list[bytes] = [b""]  # number -> topic as it stands in a PUBLISH
        self.longest = 0  # bytes that the longest of them has more than a message without a topic
        self._maximum = maximum
        self._shared = shared_block
        self._known: dict[Address, Aliased] = {}
        self._by_topic: dict[bytes, Aliased] = {}
        self._uses: dict[bytes, int] = {}

    def known(self, events: Sequence[Event]) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]] | None:
        """Return topics, aliases and blocks of a run; None where one of them is not decided yet."""
        # One look-up per event, where without aliases the topic is looked up.
        known = self._known.get
        found = [known(event.address) for event in events]
        if None in found:
            return None
        topics, aliases, blocks = zip(*found, strict=True)
        return topics, aliases, blocks

    def decide(
        self, events: Sequence[Event], topics: Sequence[bytes], *, is_by_address: bool
    ) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]]:
        """As `known`, deciding what is not; ``is_by_address``: an address has one topic only."""
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        found: list[Aliased] = []
        for event, topic in zip(events, topics, strict=True):
            now = self._by_topic.get(topic)
            later = now
            if now is None:
                now, later = self._new(topic)
            if later is not None and is_by_address:
                self._known[event.address] = later
            found.append(now)
        sent, aliases, blocks = zip(*found, strict=True)
        return sent, aliases, blocks

    def take_back(self, numbers: int) -> None:
        """Only the first ``numbers`` numbers were sent to the server after all."""
        for topic in self.topics[numbers + 1 :]:
            del self._by_topic[topic]
            self._known.clear()
        del self.topics[numbers + 1 :]

    def _new(self, topic: bytes) -> tuple[Aliased, Aliased | None]:
        """How a topic without a number is sent now, and from the next time on if that is decided."""
        plain = Aliased(topic, b"", self._shared)
        if len(topic) < _MIN_TOPIC_BYTES or len(self.topics) > self._maximum:
            return plain, plain
        uses = self._uses.get(topic, 0) + 1
        if uses < _USES_BEFORE_ALIAS:
            if len(self._uses) >= _MAX_KNOWN:
                self._uses.clear()
            self._uses[topic] = uses
            return plain, None
        alias = b"\x23%b" % len(self.topics).to_bytes(2, "big")
        block = with_first(self._shared, alias)
        self.topics.append(topic)
        self.longest = max(self.longest, len(topic) - len(_NO_TOPIC))
        later = self._by_topic[topic] = Aliased(_NO_TOPIC, alias, block)
        return Aliased(topic, alias, block), later
