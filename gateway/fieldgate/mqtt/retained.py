"""Retained messages: the last one of each topic, within a count and a byte limit.

Over a limit a message for a new topic is not kept (and counted); one that replaces another is judged by its size
alone. Searching costs by the topics visited, so the caller can charge whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fieldgate.mqtt.message import Message

__all__ = ["RetainedStore"]

_MAX_LEVELS: Final = 100  # a level costs more memory than its one byte on the wire


class _Node:
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.message: Message | None = None


class RetainedStore:
    """What `LocalBroker` sends to a new subscriber."""

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self.count = 0
        self.size_bytes = 0
        self.refused = 0
        self.on_change: Callable[[str], None] | None = None  # told the topic of each change
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._root = _Node()

    def put(self, message: Message) -> bool:
        """Keep ``message`` as the last of its topic; an empty payload removes it [MQTT-3.3.1-6]."""
        if not message.payload:
            self._remove(message.topic)
            return True
        levels = message.topic.split("/")
        path = self._walk(levels)
        old = path[-1].message if len(path) == len(levels) + 1 else None
        old_bytes = 0 if old is None else old.size_bytes
        is_over = len(levels) > _MAX_LEVELS or self.size_bytes - old_bytes + message.size_bytes > self._max_bytes
        if is_over or (old is None and self.count >= self._max_count):
            self.refused += 1
            return False
        node = path[-1]
        for level in levels[len(path) - 1 :]:
            node.children[level] = node = _Node()
        node.message = message
        self.count += old is None
        self.size_bytes += message.size_bytes - old_bytes
        self._changed(message.topic)
        return True

    def get(self, topic: str) -> Message | None:
        """The message retained for ``topic``."""
        levels = topic.split("/")
        path = self._walk(levels)
        return path[-1].message if len(path) == len(levels) + 1 else None

    def topics(self) -> list[str]:
        """All topics with a retained message."""
        found: list[Message] = []
        _collect(self._root, found, skip_system=False)
        return [message.topic for message in found]

    def _changed(self, topic: str) -> None:
        if self.on_change is not None:
            self.on_change(topic)

    def _walk(self, levels: list[str]) -> list[_Node]:
        path = [self._root]
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                break
            path.append(child)
        return path

    def _remove(self, topic: str) -> None:
        levels = topic.split("/")
        path = self._walk(levels)
        message = path[-1].message if len(path) == len(levels) + 1 else None
        if message is None:
            return
        path[-1].message = None
        self.count -= 1
        self.size_bytes -= message.size_bytes
        self._changed(topic)
        for index in range(len(levels) - 1, -1, -1):
            if path[index + 1].message is not None or path[index + 1].children:
                return
            del path[index].children[levels[index]]

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
