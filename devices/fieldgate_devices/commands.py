"""Which profile names a topic as one of its commands, found without asking each of them.

The commands of many profiles differ in their plain levels, and stand in few shapes: how many levels, and which of them
are captures. So a topic is looked up once per shape.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fieldgate_devices.topic_pattern import TopicPattern, read_command_pattern

__all__ = ["Commands"]

Shape = tuple[int, tuple[int, ...]]


class Commands:
    """``named`` are the topics of commands, each with the profile that names it."""

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self.count = 0
        self._shapes: defaultdict[Shape, defaultdict[str, list[tuple[TopicPattern, str]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for topic, profile in named:
            self.count += 1
            pattern = read_command_pattern(topic)
            levels = pattern.filter.split("/")
            shape = len(levels), tuple(place for place, level in enumerate(levels) if level == "+")
            self._shapes[shape][pattern.filter].append((pattern, profile))

    def profile_of(self, topic: str) -> str:
        """Return a profile that names ``topic``, or an empty text."""
        levels = topic.split("/")
        for (count, captured), patterns in self._shapes.items():
            if count != len(levels):
                continue
            filled = levels.copy()
            for place in captured:
                filled[place] = "+"
            for pattern, profile in patterns.get("/".join(filled), ()):
                if pattern.match(topic) is not None:
                    return profile
        return ""
