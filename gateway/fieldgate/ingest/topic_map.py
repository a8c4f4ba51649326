"""Give events another topic, as the ``remap`` of a source says; the language is that of ``config/remap.py``."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.config.remap import REST, placeholders, read_match
from fieldgate.config.source import RemapConfig
from fieldgate.mqtt.topics import MAX_TOPIC_BYTES, matches

__all__ = ["TopicMap"]


class TopicMap:
    """The rules of one source, in order."""

    def __init__(self, rules: Sequence[RemapConfig]) -> None:
        self._rules = [_Rule(rule) for rule in rules]

    def of(self, topic: str) -> str:
        """Return the topic that an event of ``topic`` gets: by the first rule that matches, else its own."""
        for rule in self._rules:
            if matches(rule.filter, topic):
                made = rule.make(topic)
                return made if made and len(made.encode()) <= MAX_TOPIC_BYTES else topic
        return topic


class _Rule:
    """One rule, ready to use."""

    def __init__(self, rule: RemapConfig) -> None:
        pattern = read_match(rule.match)
        self.filter = pattern.filter
        levels = pattern.filter.split("/")
        self._singles = [place for place, level in enumerate(levels) if level == "+"]
        self._rest_from = len(levels) - 1
        numbers = {str(number + 1): number for number in range(len(self._singles))}
        names = {name: number for number, name in enumerate(pattern.names) if name}
        self._places = numbers | names
        self._levels = [placeholders(level) for level in rule.to.split("/")]

    def make(self, topic: str) -> str:
        """Return the new topic for one that matches."""
        heard = topic.split("/")
        made: list[str] = []
        for parts in self._levels:
            if REST in parts[1::2]:
                made += heard[self._rest_from :]
            else:
                texts = [self._single(part, heard) if place % 2 else part for place, part in enumerate(parts)]
                made.append("".join(texts))
        return "/".join(made)

    def _single(self, name: str, heard: list[str]) -> str:
        return heard[self._singles[self._places[name]]]
