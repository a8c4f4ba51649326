"""Make plain values of what CBOR and MessagePack know beyond them, within the limits.

Keys become texts: a whole number its digits, bytes that are UTF-8 that text. Two keys that are the same then are
refused, like any key that comes twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import MAX_DEPTH, MAX_VALUES_OF_MESSAGE

__all__ = ["NanMeaning", "Plain", "key_text"]

NanMeaning = Literal["refuse", "absent"]


class Plain:
    """Converts the values of one message.

    ``other`` makes a value of what is none yet (a tag, an extension type) or raises `Undecodable`.
    """

    def __init__(self, *, nan: NanMeaning, other: Callable[[object], Value]) -> None:
        self._is_nan_absent = nan == "absent"
        self._other = other
        self._left = MAX_VALUES_OF_MESSAGE
        self.keys = 0  # of all mappings so far

    def value(self, found: object, *, depth: int = 0) -> Value:
        """Return ``found`` as a plain value.

        Raises:
            Undecodable: it is deeper or larger than the limits, or cannot be one.
        """
        self._left -= 1
        if self._left < 0:
            raise Undecodable(f"the message holds more than {MAX_VALUES_OF_MESSAGE} values")
        if isinstance(found, dict | list | tuple):
            if depth >= MAX_DEPTH:
                raise Undecodable(f"lists and mappings are nested deeper than {MAX_DEPTH} levels")
            return self._members(found, depth) if isinstance(found, dict) else self._elements(found, depth)
        if isinstance(found, float) and self._is_nan_absent and found != found:
            return None
        if found is None or isinstance(found, bool | int | float | str | bytes):
            return found
        return self._other(found)

    def _members(self, found: dict[object, object], depth: int) -> Record:
        record: Record = {}
        self.keys += len(found)
        for key, one in found.items():
            name = key_text(key)
            if name in record:
                raise Undecodable(f"the key {excerpt(name)} comes twice")
            record[name] = self.value(one, depth=depth + 1)
        return record

    def _elements(self, found: list[object] | tuple[object, ...], depth: int) -> list[Value]:
        return [self.value(one, depth=depth + 1) for one in found]


def key_text(key: object) -> str:
    """Return a key as a text.

    Raises:
        Undecodable: it is neither a text nor a whole number.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool) and abs(key) < 2**64:
        return str(key)
    if isinstance(key, bytes):
        try:
            return key.decode()
        except UnicodeDecodeError:
            raise Undecodable(f"a key is no text: {excerpt(key)}") from None
    raise Undecodable(f"a key is neither a text nor a whole number, but {type(key).__name__}")
