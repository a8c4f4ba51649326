"""Fields that a message has once per sensor, channel or component: ``{sensor}_temperature``."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, NamedTuple

from fieldgate_devices.breach import Breach
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.members import PART, Members, Trail, read_members
from fieldgate_devices.names import FreeNames, NameMaker
from fieldgate_devices.paths import ABSENT

__all__ = ["Found", "Repeated"]


_MAX_FIELDS: Final = 512  # of one message, as of those that no profile names
_names = NameMaker()


class Found(NamedTuple):
    """One field that came of a message: of which repeated field, its own name, its value."""

    of: str
    name: str
    value: object


class Repeated:
    """All repeated fields of a profile; ``fields`` are the names that its plain fields have."""

    def __init__(
        self,
        specs: Mapping[str, FieldSpec],
        fields: Container[str],
        *,
        lenient: bool,
        no_reading: Iterable[object] = (),
    ) -> None:
        self._fields = fields
        self._kinds: list[tuple[str, FieldSpec, FieldReader, list[Members]]] = [
            (
                name,
                spec,
                FieldReader(name, spec, lenient=lenient, no_reading=no_reading),
                [read_members(path) for path in spec.from_],
            )
            for name, spec in specs.items()
        ]

    def read(self, record: object, claimed: set[Trail]) -> list[Found]:
        """Return what the record has, in the order of the message; adds to ``claimed`` the members that were read.

        A member that is claimed already is passed over, so is one that does not fit where ``unfit`` allows that.

        Raises:
            Breach: a value is not what the profile says, or there are too many.
        """
        found: list[tuple[tuple[int, ...], Found]] = []
        names = FreeNames(self._fields)
        dropped: set[Trail] = set()
        places = _Places(record)
        for kind, spec, reader, paths in self._kinds:
            for path in paths:
                convert = reader.unit_of(path.text, record)
                for trail, parts, raw in path.find(record):
                    if raw is None or any(trail[:depth] in claimed for depth in range(len(trail), 0, -1)):
                        continue
                    try:
                        value = reader.value_of(raw, convert)
                    except Breach:
                        if spec.unfit == "refuse":
                            raise
                        if reader.drops(raw):
                            dropped.add(trail)
                        continue
                    claimed.add(trail)
                    if value is ABSENT:
                        continue
                    if len(found) >= _MAX_FIELDS:
                        raise Breach("unknown_field", f"it gives more than {_MAX_FIELDS} fields")
                    found.append((places.of(trail), Found(kind, names.of(_named(kind, parts)), value)))
        claimed |= dropped
        found.sort(key=lambda one: one[0])
        return [one for _, one in found]


class _Places:
    """Where members stand in a record, to put what was found in the order of the message."""

    def __init__(self, record: object) -> None:
        self._record = record
        self._known: dict[Trail, dict[str, int]] = {}

    def of(self, trail: Trail) -> tuple[int, ...]:
        """Return the position at each step."""
        places = []
        value: object = self._record
        for depth, step in enumerate(trail):
            if isinstance(value, dict):
                above = trail[:depth]
                if above not in self._known:
                    self._known[above] = {key: place for place, key in enumerate(value)}
                places.append(self._known[above][str(step)])
                value = value[step]
            elif isinstance(value, list) and isinstance(step, int):
                places.append(step)
                value = value[step]
        return tuple(places)


def _named(template: str, parts: Mapping[str, str]) -> str:
    return _names.of((PART.sub(lambda match: parts[match[1]], template),))
