"""What devices said last, of the fields that some rule reads: ``prev.x`` and ``last("device", "x")``.

The mapping of a device is replaced, never changed, so that whoever keeps `Facts` keeps what was true then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fieldgate_rules.condition import Reading, Reads

__all__ = ["Latest"]

_NOTHING: Final[Mapping[str, Reading]] = {}
_PLAIN: Final = (int, float, bool, str)


class Latest:
    """``of`` gives a device's values; of at most ``max_devices``; who was heard the longest ago goes first."""

    def __init__(self, reads: Reads, *, max_devices: int) -> None:
        self.devices: dict[str, Mapping[str, Reading]] = {}
        self.changed: dict[str, None] = {}
        self._max_devices = max_devices
        self.use(reads)

    def use(self, reads: Reads) -> None:
        """From now on keep what these read."""
        self._prev = reads.prev
        self._of_device: dict[str, frozenset[str]] = {}
        for device, name in reads.last:
            self._of_device[device] = self._of_device.get(device, frozenset()) | {name}
        self.is_needed = bool(self._prev or self._of_device)

    def wants(self, device: str) -> bool:
        """Whether anything that the device says is to be kept."""
        return bool(self._prev) or device in self._of_device

    def of(self, device: str) -> Mapping[str, Reading]:
        """Return what the device said last, by field."""
        return self.devices.get(device, _NOTHING)

    def last(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Reading]:
        """Return what these devices said last in these fields."""
        found = {}
        for device, name in wanted:
            reading = self.of(device).get(name)
            if reading is not None:
                found[device, name] = reading
        return found

    def hears(self, device: str, fields: Mapping[str, object], boot_s: float) -> None:
        """Take what a device says now."""
        names = self._prev | self._of_device.get(device, frozenset())
        news = {name: Reading(fields[name], boot_s) for name in sorted(names) if isinstance(fields.get(name), _PLAIN)}
        if not news:
            return
        self.devices[device] = {**self.devices.pop(device, _NOTHING), **news}
        self.changed[device] = None
        if len(self.devices) > self._max_devices:
            gone = next(iter(self.devices))
            del self.devices[gone]
            self.changed[gone] = None

    def restore(self, device: str, values: Mapping[str, Reading]) -> None:
        """Take what was saved of a device."""
        if len(self.devices) < self._max_devices:
            self.devices[device] = values
