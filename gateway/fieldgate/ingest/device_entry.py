"""What the registry knows of one device: when it was heard, how often, what it said last, and a little of before.

Data is kept as the bytes of the event and decoded when somebody asks. Of numbers a short history is kept: at most
`POINTS` of them, at first one a second, then every other is dropped and the pace halved, down to one a minute.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from typing import Final

import msgspec

from fieldgate_devices.event import GENERIC, Event, Lane, Stamp
from fieldgate_devices.generic import flatten

__all__ = ["KINDS", "POINTS", "Device", "Key", "Said", "field_values", "kind_of"]

Key = tuple[str, str]
"""The event type (a profile's id, or ``generic``) and the device's name."""

POINTS: Final = 40
KINDS: Final = ("number", "bool", "text")
_KIND_OF: Final[dict[type, str]] = {bool: "bool", int: "number", float: "number", str: "text"}
_MAX: Final = sys.float_info.max  # an int may be more
_MAX_COLUMNS: Final = 32  # numeric fields of one topic with a history
_FIRST_PERIOD_S: Final = 1.0
_LAST_PERIOD_S: Final = 60.0
_NO_VALUE: Final = float("nan")
_MAX_DATA_BYTES: Final = 8192
_COST_BYTES: Final = 700  # of an entry with nothing in it, as measured
_TOPIC_COST_BYTES: Final = 500
_COLUMN_COST_BYTES: Final = 200

_decode = msgspec.json.Decoder().decode


def field_values(data: bytes, *, is_json: bool, is_generic: bool) -> dict[str, object]:
    """Return the fields that an event's data holds; none where it is no JSON mapping."""
    if not is_json:
        return {}
    text = flatten(data) if is_generic else data
    if text is None:
        return {}
    try:
        fields = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def kind_of(value: object) -> str:
    """Return which of `KINDS` a value is; empty for what is none of them."""
    return _KIND_OF.get(type(value), "")


class Said(msgspec.Struct):
    """The last message of a device on one topic, and the numbers before it.

    ``data`` is None where it was too large to be kept. ``times`` are on the journal's clock, ``columns`` has a number
    for each, NaN where a message had none; ``next_s`` is when the next one is due.
    """

    data: bytes | None
    is_json: bool
    size_bytes: int
    stamp: Stamp
    lane: int = Lane.NORMAL
    times: array[float] = msgspec.field(default_factory=lambda: array("d"))
    columns: dict[str, array[float]] = msgspec.field(default_factory=dict)
    period_s: float = _FIRST_PERIOD_S
    next_s: float = 0.0

    def hears(self, event: Event) -> None:
        """Take the newest event."""
        size = len(event.data)
        self.data = event.data if size <= _MAX_DATA_BYTES else None
        self.is_json, self.size_bytes, self.stamp, self.lane = event.is_json, size, event.stamp, event.lane

    def add_point(self, fields: Mapping[str, object], at_s: float) -> None:
        """Add the numbers among ``fields`` to the history."""
        times, columns = self.times, self.columns
        self.next_s = at_s + self.period_s
        times.append(at_s)
        numbers = {
            name: value
            for name, value in fields.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and -_MAX < value < _MAX
        }
        for name, column in columns.items():
            column.append(numbers.get(name, _NO_VALUE))
        if len(columns) < _MAX_COLUMNS and numbers.keys() - columns.keys():
            for name, number in numbers.items():
                if name not in columns and len(columns) < _MAX_COLUMNS:
                    columns[name] = array("d", [_NO_VALUE] * (len(times) - 1))
                    columns[name].append(number)
        if len(times) > POINTS:
            self._thin_out()

    def _thin_out(self) -> None:
        """Make room: every other point goes while the pace can still slow down, then the oldest."""
        if self.period_s < _LAST_PERIOD_S:
            kept = slice((len(self.times) + 1) % 2, None, 2)  # the newest stays
            self.period_s = min(_LAST_PERIOD_S, self.period_s * 2)
        else:
            kept = slice(1, None)
        self.times = self.times[kept]
        self.columns = {name: column[kept] for name, column in self.columns.items()}

    def forget_points(self) -> None:
        """Begin the history anew."""
        self.times, self.columns = array("d"), {}
        self.period_s, self.next_s = _FIRST_PERIOD_S, 0.0

    @property
    def cost_bytes(self) -> int:
        """About how much memory it takes."""
        numbers = (len(self.columns) + 1) * (_COLUMN_COST_BYTES + 8 * len(self.times))
        return _TOPIC_COST_BYTES + len(self.data or b"") + numbers


class Device(msgspec.Struct):
    """One device. ``first`` and ``last`` say when it was heard, by the OS boot beside them; None: it made no event yet.

    ``last_s`` is ``last`` on the journal's clock, which runs on over restarts. ``topics`` are in the order in which
    they were heard last. ``fields`` are the names seen with their kind. ``cost_bytes`` is about what it takes in
    memory. ``is_stored``: the file knows it.
    """

    type: str
    name: str
    version: int
    first: Stamp
    first_boot: str
    last: Stamp | None = None
    last_boot: str = ""
    last_s: float = 0.0
    messages: int = 0
    errors: int = 0
    last_error: str = ""
    is_silent: bool = False
    topics: dict[str, Said] = msgspec.field(default_factory=dict)
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    cost_bytes: int = 0
    is_stored: bool = False

    @property
    def key(self) -> Key:
        """See `Key`."""
        return self.type, self.name

    @property
    def is_generic(self) -> bool:
        """Whether no profile names it."""
        return self.type == GENERIC

    def measured(self) -> int:
        """Return ``cost_bytes`` anew."""
        said = sum(one.cost_bytes + len(topic) for topic, one in self.topics.items())
        return _COST_BYTES + 2 * len(self.name) + len(self.last_error) + 80 * len(self.fields) + said

    def values(self) -> dict[str, tuple[object, str]]:
        """Return each field's last value and the topic it came on, the newest message last."""
        found: dict[str, tuple[object, str]] = {}
        for topic, said in self.topics.items():
            if said.data is None:
                continue
            values = field_values(said.data, is_json=said.is_json, is_generic=self.is_generic)
            found.update({name: (value, topic) for name, value in values.items()})
        return found
