"""Retained messages: the last one of each topic, within a count and a byte limit.

Over a limit a message for a new topic is not kept (and counted); one that replaces another is judged by its size
alone. What its publisher let expire is removed [MQTT-3.3.2-5]. Searching costs by the topics visited, so the caller can
charge whoever asked.

What is kept is the whole state: `messages` gives it, `put` takes it, and each change of it passes ``on_change``, for
somebody who keeps it over a restart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from fieldgate.mqtt.message import Message

__all__ = ["RetainedStore"]

_MAX_LEVELS: Final = 201  # as in a topic that is published, unless the listener allows more
_NODE_BYTES: Final = 250  # what a level costs that no other topic has; on the wire it may be two bytes


class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Message | None = None


class RetainedStore:
    """What `LocalBroker` sends to a new subscriber. ``refused`` counts what was not kept, by limit.

    ``size_bytes`` is what messages and the levels of their topics cost in memory.
    ``on_change`` is called with a topic and its new message, None when it has none any more.
    """

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self.count = 0
        self.size_bytes = 0
        self.refused: Counter[str] = Counter()
        self.on_change: Callable[[str, Message | None], None] | None = None
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._root = _Node()
        self._expiring: list[tuple[float, str]] = []  # a heap of (when, topic); some of them replaced since

    def put(self, message: Message) -> bool:
        """Keep ``message`` as the last of its topic; an empty payload removes it [MQTT-3.3.1-6, MQTT-3.3.1-7].

        Answers whether there was room.
        """
        levels = message.topic.split("/")
        if not message.payload:
            self._remove(levels)
            return True
        path = self._walk(levels)
        old = path[-1].message if len(path) == len(levels) + 1 else None
        new_levels = levels[len(path) - 1 :]
        more_bytes = message.size_bytes - (0 if old is None else old.size_bytes) + _NODE_BYTES * len(new_levels)
        limit = self._limit_for(more_bytes, is_new=old is None, levels=len(levels))
        if limit:
            self.refused[limit] += 1
            return False
        node = path[-1]
        for level in new_levels:
            node.children[level] = node = _Node()
        node.message = message
        self.count += old is None
        self.size_bytes += more_bytes
        self._note_expiry(message)
        if self.on_change is not None:
            self.on_change(message.topic, message)
        return True

    def expire(self, now_s: float) -> None:
        """Remove what has expired; to be called about once a second."""
        expiring = self._expiring
        while expiring and expiring[0][0] <= now_s:
            levels = heappop(expiring)[1].split("/")
            path = self._walk(levels)
            message = path[-1].message if len(path) == len(levels) + 1 else None
            if message is not None and message.is_expired(now_s):
                self._remove(levels)

    def messages(self) -> Iterator[Message]:
        """Everything that is kept, in no order that means anything."""
        found: list[Message] = []
        _collect(self._root, found, skip_system=False)
        return iter(found)

    def _limit_for(self, more_bytes: int, *, is_new: bool, levels: int) -> str:
        if levels > _MAX_LEVELS:
            return "topic_levels"
        if self.size_bytes + more_bytes > self._max_bytes:
            return "max_retained_size"
        return "max_retained" if is_new and self.count >= self._max_count else ""

    def _note_expiry(self, message: Message) -> None:
        properties = message.properties
        if properties is None or properties.message_expiry_s is None:
            return
        if len(self._expiring) > 2 * self.count + 64:  # mostly replaced ones
            self._expiring = [
                (one.heard_s + one.properties.message_expiry_s, one.topic)
                for one in self.messages()
                if one.properties is not None and one.properties.message_expiry_s is not None
            ]
            heapify(self._expiring)
        else:
            heappush(self._expiring, (message.heard_s + properties.message_expiry_s, message.topic))

    def _walk(self, levels: list[str]) -> list[_Node]:
        path = [self._root]
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                break
            path.append(child)
        return path

    def _remove(self, levels: list[str]) -> None:
        path = self._walk(levels)
        message = path[-1].message if len(path) == len(levels) + 1 else None
        if message is None:
            return
        path[-1].message = None
        self.count -= 1
        self.size_bytes -= message.size_bytes
        if self.on_change is not None:
            self.on_change(message.topic, None)
        for index in range(len(levels) - 1, -1, -1):
            if path[index + 1].message is not None or path[index + 1].children:
                return
            del path[index].children[levels[index]]
            self.size_bytes -= _NODE_BYTES

    def search(self, topic_filter: str) -> tuple[list[Message], int]:
        """Return what matches, and how many topic levels were visited to find it."""
        found: list[Message] = []
        visited = 0
        levels = topic_filter.split("/")
        open_nodes = [(self._root, 0)]
        while open_nodes:
            node, depth = open_nodes.pop()
            visited += 1
            if depth == len(levels):
                if node.message is not None:
                    found.append(node.message)
                continue
            level = levels[depth]
            if level == "#":
                visited += _collect(node, found, skip_system=depth == 0)
            elif level == "+":
                open_nodes.extend(
                    (child, depth + 1) for name, child in node.children.items() if depth or not name.startswith("$")
                )
            elif (child := node.children.get(level)) is not None:
                open_nodes.append((child, depth + 1))
        return found, visited


def _collect(node: _Node, found: list[Message], *, skip_system: bool) -> int:
    visited = 0
    below = [child for name, child in node.children.items() if not (skip_system and name.startswith("$"))]
    if node.message is not None:
        found.append(node.message)
    while below:
        child = below.pop()
        visited += 1
        if child.message is not None:
            found.append(child.message)
        below.extend(child.children.values())
    return visited
