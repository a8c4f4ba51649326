"""Conditions on what a message holds, as ``match.json`` and ``upgrade.when`` have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fieldgate_devices.paths import ABSENT, Path, read_path

__all__ = ["TEXT", "Conditions", "PlainText", "condition_problem"]

TEXT: Final = "$text"
"""The path to a whole payload that is no JSON but a short text."""

_NOTHING: Final[dict[str, str]] = {}


def condition_problem(wanted: object) -> str:
    """Say what is wrong with the wanted value of a condition; empty if nothing is."""
    if isinstance(wanted, dict):
        if set(wanted) != {"exists"} or not isinstance(wanted["exists"], bool):
            return "a mapping is not a condition; allowed: {exists: true} or {exists: false}"
        return ""
    if isinstance(wanted, list):
        return "a list in a list is not a condition" if any(isinstance(one, list | dict) for one in wanted) else ""
    return ""


class PlainText(str):
    """A payload that is no JSON; what is in a JSON message is a plain `str`."""

    __slots__ = ()


class Conditions:
    """All of them must hold."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self._tests = [(read_path(path), _test(value)) for path, value in wanted.items()]
        self.count = len(self._tests)

    def hold(self, record: object) -> bool:
        """Whether they do."""
        return all(test(_find(path, record)) for path, test in self._tests)


def _find(path: Path, record: object) -> object:
    if path.text == TEXT:
        return str(record) if isinstance(record, PlainText) else ABSENT
    return path.find(record, _NOTHING)


def _test(wanted: object) -> Callable[[object], bool]:
    if isinstance(wanted, dict):
        exists = wanted["exists"]
        return lambda value: (value is not ABSENT) is exists
    if isinstance(wanted, list):
        tests = [_test(one) for one in wanted]
        return lambda value: any(test(value) for test in tests)
    if isinstance(wanted, str) and "*" in wanted:
        parts = wanted.split("*")
        return lambda value: isinstance(value, str) and _fits(value, parts)
    return lambda value: (type(value) is type(wanted) and value == wanted) or _same_number(value, wanted)


def _fits(text: str, parts: Sequence[str]) -> bool:
    """Whether ``text`` is ``parts`` with anything between them; each is looked for once, so it takes linear time."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _same_number(value: object, wanted: object) -> bool:
    def is_number(one: object) -> bool:
        return isinstance(one, int | float) and not isinstance(one, bool)

    return is_number(value) and is_number(wanted) and value == wanted
