"""What the registry knows, as plain values: what ``fieldgate devices status --json`` prints.

Times are shown in UTC as far as they can be known (P6): as received where the clock was set, else by what became known
of that OS boot later; None where nothing did. Ages go by the boot time, then by UTC, else only the least is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fieldgate.ingest.device_entry import Device, Said, kind_of
from fieldgate_devices.contract import Contract
from fieldgate_devices.event import Stamp, TimeQuality
from fieldgate_devices.field_specs import spec_of

__all__ = ["Now", "device_facts", "utc_text"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS: Final = 253_402_300_799 * 10**9  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class Now:
    """This moment. ``journal_s`` is None where the journal's clock is not known, ``wall_ns`` where the time is not.

    ``offsets_ns`` is wall time less boot time by OS boot, as far as it became known.
    """

    os_boot: str
    boot_ns: int
    wall_ns: int | None
    journal_s: float | None = None
    offsets_ns: Mapping[str, int | None] = field(default_factory=dict)

    def utc_ns(self, stamp: Stamp, os_boot: str) -> int | None:
        """Return when ``stamp`` was, of that OS boot; None where that cannot be known."""
        if stamp.quality == TimeQuality.SYNCED:
            return stamp.wall_ns
        if os_boot == self.os_boot and self.wall_ns is not None:
            return stamp.boot_ns + self.wall_ns - self.boot_ns
        offset_ns = self.offsets_ns.get(os_boot)
        return None if offset_ns is None else stamp.boot_ns + offset_ns

    def age_s(self, stamp: Stamp, os_boot: str) -> float | None:
        """Return how long ago that was; None where that cannot be known."""
        if os_boot == self.os_boot:
            return max(0.0, (self.boot_ns - stamp.boot_ns) / 1e9)
        at_ns = self.utc_ns(stamp, os_boot)
        return None if at_ns is None or self.wall_ns is None else max(0.0, (self.wall_ns - at_ns) / 1e9)


def utc_text(at_ns: int | None) -> str | None:
    """Return a time in RFC 3339, to the millisecond."""
    if at_ns is None:
        return None
    at = _EPOCH + timedelta(microseconds=min(max(at_ns, 0), _MAX_NS) // 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def device_facts(device: Device, now: Now, *, contract: Contract | None, has_fields: bool) -> dict[str, Any]:
    """Return what is known of one device; ``contract`` is that of its profile, if it has one."""
    last = device.last
    age_s = None if last is None else now.age_s(last, device.last_boot)
    least_s = None
    if last is not None and age_s is None and now.journal_s is not None:
        least_s = max(0.0, now.journal_s - device.last_s)
    facts: dict[str, Any] = {
        "device": device.name,
        "profile": None if device.is_generic else device.type,
        "version": device.version or None,
        "first_seen": utc_text(now.utc_ns(device.first, device.first_boot)),
        "last_seen": None if last is None else utc_text(now.utc_ns(last, device.last_boot)),
        "last_seen_s": None if age_s is None else round(age_s, 1),
        "last_seen_at_least_s": None if least_s is None else round(least_s, 1),
        "messages": device.messages,
        "errors": device.errors,
        "last_error": device.last_error or None,
        "silent": device.is_silent,
        "silent_after_s": None if contract is None else contract.profile.silent_after,
        "topics": list(device.topics),
    }
    if has_fields:
        facts["fields"] = _fields(device, contract)
        facts["not_kept"] = {topic: said.size_bytes for topic, said in device.topics.items() if said.data is None}
        facts["not_json"] = {topic: said.size_bytes for topic, said in device.topics.items() if not said.is_json}
    return facts


def _fields(device: Device, contract: Contract | None) -> list[dict[str, Any]]:
    """In the order of the profile, then in that of the message."""
    places = {} if contract is None else {name: place for place, name in enumerate(contract.profile.fields)}
    values = device.values()
    names = sorted(values, key=lambda name: places.get(name, len(places)))
    return [_field(device, contract, name, *values[name]) for name in names]


def _field(device: Device, contract: Contract | None, name: str, value: object, topic: str) -> dict[str, Any]:
    kind = kind_of(value)
    spec = None if contract is None else spec_of(contract.profile, name, kind)
    return {
        "name": name,
        "value": value,
        "unit": "" if spec is None else spec.unit,
        "type": (kind or "object") if spec is None else spec.type,
        "topic": topic,
        **_history(device.topics[topic], name, value),
    }


def _history(said: Said, name: str, value: object) -> dict[str, Any]:
    """The numbers of a field over the last while, and over how long; the value itself is one of them."""
    column = said.columns.get(name)
    if column is None or not said.times:
        return {}
    points: Sequence[float | None] = [None if math.isnan(one) else one for one in column]
    numbers = [one for one in points if one is not None]
    if isinstance(value, int | float) and not isinstance(value, bool):
        numbers.append(float(value))
    if not numbers:
        return {}
    over_s = max(0.0, said.times[-1] - said.times[0])
    return {"min": min(numbers), "max": max(numbers), "points": points, "over_s": round(over_s, 1)}
