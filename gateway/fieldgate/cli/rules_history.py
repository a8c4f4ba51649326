"""What the journal kept, as things that happen to rules once more."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from fieldgate_devices.event import GENERIC, OWN_TYPES, Address
from fieldgate_devices.recording import read_rfc3339
from fieldgate_rules.tester.messages import LANES_BY_NAME, Said
from fieldgate_rules.tester.timeline import Happening, Noticed, Spoken

__all__ = ["KeptEvents"]

_NOTICED: Final = ("silent", "back")


class KeptEvents:
    """Turns stored events into happenings. ``derived`` are types that rules make: these come of themselves again.

    An event whose time nobody knew is as long after the one before it as the machine had been up.
    """

    def __init__(self, derived: Collection[str]) -> None:
        self.events = 0
        self.without_time = 0
        self.devices: set[str] = set()
        self.first_ns: int | None = None
        self.last_ns = 0
        self._derived = derived
        self._uptime: dict[str, float] = {}  # of the run, at the last event

    def happenings(self, facts: Mapping[str, Any]) -> Iterator[Happening]:
        """Yield what a stored event (`fieldgate.journal.facts.event_facts`) is to rules; mostly one, or nothing."""
        kind = facts["type"]
        at_ns = self._time(facts)
        if kind in _NOTICED:
            told = _decoded(facts)
            device = str(told.get("device", facts["device"]))
            fields: dict[str, object] = {name: told[name] for name in ("profile", "for_s") if name in told}
            yield Happening(at_ns, Noticed(kind, device, fields))
            return
        if kind in self._derived or (kind in OWN_TYPES and kind != GENERIC):
            return
        address = Address(facts["device"], kind, facts["topic"])
        data = facts["data"].encode() if facts["is_json"] else b64decode(facts["data"])
        said = (Said(address, data, facts["is_json"], LANES_BY_NAME[facts["lane"]]),)
        self.count(at_ns, said)
        yield Happening(at_ns, Spoken(said))

    def count(self, at_ns: int, said: Sequence[Said]) -> None:
        """Note events that are played."""
        self.events += len(said)
        self.devices.update(one.address.device for one in said)
        self.last_ns = max(at_ns, self.last_ns)
        if self.first_ns is None:
            self.first_ns = self.last_ns

    def _time(self, facts: Mapping[str, Any]) -> int:
        run, uptime_s = facts["run"], facts["uptime_s"]
        if facts["timequality"] == "unsynced":
            self.without_time += 1
            passed_s = max(0.0, uptime_s - self._uptime.get(run, uptime_s))
            at_ns = self.last_ns + round(passed_s * 1e9)
        else:
            at_ns = read_rfc3339(facts["time"])
        self._uptime = {run: uptime_s}
        self.last_ns = max(at_ns, self.last_ns)
        return self.last_ns


def _decoded(facts: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(facts["data"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
