"""A profile, compiled: bytes in, readings out, or how the message breaks the contract.

This is the definition of what a profile means. `fast_json` does the same for the most frequent kind of profile in a
fraction of the time, and leaves everything unusual to this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

import msgspec

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.decoders.decoder import Decoder, Undecodable
from fieldgate_devices.fields import FieldReader, NoReading
from fieldgate_devices.generic import flat_fields
from fieldgate_devices.matching import SERIAL, DeviceName, Matcher, json_or_word, read_matcher
from fieldgate_devices.members import Trail, read_members
from fieldgate_devices.paths import ABSENT, read_path
from fieldgate_devices.profile import Profile
from fieldgate_devices.repeated import Repeated
from fieldgate_devices.times import time_reader
from fieldgate_devices.upgrade import Upgrade

__all__ = ["SERIAL", "Contract", "DeviceName", "Matcher", "Reading"]

_MAX_TOPICS: Final = 4096  # of which it is remembered which entries of match may take them
_encode = msgspec.json.Encoder().encode


class Reading(msgspec.Struct, gc=False):
    """What one reading of a message comes to: whose it is, its fields as a JSON mapping, when it happened (UTC, ns)."""

    device: str
    data: bytes
    at_ns: int | None = None


class Contract:
    """``profile`` as it was written; ``matchers`` say which messages are its own.

    ``decoders`` are those of the entries of match that have one of their own, by their number.
    """

    def __init__(self, profile: Profile, decoder: Decoder, decoders: Mapping[int, Decoder] | None = None) -> None:
        self.profile = profile
        self.decoder = decoder
        self.matchers = tuple(map(read_matcher, profile.match))
        self._decoders = [(decoders or {}).get(number, decoder) for number in range(len(self.matchers))]
        self._ways = sorted(range(len(self.matchers)), key=lambda number: self.matchers[number].rank, reverse=True)
        self._ways_of: dict[str, list[int]] = {}
        self.has_variants = any(
            one.decode is not None or one.under is not None or one.device is not None for one in profile.match
        )
        relying = [one.captured for one in self.matchers if one.device is None]
        self.device_name = DeviceName(profile.device, frozenset[str]().union(*relying))
        self.lenient = profile.lenient or decoder.is_text or any(one.is_text for one in self._decoders)
        self.readers = [
            FieldReader(name, spec, lenient=self.lenient, no_reading=profile.no_reading)
            for name, spec in profile.fields.items()
        ]
        self._repeated = Repeated(profile.repeated, profile.fields, lenient=self.lenient, no_reading=profile.no_reading)
        self._first_of = {name: spec.first_of for name, spec in profile.fields.items() if spec.first_of}
        self._no_reading = NoReading(profile.no_reading)
        self._left_out = [read_members(path) for path in profile.leave_out]
        self._others_from = [read_path(path) for path in profile.others_from]
        self._time_path = read_path(profile.time.from_) if profile.time is not None else None
        self.read_time = time_reader(profile.time.format, profile.time.zone) if profile.time is not None else None
        self._version_path = read_path(profile.version_from) if profile.version_from is not None else None
        self._upgrades = {number: Upgrade(number, spec) for number, spec in sorted(profile.upgrade.items())}

    @property
    def older_versions(self) -> tuple[int, ...]:
        """Those of which messages are upgraded, the oldest first."""
        return tuple(self._upgrades)

    def match(self, topic: str, payload: bytes) -> dict[str, str] | None:
        """Return what the topic's pattern catches if this message is the profile's, else None."""
        way = self._way(topic, payload)
        return None if way is None else self.matchers[way].of_topic(topic)

    def _way(self, topic: str, payload: bytes) -> int | None:
        """The number of the entry of match that takes a message: the one that says most."""
        ways = self._ways_of.get(topic)
        if ways is None:
            ways = [number for number in self._ways if self.matchers[number].of_topic(topic) is not None]
            if len(self._ways_of) >= _MAX_TOPICS:
                self._ways_of.clear()
            self._ways_of[topic] = ways
        value: object = None
        for number in ways:
            conditions = self.matchers[number].conditions
            if conditions is None:
                return number
            if value is None:
                value = json_or_word(payload)
            if conditions.hold(value):
                return number
        return None

    def name_of(self, matcher: Matcher) -> DeviceName:
        """Return how devices are called whose messages this entry takes."""
        return matcher.device or self.device_name

    def name_for(self, topic: str, payload: bytes) -> DeviceName:
        """Return how the device of a message is called that is the profile's."""
        way = self._way(topic, payload) if self.has_variants else None
        return self.device_name if way is None else self.name_of(self.matchers[way])

    def read(self, payload: bytes, captures: Mapping[str, str], topic: str) -> list[Reading]:
        """Return what a message says, one reading at least.

        Raises:
            Breach: it is not what the profile says.
        """
        return [self.reading(record, captures, topic, payload) for record in self.records(payload, captures, topic)]

    def records(self, payload: bytes, captures: Mapping[str, str], topic: str | None = None) -> list[dict[str, Any]]:
        """Return what the decoder makes of a message; without the topic the profile's own decoder counts.

        Raises:
            Breach: nothing.
        """
        way = self._way(topic, payload) if self.has_variants and topic is not None else None
        try:
            records = (self.decoder if way is None else self._decoders[way]).decode(payload, captures)
        except Undecodable as error:
            raise Breach("undecodable", error.reason) from error
        if not records:
            raise Breach("undecodable", "the message holds no reading")
        return records if way is None else [self.matchers[way].place(one, captures) for one in records]

    def reading(self, record: dict[str, Any], captures: Mapping[str, str], topic: str, payload: bytes = b"") -> Reading:
        """Return one reading; see `read`."""
        name = self.name_for(topic, payload)
        fields, newest = self.fields(record, captures)
        at_ns = self.time_of(newest, captures)
        return Reading(name.of(newest, captures, topic), _encode(fields), at_ns)

    def fields(self, record: dict[str, Any], captures: Mapping[str, str]) -> tuple[dict[str, object], dict[str, Any]]:
        """Return the fields of a record and the record as the newest version has it; see `read`."""
        newest = self.of_known_version(record)
        if newest is not None:
            return self._checked(newest, captures), newest
        try:
            return self._checked(record, captures), record
        except Breach as breach:
            upgraded = record
            for older in reversed(list(self._upgrades)):  # from the newest of them on
                if self._upgrades[older].when is not None:
                    continue
                try:
                    upgraded = self.upgraded(record, older)
                    return self._checked(upgraded, captures), upgraded
                except Breach:
                    continue
            raise breach

    def of_known_version(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the record in the newest version if it says, or shows, which one it has; raises Breach."""
        if self._version_path is not None:
            version = self._version_path.find(record, {})
            if version is ABSENT or version is None:
                return None
            if isinstance(version, str) and version.isdecimal() and len(version) < 5:
                version = int(version)
            if version == self.profile.version and not isinstance(version, bool):
                return record
            if isinstance(version, bool) or not isinstance(version, int) or version not in self._upgrades:
                known = ", ".join(map(str, [*self._upgrades, self.profile.version]))
                raise Breach("not_allowed", f"{self._version_path.text} is {shown(version)}; known versions: {known}")
            return self.upgraded(record, version)
        for older, upgrade in self._upgrades.items():  # the oldest first: it may look like one of the next version too
            if upgrade.when is not None and upgrade.when.hold(record):
                return self.upgraded(record, older)
        return None

    def upgraded(self, record: dict[str, Any], version: int) -> dict[str, Any]:
        """Return a record of ``version`` as the newest would have it; raises Breach."""
        for number, upgrade in self._upgrades.items():
            if number >= version:
                record = upgrade.apply(record)
        return record

    def _checked(self, record: dict[str, Any], captures: Mapping[str, str]) -> dict[str, object]:
        is_open = bool(self.profile.repeated) or self.profile.other_fields != "drop"
        claimed = self._known_trails(record) if is_open else None
        values = {reader.name: reader.read(record, captures, claimed) for reader in self.readers}
        if claimed is None:
            return {name: value for name, value in values.items() if value is not ABSENT}
        for members in self._left_out:  # what may be a secret is no repeated field's either
            claimed.update(one.trail for one in members.find(record))
        found = self._repeated.read(record, claimed) if self.profile.repeated else []
        for name, wanted in self._first_of.items():
            values[name] = next((one.value for one in found if one.of in wanted), values[name])
        fields = {name: value for name, value in values.items() if value is not ABSENT}
        fields.update((one.name, one.value) for one in found)
        if self.profile.other_fields != "drop":
            self._add_others(fields, record, claimed)
        return fields

    def _known_trails(self, record: dict[str, Any]) -> set[Trail]:
        """The ways to what time, version and the device's name stand for."""
        paths = [path for path in (self._time_path, self._version_path, *self.device_name.paths) if path is not None]
        return {trail for path in paths if (trail := path.locate(record)) is not None}

    def _add_others(self, fields: dict[str, object], record: dict[str, Any], claimed: Set[Trail]) -> None:
        """Keep, or refuse, what no field names."""
        begin, below = self._others(record)
        try:
            flat = flat_fields(below, taken=fields.keys() | self.profile.fields.keys())
        except ValueError as error:
            raise Breach("unknown_field", str(error)) from error
        for name, (value, raw) in flat.items():
            trail = (*begin, *raw)
            if any(trail[:depth] in claimed for depth in range(1, len(trail) + 1)) or self._no_reading.means(value):
                continue
            if self.profile.other_fields == "refuse":
                raise Breach("unknown_field", f"{'.'.join(map(str, trail))} is named by no field")
            fields[name] = value

    def _others(self, record: dict[str, Any]) -> tuple[Trail, object]:
        """The member whose members are the others, and the way to it."""
        if not self._others_from:
            return (), record
        for path in self._others_from:
            trail, below = path.locate(record), path.find(record, {})
            if trail is not None and isinstance(below, dict | list):
                return trail, below
        return (), {}

    def time_of(self, record: dict[str, Any], captures: Mapping[str, str]) -> int | None:
        """Return when the record says that it happened, if it does; raises Breach."""
        if self._time_path is None or self.read_time is None:
            return None
        value = self._time_path.find(record, captures)
        if value is ABSENT or value is None or self._no_reading.means(value):
            return None
        try:
            return self.read_time(value)
        except (ValueError, OverflowError) as error:
            raise Breach("bad_time", f"{self._time_path.text} is {shown(value)}: {error}") from error
