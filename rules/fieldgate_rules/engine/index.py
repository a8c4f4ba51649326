"""Which rules take an event: found by its address, not by asking every rule."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from fieldgate_devices.event import LANES, Address
from fieldgate_rules.rule import EventTrigger, Rule

__all__ = ["Index"]

P = TypeVar("P")
_MAX_CACHED: Final = 15_000
_MAX_AGED: Final = 5_000
_SIGNS: Final = frozenset("*?[")


class Index(Generic[P]):
    """``parts`` are the rules with what is kept of each. ``by_lane[lane]`` is the cache that the fast path asks.

    Nobody notes what is found there: that costs nothing. Once it is full the oldest address leaves it for each new one,
    and is among the aged for a while: asked about again it comes back as it was, else it is forgotten.
    """

    def __init__(self, parts: Sequence[tuple[Rule, P]]) -> None:
        self.by_lane: list[dict[Address, tuple[P, ...]]] = [{} for _ in LANES]
        self._order: list[deque[Address]] = [deque() for _ in LANES]
        self._aged: list[OrderedDict[Address, tuple[P, ...]]] = [OrderedDict() for _ in LANES]
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
        """Return what takes events of this address in this lane, in the order of the rules; remembered.

        Of an address that is not in ``by_lane[lane]``.
        """
        taken = self._aged[lane].pop(address, None)
        if taken is None:
            numbers = [
                *self._of_device.get(address.device, ()), *self._of_type.get(address.type, ()), *self._others,
            ]  # fmt: skip
            taken = self._taking(numbers, address, lane, is_derived=False)
        self._remember(address, lane, taken)
        return taken

    def _remember(self, address: Address, lane: int, taken: tuple[P, ...]) -> None:
        cache, order, aged = self.by_lane[lane], self._order[lane], self._aged[lane]
        if len(order) >= _MAX_CACHED:
            oldest = order.popleft()
            aged[oldest] = cache.pop(oldest)
            if len(aged) > _MAX_AGED:
                aged.popitem(last=False)
        cache[address] = taken
        order.append(address)

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
