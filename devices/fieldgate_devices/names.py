"""Field names: what one may be, and what a raw name of a device becomes where no profile names it.

A field is an identifier that a rule can write as it is: ``[a-z][a-z0-9_]*``, no keyword of Python, and none of the
names that rules use themselves.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Container, Sequence
from typing import Final

__all__ = ["MAX_NAME", "RESERVED", "FreeNames", "NameMaker", "name_problem", "plain_name"]

MAX_NAME: Final = 64
RESERVED: Final = frozenset({"device", "now", "prev", "last", "lane", "type"})

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OTHER: Final = re.compile(r"[^a-z0-9]+")


def name_problem(name: str) -> str:
    """Say why ``name`` cannot be a field's name; empty if it can."""
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a field name; allowed: a to z, 0 to 9 and '_', beginning with a letter"
    if len(name) > MAX_NAME:
        return f"{name[:20] + '…'!r} is too long for a field name; allowed: {MAX_NAME} characters"
    if keyword.iskeyword(name):
        return f"{name!r} is a word of the rule language; rename it: {name}_: {{from: {name}}}"
    if name in RESERVED:
        return f"{name!r} is a name that rules use themselves; rename it: {name}_: {{from: {name}}}"
    return ""


def plain_name(raw: Sequence[str | int]) -> str:
    """Return the field name for the raw names that lead to a value: ``("AM2301-1a", "Temp")`` is ``am2301_1a_temp``.

    Letters lose their accents and case, a new word in the middle of one begins with ``_``, so does everything that is
    neither letter nor digit. A name that would be none, or is taken by the language, gets an ``_`` behind it, or
    ``n_`` before its digit.
    """
    parts = []
    for one in raw:
        text = unicodedata.normalize("NFKD", str(one)).encode("ascii", "ignore").decode()
        parts.append(_OTHER.sub("_", _HUMP.sub("_", text).lower()).strip("_"))
    name = "_".join(filter(None, parts)) or "unnamed"
    if name[0].isdigit():
        name = f"n_{name}"
    name = name[:MAX_NAME]
    return f"{name}_" if keyword.iskeyword(name) or name in RESERVED else name


class NameMaker:
    """Gives each raw name of one message a field name of its own; remembers up to ``max_known`` of them.

    Names depend on nothing but the message, so that the same message gives the same fields for ever.
    """

    def __init__(self, *, max_known: int = 4096) -> None:
        self._known: dict[tuple[str | int, ...], str] = {}
        self._max_known = max_known

    def of(self, raw: tuple[str | int, ...]) -> str:
        """Return the name as `plain_name` makes it."""
        name = self._known.get(raw)
        if name is None:
            name = plain_name(raw)
            if len(self._known) >= self._max_known:
                self._known.clear()
            self._known[raw] = name
        return name


class FreeNames:
    """Gives each name once, and none of ``taken``; the time for one does not grow with how many were given."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._given: dict[str, int] = {}  # and the number to try next

    def of(self, name: str) -> str:
        """Return ``name``, or with ``_2``, ``_3`` … behind it the first that is free."""
        number, free = self._given.get(name, 2), name
        while free in self._given or free in self._taken:
            free = f"{name[: MAX_NAME - 5]}_{number}"
            number += 1
        self._given[name] = number
        self._given.setdefault(free, 2)
        return free
