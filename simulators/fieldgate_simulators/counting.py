"""Count what arrived against what was acknowledged: the verdict on loss, duplicates and order.

A reading is named by its device and a number that rises by one within the device; both are in the payload, so the
count needs no help from the gateway. Pure, and small enough for long runs: a bit per reading.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["Arrivals", "NumberOf", "NumberSet", "Verdict", "judge"]

_DEVICE: Final = "device_"  # what a gateway without a profile makes of the member "device", a word of the rules
_CHUNK_BITS: Final = 10
_CHUNK_MASK: Final = (1 << _CHUNK_BITS) - 1


class NumberSet:
    """A set of whole numbers from 0 that costs about a bit per number where they are dense."""

    __slots__ = ("_chunks", "_count")

    def __init__(self) -> None:
        self._chunks: dict[int, int] = {}
        self._count = 0

    def add(self, number: int) -> bool:
        """Add ``number`` and return whether it is new."""
        chunk, bit = number >> _CHUNK_BITS, 1 << (number & _CHUNK_MASK)
        bits = self._chunks.get(chunk, 0)
        if bits & bit:
            return False
        self._chunks[chunk] = bits | bit
        self._count += 1
        return True

    def __contains__(self, number: int) -> bool:
        return bool(self._chunks.get(number >> _CHUNK_BITS, 0) >> (number & _CHUNK_MASK) & 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers, smallest first."""
        for chunk in sorted(self._chunks):
            bits = self._chunks[chunk]
            while bits:
                lowest = bits & -bits
                yield (chunk << _CHUNK_BITS) + lowest.bit_length() - 1
                bits ^= lowest


NumberOf = Callable[[Mapping[str, Any]], int | None]
"""Finds the number of a reading in the data of its event."""


class Arrivals:
    """What came out upstream, in the order in which it came.

    ``numbers_of`` says for the events of which devices it is, and where their numbers stand; without it readings bear
    the name of their device and their number as ``device`` and ``n``.
    """

    def __init__(self, numbers_of: Mapping[str, NumberOf] | None = None) -> None:
        self.by_device: dict[str, NumberSet] = defaultdict(NumberSet)
        self.messages = 0
        self.same_id = 0
        self.same_reading = 0
        self.out_of_order = 0
        self.not_readings: Counter[str] = Counter()
        self._numbers_of = numbers_of
        self._newest: dict[str, int] = {}
        self._seqs: dict[str, NumberSet] = defaultdict(NumberSet)

    @property
    def readings(self) -> int:
        """How many different readings arrived."""
        return sum(len(numbers) for numbers in self.by_device.values())

    def add_cloudevent(self, message: bytes) -> None:
        """Count a CloudEvent in JSON; what is none, or holds no reading (a gap event), is counted by its type."""
        try:
            envelope = json.loads(message)
            event_id, data = envelope["id"], envelope["data"]
            device, number = self._reading_in(envelope, data)
        except (ValueError, KeyError, TypeError):
            self.not_readings[_type_of(message)] += 1
            return
        self.add(str(device), int(number), str(event_id))

    def _reading_in(self, envelope: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[str, int]:
        if self._numbers_of is None:
            return data[_DEVICE], data["n"]
        device = envelope["subject"]
        number = self._numbers_of[device](data)
        if number is None:
            raise KeyError(device)
        return device, number

    def add(self, device: str, number: int, event_id: str) -> None:
        """Count one arrival of reading ``number``; only a first arrival can be out of order."""
        self.messages += 1
        run, _, seq = event_id.rpartition("-")
        is_new_id = self._seqs[run].add(int(seq)) if seq.isdecimal() else self._seqs[event_id].add(0)
        if not is_new_id:
            self.same_id += 1
        if not self.by_device[device].add(number):
            self.same_reading += is_new_id
            return
        newest = self._newest.get(device, 0)
        if number < newest:
            self.out_of_order += 1
        else:
            self._newest[device] = number


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a run, counted at the upstream side.

    ``accepted`` readings were acknowledged to their devices; ``lost`` of them never arrived. ``same_id`` counts copies
    of an event under its own id (a consumer drops them by id), ``same_reading`` copies under another id (the device
    sent it again). ``unaccepted`` readings arrived though their device was never told.
    """

    accepted: int
    arrived: int
    lost: int
    same_id: int
    same_reading: int
    out_of_order: int
    unaccepted: int
    first_lost: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Nothing accepted is lost or out of order, and there was something to accept."""
        return self.accepted > 0 and self.lost == 0 and self.out_of_order == 0

    def as_dict(self) -> dict[str, object]:
        """Return the counts and the verdict, for JSON."""
        return {**asdict(self), "is_good": self.is_good}


def judge(accepted: Mapping[str, NumberSet], arrivals: Arrivals, *, name_at_most: int = 5) -> Verdict:
    """Compare what devices were told is safe with what arrived."""
    lost: list[str] = []
    lost_count = accepted_count = unaccepted = 0
    for device, numbers in accepted.items():
        arrived = arrivals.by_device.get(device, NumberSet())
        accepted_count += len(numbers)
        for number in numbers:
            if number not in arrived:
                lost_count += 1
                if len(lost) < name_at_most:
                    lost.append(f"{device}/{number}")
    for device, arrived in arrivals.by_device.items():
        known = accepted.get(device, NumberSet())
        unaccepted += sum(1 for number in arrived if number not in known)
    return Verdict(
        accepted=accepted_count,
        arrived=arrivals.readings,
        lost=lost_count,
        same_id=arrivals.same_id,
        same_reading=arrivals.same_reading,
        out_of_order=arrivals.out_of_order,
        unaccepted=unaccepted,
        first_lost=tuple(lost),
    )


def _type_of(message: bytes) -> str:
    try:
        kind = json.loads(message)["type"]
    except (ValueError, KeyError, TypeError):
        return "not a CloudEvent"
    return str(kind)
