"""Which topics one client may publish to, remembered so that the hot path asks about each of them once.

Without rights of its own a client shares what the listener's `EventFilter` remembers, and costs nothing.
"""

from __future__ import annotations

from typing import Final

from fieldgate.ingest.event_filter import EventFilter
from fieldgate.mqtt.session_roles import Rights

__all__ = ["PublishRights"]

_MAX_KNOWN: Final = 512


class PublishRights:
    """``seeds`` holds topics of events that need no judgement any more, as `EventFilter.seeds` does."""

    __slots__ = ("_filter", "_rights", "seeds")

    def __init__(self, rights: Rights | None, event_filter: EventFilter) -> None:
        self._rights = rights
        self._filter = event_filter
        self.seeds: dict[str, int] = event_filter.seeds if rights is None else {}

    def permit(self, topic: str, seed: int | None) -> bool:
        """Whether the client may publish to ``topic``, whose seed is ``seed`` if publishes to it are events."""
        rights = self._rights
        if rights is None:
            return True
        if not rights.may_publish(topic):
            return False
        if seed is not None and topic in self._filter.seeds:
            if len(self.seeds) >= _MAX_KNOWN:
                self.seeds.clear()
            self.seeds[topic] = seed
        return True

    def changed(self) -> None:
        """Judge every topic anew."""
        if self._rights is not None:
            self.seeds.clear()
