"""Which messages of a broker are events, and under which topic; remembered for the topics that are in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from fieldgate.config.source import SourceConfig
from fieldgate.ingest.topic_map import TopicMap
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.topics import matches, split_share, valid_topic
from fieldgate.mqtt.violation import Violation

__all__ = ["Place", "SourceTopics"]

_WILDCARDS: Final = ("+", "#")
_NEVER_BY_WILDCARD: Final = ("homeassistant", "fieldgate")
_MAX_KNOWN: Final = 8192
_MAX_KNOWN_TOPIC: Final = 256  # longer topics are judged each time

Place = tuple[int, str]
"""The topic's part of the content id, and the topic that events from there get."""


class SourceTopics:
    """The topics of one source. ``known`` holds those of events that were judged so far, for the hot path.

    A filter that begins with a wildcard leaves out ``$…`` [MQTT-4.7.2-1], ``homeassistant/#`` and ``fieldgate/#``. What
    the gateway itself publishes (``own``, filters) is never an event, whatever the other filters say.
    """

    def __init__(self, config: SourceConfig, *, own: Sequence[str] = ()) -> None:
        self.known: dict[str, Place] = {}
        self._others: dict[str, bool] = {}  # topics that make no events -> whether they are the gateway's own
        self._subscribed = tuple(split_share(one.filter)[1] for one in config.broker.subscribe)
        self._events = config.events
        self._own = tuple(own)
        self._published: set[str] = set()
        self._map = TopicMap(config.remap)

    def place(self, topic: str) -> Place | None:
        """Return where events of ``topic`` belong, None if its messages are no events.

        Raises:
            Violation: there is no such topic.
        """
        known = self.known.get(topic)
        if known is not None or topic in self._others:
            return known
        if not valid_topic(topic):
            raise Violation(Reason.TOPIC_NAME_INVALID, "a PUBLISH without a valid topic")
        place = (xxh3_64_intdigest(topic.encode()), self._map.of(topic)) if self._is_event(topic) else None
        if len(topic) <= _MAX_KNOWN_TOPIC:
            if len(self.known) + len(self._others) >= _MAX_KNOWN:
                self.known.clear()
                self._others.clear()
            if place is None:
                self._others[topic] = self.is_own(topic)
            else:
                self.known[topic] = place
        return place

    def reaches(self, topic: str) -> bool:
        """Whether messages of ``topic`` come from this broker, as far as its subscriptions tell."""
        return _takes(self._subscribed, topic)

    def publishes(self, topic: str) -> None:
        """From now on the gateway publishes to ``topic`` itself: what comes from there is no event."""
        if topic not in self._published:
            if len(self._published) >= _MAX_KNOWN:
                self._published.clear()
            self._published.add(topic)
            self.known.pop(topic, None)
            self._others.pop(topic, None)

    def is_own(self, topic: str) -> bool:
        """Whether the gateway itself publishes to ``topic``."""
        known = self._others.get(topic)
        if known is not None:
            return known
        return topic in self._published or any(matches(one, topic) for one in self._own)

    def _is_event(self, topic: str) -> bool:
        is_wanted = self._events is None or _takes(self._events, topic)
        return is_wanted and not self.is_own(topic) and _takes(self._subscribed, topic)


def _takes(filters: Sequence[str], topic: str) -> bool:
    is_reserved = topic.split("/", 1)[0] in _NEVER_BY_WILDCARD
    return any(matches(one, topic) for one in filters if not (is_reserved and one.split("/", 1)[0] in _WILDCARDS))
