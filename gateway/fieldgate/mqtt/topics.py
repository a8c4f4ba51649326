"""Topic names and filters: what is valid, what matches, and a trie that finds all filters for a topic.

The rules are those of [MQTT5 4.7] and [MQTT5 4.8.2], the same in 3.1.1 but for ``$share``. Levels are
separated by ``/`` and may be empty; ``/a`` and ``a`` differ [4.7.3].

Decided elsewhere: who may use which topic, how deep a topic may be (the caller bounds it; costs here are
linear in the levels of a topic times the filters that share its path), and what a shared subscription means
(`matches` and `TopicTrie` take plain filters; `split_share` takes the prefix off).
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

__all__ = [
    "DISCOURAGED", "TopicTrie", "has_control", "is_reserved", "matches", "split_share", "topic_problem", "valid_filter",
    "valid_topic", "well_formed_filter",
]  # fmt: skip

MAX_TOPIC_BYTES = 65_535
_NO_CHARACTERS: Final = "".join(
    f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17)
)
DISCOURAGED: Final = f"[\x01-\x1f\x7f-\x9f\ufdd0-\ufdef{_NO_CHARACTERS}]"
"""A regular expression of what `has_control` finds."""
_DISCOURAGED: Final = re.compile(DISCOURAGED).search

T = TypeVar("T")


def valid_topic(topic: str) -> bool:
    """Say whether a message may be published to ``topic``.

    At least one character [MQTT-4.7.3-1], no U+0000 [MQTT-4.7.3-2], at most 65,535 bytes [MQTT-4.7.3-3],
    no wildcards [MQTT-4.7.0-1].
    """
    return _valid_text(topic) and "#" not in topic and "+" not in topic


def has_control(text: str) -> bool:
    """Say whether ``text`` has a control character or a code point that is none.

    Nobody should send one, and a receiver may treat what has one as malformed [MQTT5 1.5.4; 3.1.1: 1.5.3].
    """
    return _DISCOURAGED(text) is not None


def is_reserved(topic: str) -> bool:
    """Say whether only the broker itself may speak on ``topic``: ``$SYS`` [4.7.2], and ``$share``, no topic at all."""
    return topic[:1] == "$" and topic.split("/", 1)[0] in ("$SYS", "$share")


def topic_problem(topic: str, *, max_levels: int) -> str:
    """Say why nobody may publish to a valid ``topic``; empty if one may."""
    if has_control(topic):
        return "the topic has a control character"
    if is_reserved(topic):
        return "the topic is the broker's own"
    if topic.count("/") >= max_levels:
        return f"the topic has more than {max_levels} levels"
    return ""


def valid_filter(filter: str) -> bool:
    """Say whether ``filter`` may be subscribed to.

    It is well formed (`well_formed_filter`), and one that begins with ``$share`` is a shared one:
    ``$share/{name}/{filter}`` where the name has at least one character and no wildcard, and the filter is valid
    itself [MQTT-4.8.2-1, MQTT-4.8.2-2].
    """
    if filter == "$share" or filter.startswith("$share/"):
        _, _, rest = filter.partition("/")
        name, slash, filter = rest.partition("/")
        if not name or not slash or not filter or "#" in name or "+" in name:
            return False
    return well_formed_filter(filter)


def well_formed_filter(filter: str) -> bool:
    """Say whether ``filter`` obeys the rules of all filters, shared or not.

    ``#`` stands alone in the last level [MQTT-4.7.1-1], ``+`` alone in its level [MQTT-4.7.1-2].
    """
    if not _valid_text(filter):
        return False
    if "#" in filter and (filter.index("#") != len(filter) - 1 or not (filter == "#" or filter.endswith("/#"))):
        return False
    return "+" not in filter or all(level == "+" or "+" not in level for level in filter.split("/"))


def split_share(filter: str) -> tuple[str | None, str]:
    """Split a valid filter into its share name (None for an ordinary one) and the filter itself."""
    if not filter.startswith("$share/"):
        return None, filter
    _, name, plain = filter.split("/", 2)
    return name, plain


def matches(filter: str, topic: str) -> bool:
    """Say whether a valid, unshared ``filter`` matches a valid ``topic``.

    A leading wildcard does not match a topic that begins with ``$`` [MQTT-4.7.2-1]; ``a/#`` matches ``a`` too
    [4.7.1.2].
    """
    if filter == topic:
        return "#" not in filter and "+" not in filter
    if topic[:1] == "$" and filter[:1] in ("#", "+"):
        return False
    wanted = filter.split("/")
    levels = topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        if len(levels) < len(wanted):
            return False
    elif len(levels) != len(wanted):
        return False
    return all(want in ("+", level) for want, level in zip(wanted, levels, strict=False))


class _Node(Generic[T]):
    """One level of the filters stored: those that end here, those that end here with ``#``, and those that go on."""

    __slots__ = ("below", "ending", "multi")

    def __init__(self) -> None:
        self.below: dict[str, _Node[T]] = {}
        self.ending: dict[object, T] = {}
        self.multi: dict[object, T] = {}

    def is_empty(self) -> bool:
        return not (self.below or self.ending or self.multi)


class TopicTrie(Generic[T]):
    """Values filed under topic filters; answers all whose filter matches a topic.

    A key names one holder of a filter (a client): adding the same filter and key again replaces the value. The cost
    of `match` does not depend on how many filters do not match, except that each ``+`` on the way doubles the paths
    to look at, bounded by the filters stored.
    """

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()
        self._size = 0
        self.nodes = 0  # the levels that are stored, one that several filters share counted once

    def __len__(self) -> int:
        """Answer how many (filter, key) pairs are stored."""
        return self._size

    def add(self, filter: str, key: object, value: T) -> None:
        """File ``value`` under a valid, unshared ``filter`` for ``key``."""
        levels, is_multi = _levels(filter)
        node = self._root
        for level in levels:
            following = node.below.get(level)
            if following is None:
                following = node.below[level] = _Node()
                self.nodes += 1
            node = following
        holders = node.multi if is_multi else node.ending
        self._size += key not in holders
        holders[key] = value

    def new_nodes(self, filter: str) -> int:
        """Answer how many levels of ``filter`` are not stored yet."""
        levels, _ = _levels(filter)
        node = self._root
        for place, level in enumerate(levels):
            following = node.below.get(level)
            if following is None:
                return len(levels) - place
            node = following
        return 0

    def remove(self, filter: str, key: object) -> bool:
        """Take back what ``key`` filed under ``filter``; say whether there was anything."""
        levels, is_multi = _levels(filter)
        path = [self._root]
        for level in levels:
            node = path[-1].below.get(level)
            if node is None:
                return False
            path.append(node)
        holders = path[-1].multi if is_multi else path[-1].ending
        if key not in holders:
            return False
        del holders[key]
        self._size -= 1
        for level in reversed(levels):
            if not path.pop().is_empty():
                break
            del path[-1].below[level]
            self.nodes -= 1
        return True

    def match(self, topic: str) -> list[T]:
        """Answer the values of all filters that match a valid ``topic``, one for each (filter, key) pair."""
        found: list[T] = []
        nodes = [self._root]
        is_leading = topic[:1] == "$"  # [MQTT-4.7.2-1]: no leading wildcard for such topics
        for level in topic.split("/"):
            following = []
            for node in nodes:
                if node.multi and not is_leading:
                    found.extend(node.multi.values())
                exact = node.below.get(level)
                if exact is not None:
                    following.append(exact)
                if not is_leading:
                    single = node.below.get("+")
                    if single is not None:
                        following.append(single)
            if not following:
                return found
            nodes = following
            is_leading = False
        for node in nodes:
            found.extend(node.multi.values())
            found.extend(node.ending.values())
        return found


def _levels(filter: str) -> tuple[list[str], bool]:
    levels = filter.split("/")
    if levels[-1] == "#":
        levels.pop()
        return levels, True
    return levels, False


def _valid_text(text: str) -> bool:
    if not text or "\0" in text:
        return False
    if text.isascii():
        return len(text) <= MAX_TOPIC_BYTES
    try:
        return len(text.encode()) <= MAX_TOPIC_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False
