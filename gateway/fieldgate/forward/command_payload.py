"""What the payload of a command says: its arguments, and perhaps an id, when it was given, and how old it may be.

Nothing at all, or a JSON object, in one of two forms:

- the arguments themselves, with the command's ``id`` among them: ``{"position": 40, "id": "a7"}``
- with a member ``arguments``, and beside it nothing but ``id``, ``at`` and ``max_age``:
  ``{"arguments": {"position": 40}, "id": "a7", "at": "2026-05-01T10:00:00Z", "max_age": 30}``

The second is for whoever wants to say when the command was given, and for commands with arguments of these names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from fieldgate.decide.orders import LONGEST_AGE_S, MAX_ID_CHARS, is_too_deep

__all__ = ["Asked", "BadCommand", "id_in", "read_payload"]

_MAX_BYTES: Final = 64 * 1024
_LONG_FORM: Final = ("arguments", "id", "at", "max_age")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS: Final = (1 << 63) - 1


class BadCommand(ValueError):
    """A message on the topic of a command is none; the text is for whoever sent it."""


class Asked(msgspec.Struct, frozen=True):
    """``id`` is empty where there is none; ``made_at_ns`` is UTC since 1970."""

    arguments: dict[str, Any]
    id: str = ""
    made_at_ns: int | None = None
    max_age_s: float | None = None


_decode: Final = msgspec.json.Decoder().decode


def read_payload(payload: bytes) -> Asked:
    """Return what a payload says.

    Raises:
        BadCommand: it says nothing that could be a command.
    """
    if not payload:
        return Asked({})
    if len(payload) > _MAX_BYTES:
        raise BadCommand(f"the payload has {len(payload):,} bytes; allowed: {_MAX_BYTES:,}")
    try:
        said = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCommand(f"the payload is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise BadCommand('the payload is not a JSON object; write the arguments as {"name": value}')
    if "arguments" not in said:
        _check_depth(said)
        return Asked({name: value for name, value in said.items() if name != "id"}, _id(said.get("id")))
    for name in said:
        if name not in _LONG_FORM:
            raise BadCommand(
                f"{name!r} stands beside 'arguments'; allowed there: 'id', 'at', 'max_age', and arguments within it"
            )
    arguments = said["arguments"]
    if not isinstance(arguments, dict):
        raise BadCommand("'arguments' is not a JSON object")
    _check_depth(arguments)
    return Asked(arguments, _id(said.get("id")), _at(said.get("at")), _max_age(said.get("max_age")))


def id_in(payload: bytes) -> str:
    """Return the id of what is refused, as far as it can be read, so that its sender knows what was; else nothing."""
    if len(payload) > _MAX_BYTES:
        return ""
    try:
        said = _decode(payload)
        return _id(said.get("id")) if isinstance(said, dict) else ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadCommand):
        return ""


def _check_depth(arguments: dict[str, Any]) -> None:
    if is_too_deep(arguments):
        raise BadCommand("the arguments are nested too deep")


def _id(said: object) -> str:
    if said is None:
        return ""
    if isinstance(said, int) and not isinstance(said, bool):
        said = str(said)
    if not isinstance(said, str):
        raise BadCommand("'id' is neither a text nor a whole number")
    if not 0 < len(said) <= MAX_ID_CHARS:
        raise BadCommand(f"'id' has {len(said):,} characters; allowed: 1 to {MAX_ID_CHARS}")
    return said


def _at(said: object) -> int | None:
    if said is None:
        return None
    try:
        made_at = msgspec.convert(said, datetime)
    except msgspec.ValidationError:
        made_at = None
    if made_at is None or made_at.tzinfo is None:
        raise BadCommand("'at' is not a time of RFC 3339 with its zone, such as '2026-05-01T10:00:00Z'")
    made_at_ns = (made_at - _EPOCH) // timedelta(microseconds=1) * 1000
    if not 0 <= made_at_ns <= _MAX_NS:
        raise BadCommand(f"'at' is {said!r}; allowed: from 1970 to 2262")
    return made_at_ns


def _max_age(said: object) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= LONGEST_AGE_S:
        raise BadCommand(f"'max_age' is not a number of seconds; allowed: more than 0, at most {LONGEST_AGE_S:,.0f}")
    return float(said)
