"""Where a binary decoder is in a payload, and what it has read so far."""

from __future__ import annotations

from fieldgate_devices.decoders.binary_types import PLACE
from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import Allowance, check_record_count

__all__ = ["Scope", "State"]


class State:
    """The position; how much may still be read; the readings so far."""

    __slots__ = ("at", "end", "payload", "readings", "spend")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 0
        self.end = len(payload)
        self.readings: list[Record] | None = None
        self.spend = Allowance().spend  # a layout may repeat a field for as long as a payload says

    @property
    def left(self) -> int:
        """Bytes from here to the end."""
        return max(0, self.end - self.at)

    def take(self, size: int, name: str) -> bytes:
        """Return the next ``size`` bytes, which hold ``name``."""
        start = self.at
        if start + size > self.end:
            raise Undecodable(
                f"the payload ends at byte {self.end}, within {name} (bytes {start} to {start + size - 1})"
            )
        self.at = start + size
        return self.payload[start : self.at]

    def limit(self, size: int, name: str) -> None:
        """Let the payload end ``size`` bytes from here."""
        if size > self.left:
            raise Undecodable(f"{name} is said to have {size} bytes; {self.left} are left")
        self.end = self.at + size

    def add_readings(self, readings: list[Record]) -> None:
        """Add the repetitions of a group of readings."""
        self.readings = [*(self.readings or ()), *readings]
        check_record_count(len(self.readings))


class Scope:
    """The values of one group; those around it can be read, not altered."""

    __slots__ = ("_outer", "start", "values")

    def __init__(self, values: Record, *, start: int, outer: Scope | None = None) -> None:
        self.values = values
        self.start = start
        self._outer = outer

    def inner(self, *, start: int) -> Scope:
        """Return an empty scope within this one."""
        return Scope({}, start=start, outer=self)

    def named(self, name: str) -> str:
        """Return ``name`` with the values of earlier fields in it."""
        return PLACE.sub(lambda place: str(self.get(place[1])), name) if "{" in name else name

    def put(self, name: str, value: Value) -> None:
        """Add a value.

        Raises:
            Undecodable: there is one of that name.
        """
        if name in self.values:
            raise Undecodable(f"{excerpt(name)} comes twice")
        self.values[name] = value

    def add(self, values: Record) -> None:
        """Add several values.

        Raises:
            Undecodable: there is one of those names.
        """
        if twice := self.values.keys() & values.keys():
            raise Undecodable(f"{excerpt(min(twice))} comes twice")
        self.values.update(values)

    def merge(self, inner: Scope) -> None:
        """Take over the values of a group that has no name."""
        self.add(inner.public())

    def public(self) -> Record:
        """The values that are not only there for the layout."""
        return {name: value for name, value in self.values.items() if not name.startswith("_")}

    def get(self, name: str) -> Value:
        """Return the value of an earlier field, here or around.

        Raises:
            Undecodable: the payload did not come past it (it stands in what was not chosen).
        """
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope._outer
        raise Undecodable(f"{name} was not read")

    def number(self, name: str) -> int | float:
        """Return the number that an earlier field holds."""
        value = self.get(name)
        if not isinstance(value, int | float):
            raise Undecodable(f"{name} is no number")
        return value

    def whole(self, written: int | str | None) -> int:
        """Return a count or position: the number as written, or what that field holds."""
        number = written if isinstance(written, int) else self.number(str(written))
        if not isinstance(number, int) or number < 0:
            raise Undecodable(f"{written} is {number}; a whole number from 0 is expected")
        return number
