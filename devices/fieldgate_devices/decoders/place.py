"""Where in a message a payload or a list of readings stands: a path as everywhere in a profile (``paths.py``)."""

from __future__ import annotations

from typing import Annotated, Final, cast

from pydantic import AfterValidator

from fieldgate_devices.decoders.decoder import Value
from fieldgate_devices.paths import ABSENT, TOPIC, Absent, Path, read_path

__all__ = ["Place", "PlaceText"]

_WHOLE: Final = "."  # not a path: the message itself


def _check(text: str) -> str:
    Place(text)
    return text


class Place:
    """A path into a message, or ``.``, the message itself."""

    def __init__(self, text: str) -> None:
        """Raise ValueError where ``text`` is no path."""
        self._path: Path | None = None if text == _WHOLE else read_path(text)
        if self._path is not None and self._path.steps[0] == TOPIC:
            raise ValueError(f"{text!r} leads out of the message")
        self._text = text

    def find(self, message: Value) -> Value | Absent:
        """Return what stands there, or `ABSENT`."""
        if self._path is None:
            return message
        found = self._path.find(message, {})
        return ABSENT if isinstance(found, Absent) else cast("Value", found)

    def without(self, message: Value) -> Value:
        """Return the message without what stands there; what is on the way is copied, nothing is altered."""
        if self._path is None:
            return {}
        trail = self._path.locate(message)
        return message if trail is None else _without(message, trail)

    def replaced(self, message: Value, value: Value) -> Value:
        """Return the message with ``value`` instead of what stands there; see `without`."""
        if self._path is None:
            return value
        trail = self._path.locate(message)
        return message if trail is None else _replaced(message, trail, value)

    def __str__(self) -> str:
        return self._text


def _without(value: Value, trail: tuple[str | int, ...]) -> Value:
    step, rest = trail[0], trail[1:]
    if isinstance(value, dict) and isinstance(step, str):
        if rest:
            return {**value, step: _without(value[step], rest)}
        return {key: one for key, one in value.items() if key != step}
    if isinstance(value, list) and isinstance(step, int):
        return [*value[:step], *([_without(value[step], rest)] if rest else []), *value[step + 1 :]]
    return value


def _replaced(value: Value, trail: tuple[str | int, ...], new: Value) -> Value:
    if not trail:
        return new
    step, rest = trail[0], trail[1:]
    if isinstance(value, dict) and isinstance(step, str):
        return {**value, step: _replaced(value[step], rest, new)}
    if isinstance(value, list) and isinstance(step, int):
        return [*value[:step], _replaced(value[step], rest, new), *value[step + 1 :]]
    return value


PlaceText = Annotated[str, AfterValidator(_check)]
