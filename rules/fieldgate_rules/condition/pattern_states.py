"""How many states a search for a regular expression can be in: what makes one slow, whatever the length of the text.

RE2 makes states as a text needs them. Few of them are made once and for all, and each byte of a text then costs a
nanosecond; ``a.{30}b`` has a billion, of which a text can ask for a new one with each byte. So patterns are followed
through all of their states before they are used, and those with too many are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from fieldgate_rules.condition.pattern_syntax import Choice, End, Part, Repeat, Row, Start, parse_pattern

__all__ = ["MAX_STATES", "texts_through_all_states"]

MAX_STATES: Final = 128
_MAX_NODES: Final = 512
_MAX_WAYS: Final = 4_096
_BORDERS: Final = (0, 0x80, 0x800, 0xD800, 0xE000, 0x10000)  # where UTF-8 takes another byte, or no character is


def texts_through_all_states(pattern: str) -> list[str]:
    """Return texts that lead a search through every state and every step between two.

    Raises:
        ValueError: there are too many, or the pattern holds what rules do not have.
    """
    return _Search(parse_pattern(pattern)).tour()


class _Search:
    """The pattern as a net of nodes; a state is a set of nodes, as the bits of a number."""

    def __init__(self, part: Part) -> None:
        self._ways: list[list[int]] = []  # from each node to those that are reached without a character
        self._starts: set[int] = set()  # nodes that are passed at the beginning of the text only
        self._takes: dict[int, tuple[tuple[tuple[int, int], ...], int]] = {}
        self._match = self._node()
        self._first = self._add(part, self._match)
        self._letters = self._alphabet()

    def tour(self) -> list[str]:
        again = self._closed([self._first], is_start=False)
        begin = self._closed([self._first], is_start=True)
        paths: dict[int, str] = {begin: ""}
        texts = [""]
        for state, path in self._walk(paths):
            for letter, takers in self._letters:
                texts.append(path + letter)
                if len(texts) > _MAX_WAYS:
                    raise ValueError(f"the pattern is too intricate: it leads more than {_MAX_WAYS} ways")
                following = again
                for node in _bits(state & takers):
                    following |= self._closed([self._takes[node][1]], is_start=False)
                if following not in paths:
                    paths[following] = path + letter
                    if len(paths) > MAX_STATES:
                        raise ValueError(
                            f"the pattern has more than {MAX_STATES} states to be followed; "
                            "shorten its counts and repeats"
                        )
        return texts

    def _walk(self, paths: dict[int, str]) -> Iterator[tuple[int, str]]:
        """The states, those too that are found on the way."""
        done = 0
        while done < len(paths):
            state = list(paths)[done]
            done += 1
            yield state, paths[state]

    def _node(self, *ways: int) -> int:
        if len(self._ways) >= _MAX_NODES:
            raise ValueError(f"the pattern is too long with its repeats written out; allowed: {_MAX_NODES} parts")
        self._ways.append(list(ways))
        return len(self._ways) - 1

    def _add(self, part: Part, following: int) -> int:
        """Return the node at which ``part`` begins; behind it comes ``following``."""
        match part:
            case Row():
                for one in reversed(part.parts):
                    following = self._add(one, following)
                return following
            case Choice():
                return self._node(*(self._add(one, following) for one in part.parts))
            case Repeat():
                return self._repeat(part, following)
            case Start():
                node = self._node(following)
                self._starts.add(node)
                return node
            case End():
                return self._node()  # nothing comes behind the end of the text
            case tuple():
                node = self._node()
                self._takes[node] = (part, following)
                return node
            case _:
                assert_never(part)

    def _repeat(self, part: Repeat, following: int) -> int:
        if part.high is None:
            loop = self._node(following)
            self._ways[loop].append(self._add(part.part, loop))
            following = loop
        else:
            for _ in range(part.high - part.low):
                following = self._node(following, self._add(part.part, following))
        for _ in range(part.low):
            following = self._add(part.part, following)
        return following

    def _closed(self, nodes: list[int], *, is_start: bool) -> int:
        """All nodes that are reached from ``nodes`` without a character."""
        state, waiting = 0, nodes
        while waiting:
            node = waiting.pop()
            if state >> node & 1 or (node in self._starts and not is_start):
                continue
            state |= 1 << node
            waiting.extend(self._ways[node])
        return state

    def _alphabet(self) -> list[tuple[str, int]]:
        """A letter for each kind of character that nodes tell apart, and the nodes that take it."""
        borders = {border for ranges, _ in self._takes.values() for low, high in ranges for border in (low, high + 1)}
        found: dict[tuple[int, int], str] = {}
        for code in sorted({*borders, *_BORDERS}):
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                continue
            takers = 0
            for node, (ranges, _) in self._takes.items():
                takers |= any(low <= code <= high for low, high in ranges) << node
            found.setdefault((takers, len(chr(code).encode())), chr(code))
        return [(letter, takers) for (takers, _), letter in found.items()]


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
