"""Which rules take an event: found by its address, not by asking every rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from fieldgate_devices.event import LANES, Address
from fieldgate_rules.rule import EventTrigger, Rule

__all__ = ["Index"]

P = TypeVar("P")
_MAX_CACHED: Final = 20_000
_SIGNS: Final = frozenset("*?[")


class Index(Generic[P]):
    """``parts`` are the rules with what is kept of each. ``by_lane[lane]`` is the cache that the fast path asks."""

    def __init__(self, parts: Sequence[tuple[Rule, P]]) -> None:
        self.by_lane: list[dict[Address, tuple[P, ...]]] = [{} for _ in LANES]
        self._of_device: dict[str, list[int]] = {}
        self._of_type: dict[str, list[int]] = {}
        self._others: list[int] = []
        self._entries: list[tuple[int, EventTrigger, P]] = []
        for rank, (rule, part) in enumerate(parts):
            for trigger in rule.triggers:
                if isinstance(trigger, EventTrigger):
                    self._add(rank, trigger, part)

    def _add(self, rank: int, trigger: EventTrigger, part: P) -> None:
        number = len(self._entries)
        self._entries.append((rank, trigger, part))
        if trigger.devices and not any(_SIGNS & set(glob) for glob in trigger.devices):
            for device in trigger.devices:
                self._of_device.setdefault(device, []).append(number)
        elif trigger.types:
            for type_ in trigger.types:
                self._of_type.setdefault(type_, []).append(number)
        else:
            self._others.append(number)

    def find(self, address: Address, lane: int) -> tuple[P, ...]:
        """Return what takes events of this address in this lane, in the order of the rules; remembered."""
        numbers = [
            *self._of_device.get(address.device, ()), *self._of_type.get(address.type, ()), *self._others,
        ]  # fmt: skip
        taken = self._taking(numbers, address, lane, is_derived=False)
        cache = self.by_lane[lane]
        if len(cache) >= _MAX_CACHED:
            cache.clear()
        cache[address] = taken
        return taken

    def find_derived(self, address: Address, lane: int) -> tuple[P, ...]:
        """Return what takes an event that a rule has made: only who names its type. Devices did not say it."""
        numbers = [*self._of_device.get(address.device, ()), *self._of_type.get(address.type, ())]
        return self._taking(numbers, address, lane, is_derived=True)

    def _taking(self, numbers: Sequence[int], address: Address, lane: int, *, is_derived: bool) -> tuple[P, ...]:
        found: dict[int, P] = {}
        for number in numbers:
            rank, trigger, part = self._entries[number]
            is_meant = trigger.types or not is_derived
            if rank not in found and is_meant and trigger.takes(address.type, address.device, lane):
                found[rank] = part
        return tuple(found[rank] for rank in sorted(found))
