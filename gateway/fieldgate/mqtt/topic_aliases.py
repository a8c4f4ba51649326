"""Topic aliases towards one client [MQTT5 3.3.2.3.4]: a topic is sent once, and two bytes in its place from then on.

For the life of one network connection [MQTT-3.3.2-7] and never more than the client's Topic Alias Maximum
[MQTT-3.3.2-9]. While aliases are free each new topic gets one. When all are given, a topic that comes back may take
over the alias of one that was not sent since the search last came by, so that the topics in use hold them.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["TopicAliases"]

_MAX_ALIASES: Final = 64  # what we keep for one client, however many it offers
_SHORTEST: Final = 4  # bytes; the alias itself takes three


class TopicAliases:
    """The aliases that a client was told."""

    __slots__ = ("_aliases", "_candidates", "_free", "_max_candidates", "_order", "_used")

    def __init__(self, maximum: int) -> None:
        count = min(maximum, _MAX_ALIASES)
        self._free = list(range(count, 0, -1))
        self._max_candidates = 4 * count
        self._aliases: dict[bytes, int] = {}
        self._order: deque[bytes] = deque()  # the topics with an alias, in the order of the search
        self._used: set[bytes] = set()  # of these, what was sent since the search last came by
        self._candidates: set[bytes] = set()  # topics seen once while all aliases were given

    def alias(self, topic: bytes) -> tuple[int, bool]:
        """The alias to send ``topic`` with (0: none), and whether the client knows it already."""
        alias = self._aliases.get(topic)
        if alias is not None:
            self._used.add(topic)
            return alias, True
        if len(topic) < _SHORTEST or not self._max_candidates:
            return 0, False
        if not self._free and not self._make_room_for(topic):
            return 0, False
        alias = self._free.pop()
        self._aliases[topic] = alias
        self._order.append(topic)
        return alias, False

    def take_back(self, topic: bytes) -> None:
        """The packet that was to tell the client the alias of ``topic`` is not sent."""
        self._free.append(self._aliases.pop(topic))
        self._order.remove(topic)
        self._used.discard(topic)

    def _make_room_for(self, topic: bytes) -> bool:
        """Free the alias of a topic that was not sent lately; one that was gets another round."""
        if topic not in self._candidates:
            if len(self._candidates) >= self._max_candidates:
                self._candidates.clear()
            self._candidates.add(topic)
            return False
        oldest = self._order[0]
        if oldest in self._used:
            self._used.discard(oldest)
            self._order.rotate(-1)
            return False
        self._order.popleft()
        self._candidates.discard(topic)
        self._free.append(self._aliases.pop(oldest))
        return True
