"""Bring a message of an older version of its contract to the newest, step by step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.conditions import Conditions
from fieldgate_devices.fields import finite
from fieldgate_devices.paths import ABSENT, Path, read_path
from fieldgate_devices.profile import Scaling, SplitSpec, UpgradeSpec

__all__ = ["Upgrade"]

_NOTHING: dict[str, str] = {}


class Upgrade:
    """The steps of one older version. ``when`` is None where nothing is said of how its messages are known."""

    def __init__(self, version: int, spec: UpgradeSpec) -> None:
        self.version = version
        self.when = Conditions(spec.when) if spec.when else None
        self._renames = [(read_path(old), new) for old, new in spec.rename.items()]
        self._splits = [(read_path(path), split) for path, split in spec.split.items()]
        self._scales = [(read_path(path), scaling) for path, scaling in spec.scale.items()]
        self._defaults: Mapping[str, Any] = spec.default

    def apply(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record as the next version would have it; what the steps name and it lacks is passed over.

        Raises:
            Breach: a value cannot be converted.
        """
        made = copy.deepcopy(record)
        for path, new in self._renames:
            value = _take(made, path)
            if value is not ABSENT:
                made[new] = value
        for path, split in self._splits:
            self._split(made, path, split)
        for path, scaling in self._scales:
            self._scale(made, path, scaling)
        for name, value in self._defaults.items():
            made.setdefault(name, value)
        return made

    def _split(self, record: dict[str, Any], path: Path, split: SplitSpec) -> None:
        value = _take(record, path)
        if value is ABSENT:
            return
        if not isinstance(value, str):
            raise Breach("wrong_type", f"{path.text} is {shown(value)}, not a text that can be split")
        parts = value.split(split.separator)
        if len(parts) != len(split.into):
            raise Breach(
                "wrong_type", f"{path.text} is {shown(value)}, which has {len(parts)} parts, not {len(split.into)}"
            )
        record.update(zip(split.into, map(_plain, parts), strict=True))

    def _scale(self, record: dict[str, Any], path: Path, scaling: Scaling) -> None:
        value = path.find(record, _NOTHING)
        if value is ABSENT or value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Breach("wrong_type", f"{path.text} is {shown(value)}, not a number")
        owner, last = _owner(record, path)
        owner[last] = round(finite(value, path.text) * scaling.scale + scaling.offset, 10)


def _owner(record: dict[str, Any], path: Path) -> tuple[Any, Any]:
    """The mapping or list that holds the end of ``path``, and the key there; the record has the path."""
    owner: Any = record
    for step in path.steps[:-1]:
        owner = owner[step]
    return owner, path.steps[-1]


def _take(record: dict[str, Any], path: Path) -> object:
    """Remove the value at ``path`` and return it."""
    value = path.find(record, _NOTHING)
    if value is not ABSENT:
        owner, last = _owner(record, path)
        del owner[last]
    return value


def _plain(text: str) -> object:
    """A part of a text: a number where it is one."""
    try:
        return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text.strip()
