"""Take a regular expression apart: the part of RE2's syntax that rules may use, as a tree of sets, rows and repeats.

RE2 itself decides what is right; this only has to understand the same, so that `pattern_states` can count. What it does
not know is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["ANY_CHARACTER", "Choice", "End", "Part", "Ranges", "Repeat", "Row", "Start", "parse_pattern"]

Ranges = tuple[tuple[int, int], ...]
"""Characters, as pairs of first and last."""

_LAST: Final = 0x10FFFF
ANY_CHARACTER: Final[Ranges] = ((0, _LAST),)
_DOT: Final[Ranges] = ((0, 9), (11, _LAST))
_CLASSES: Final[dict[str, Ranges]] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 10), (12, 13), (32, 32)),
}
_POSIX: Final[dict[str, Ranges]] = {
    "alpha": ((65, 90), (97, 122)), "digit": ((48, 57),), "alnum": ((48, 57), (65, 90), (97, 122)),
    "upper": ((65, 90),), "lower": ((97, 122),), "space": ((9, 13), (32, 32)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)), "word": _CLASSES["w"],
}  # fmt: skip
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7}
_COUNTS: Final = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_HEX: Final = re.compile(r"x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_FLAGS: Final = re.compile(r"\(\?([is]+)\)")
_GROUP: Final = re.compile(r"\((?:\?:|\?P<\w+>)?(?!\?)")
_POSIX_NAME: Final = re.compile(r"\[:(\^?)(\w+):\]")
_FEW: Final = 256


@dataclass(frozen=True, slots=True)
class Row:
    """Parts one behind the other; none is the empty text."""

    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part, at least ``low`` times; ``high`` None is without end."""

    part: Part
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Start:
    """``^``: the beginning of the text."""


@dataclass(frozen=True, slots=True)
class End:
    """``$``: its end."""


Part = Row | Choice | Repeat | Start | End | Ranges


def parse_pattern(text: str) -> Part:
    """Return the tree.

    Raises:
        ValueError: it holds what rules do not have.
    """
    flags = _FLAGS.match(text)
    reader = _Reader(text, flags.end() if flags is not None else 0, flags[1] if flags is not None else "")
    part = reader.choice()
    if reader.at < len(text):
        raise reader.refusal()
    return part


class _Reader:
    """Reads from ``at`` on."""

    def __init__(self, text: str, at: int, flags: str) -> None:
        self.at = at
        self._text = text
        self._folds = "i" in flags
        self._dot = ANY_CHARACTER if "s" in flags else _DOT

    def refusal(self) -> ValueError:
        """What cannot be read here."""
        return ValueError(f"'{self._text[self.at : self.at + 4]}' is no part of the patterns of this language")

    def choice(self) -> Part:
        rows = [self._row()]
        while self._next() == "|":
            self.at += 1
            rows.append(self._row())
        return rows[0] if len(rows) == 1 else Choice(tuple(rows))

    def _next(self) -> str:
        return self._text[self.at : self.at + 1]

    def _row(self) -> Part:
        parts: list[Part] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._one()))
        return Row(tuple(parts))

    def _repeated(self, part: Part) -> Part:
        while True:
            match self._next():
                case "*":
                    part = Repeat(part, 0, None)
                case "+":
                    part = Repeat(part, 1, None)
                case "?":
                    part = Repeat(part, 0, 1)
                case "{" if (counts := _COUNTS.match(self._text, self.at)) is not None:
                    high = int(counts[1]) if counts[2] is None else int(counts[3]) if counts[3] else None
                    part = Repeat(part, int(counts[1]), high)
                    self.at = counts.end() - 1
                case _:
                    return part
            self.at += 1
            self.at += self._next() == "?"  # as few as possible: where it fits is the same

    def _one(self) -> Part:
        sign = self._next()
        match sign:
            case "(":
                group = _GROUP.match(self._text, self.at)
                if group is None:
                    raise self.refusal()
                self.at = group.end()
                part = self.choice()
                if self._next() != ")":
                    raise self.refusal()
                self.at += 1
                return part
            case "[":
                return self._set()
            case "\\":
                return self._escape()
        self.at += 1
        match sign:
            case "^":
                return Start()
            case "$":
                return End()
            case ".":
                return self._dot
        return self._folded(((ord(sign), ord(sign)),))

    def _escape(self) -> Part:
        name = self._text[self.at + 1 : self.at + 2]
        if name in ("b", "B", "A", "z"):
            self.at += 2
            return Start() if name == "A" else End() if name == "z" else Row()
        return self._folded(self._escaped_set())

    def _escaped_set(self) -> Ranges:
        """The characters of an escape, within a set or without."""
        name = self._text[self.at + 1 : self.at + 2]
        if name.lower() in _CLASSES:
            self.at += 2
            found = _CLASSES[name.lower()]
            return found if name.islower() else _others(found)
        if (code := _HEX.match(self._text, self.at + 1)) is not None:
            self.at = code.end()
            number = int(code[1] or code[2], 16)
            return ((number, number),)
        if name in _CONTROLS:
            number = _CONTROLS[name]
        elif name and not name.isalnum():
            number = ord(name)
        else:
            raise self.refusal()
        self.at += 2
        return ((number, number),)

    def _set(self) -> Ranges:
        self.at += 1
        is_turned = self._next() == "^"
        self.at += is_turned
        found: list[tuple[int, int]] = []
        is_first = True
        while (sign := self._next()) != "]" or is_first:
            is_first = False
            if sign == "[" and (posix := _POSIX_NAME.match(self._text, self.at)) is not None:
                if posix[2] not in _POSIX:
                    raise self.refusal()
                self.at = posix.end()
                found += _others(_POSIX[posix[2]]) if posix[1] else _POSIX[posix[2]]
                continue
            low = self._in_set()
            is_range = self._text[self.at : self.at + 1] == "-" and self._text[self.at + 1 : self.at + 2] not in (
                "]",
                "",
            )
            if is_range and len(low) == 1 and low[0][0] == low[0][1]:
                self.at += 1
                found.append((low[0][0], self._in_set()[0][1]))
            else:
                found += low
        self.at += 1
        ranges = self._folded(tuple(found))
        return _others(ranges) if is_turned else ranges

    def _in_set(self) -> Ranges:
        sign = self._next()
        if sign == "":
            raise self.refusal()
        if sign == "\\":
            return self._escaped_set()
        self.at += 1
        return ((ord(sign), ord(sign)),)

    def _folded(self, ranges: Ranges) -> Ranges:
        """With the other case of each letter, where case does not count."""
        if not self._folds:
            return ranges
        cases = [
            ord(other)
            for low, high in ranges
            for code in range(low, min(high, low + _FEW) + 1)
            for other in (chr(code).lower(), chr(code).upper())
            if len(other) == 1
        ]
        return (*ranges, *((code, code) for code in cases))


def _others(ranges: Ranges) -> Ranges:
    """All characters that are not in ``ranges``."""
    found, begin = [], 0
    for low, high in sorted(ranges):
        if begin < low:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    return (*found, *([(begin, _LAST)] if begin <= _LAST else []))
