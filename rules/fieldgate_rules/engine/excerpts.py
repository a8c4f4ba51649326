"""What is kept of long events: the fields that rules read, and no payload.

Decisions and states keep the events that they come of, thousands of them, and a device may send a hundred KiB at a
time. So rules are asked about an excerpt of a long event, which is all that they can read of it, and that is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from fieldgate_devices.event import Event
from fieldgate_rules.condition import Reads
from fieldgate_rules.condition.bounds import cut

__all__ = ["LONG_BYTES", "Excerpts"]

LONG_BYTES: Final = 1_024
"""An event with more data, or with more bytes as received, is kept as an excerpt."""

_MAX_UNNUMBERED: Final = 32


class Excerpts:
    """Of the events that rules with certain `Reads` are asked about."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._unnumbered: list[tuple[Event, Event]] = []

    def use(self, reads: Reads) -> None:
        """From now on keep what these read."""
        self._names = reads.fields | reads.prev | {name for _, name in reads.last}

    def of(self, event: Event, fields: Mapping[str, object]) -> tuple[Event, Mapping[str, object]]:
        """Return what is kept of an event and of its fields; texts are as long as conditions see them."""
        excerpt = msgspec.structs.replace(event, data=b"", raw=None)
        self.number()
        self._unnumbered = [*self._unnumbered[1 - _MAX_UNNUMBERED :], (event, excerpt)]
        names = self._names
        return excerpt, {name: _short(value) for name, value in fields.items() if name in names}

    def number(self) -> None:
        """Give excerpts the numbers that their events have got since."""
        for event, excerpt in self._unnumbered:
            excerpt.seq = event.seq
        self._unnumbered = [one for one in self._unnumbered if not one[0].seq]


def _short(value: object) -> object:
    """The value, as far as conditions can tell: of a mapping or list they ask only whether it is there."""
    if isinstance(value, str):
        return cut(value)
    return type(value)() if isinstance(value, dict | list) else value
