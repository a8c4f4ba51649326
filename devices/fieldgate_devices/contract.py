"""A profile, compiled: bytes in, readings out, or how the message breaks the contract.

This is the definition of what a profile means. `fast_json` does the same for the most frequent kind of profile in a
fifth of the time, and leaves everything unusual to this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.conditions import Conditions
from fieldgate_devices.decoders.decoder import Decoder, Undecodable
from fieldgate_devices.decoders.json_text import parse
from fieldgate_devices.fields import FieldReader
from fieldgate_devices.generic import flat_fields
from fieldgate_devices.paths import ABSENT, Path, read_path
from fieldgate_devices.profile import Profile
from fieldgate_devices.times import time_reader
from fieldgate_devices.topic_pattern import TopicPattern, read_topic_pattern
from fieldgate_devices.upgrade import Upgrade

__all__ = ["SERIAL", "Contract", "DeviceName", "Matcher", "Reading", "json_or_nothing"]

SERIAL: Final = "serial/"  # before the name of a serial source it is the topic of what that hears

_MAX_DEVICE: Final = 256
_PART: Final = re.compile(r"\{([^{}]+)\}")
_NO_NAME: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff+#]")
_encode = msgspec.json.Encoder().encode


class Reading(msgspec.Struct, gc=False):
    """What one reading of a message comes to: whose it is, its fields as a JSON mapping, when it happened (UTC, ns)."""

    device: str
    data: bytes
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One entry of ``match``."""

    topic: TopicPattern | None
    serial: str | None
    conditions: Conditions | None

    def of_topic(self, topic: str) -> dict[str, str] | None:
        """Return what the topic's pattern catches, or None where messages of that topic are not this device's."""
        if self.serial is not None:
            return {} if topic == f"{SERIAL}{self.serial}" else None
        return {} if self.topic is None else self.topic.match(topic)

    @property
    def rank(self) -> tuple[tuple[int, ...], int]:
        """Greater the more the entry asks for."""
        ranks = (4,) if self.serial is not None else () if self.topic is None else self.topic.rank
        return ranks, 0 if self.conditions is None else self.conditions.count


def json_or_nothing(payload: bytes) -> object:
    """Return a JSON payload's value; `ABSENT` for any other payload."""
    try:
        return parse(payload)
    except Undecodable:
        return ABSENT


class DeviceName:
    """The template of a device's name. ``is_of_topic``: nothing of the message is in it."""

    def __init__(self, template: str, captured: frozenset[str]) -> None:
        parts = _PART.split(template)
        self._texts = parts[0::2]
        self._names = [one if one in captured else read_path(one) for one in parts[1::2]]
        self._is_default = template == "{device}" and "device" not in captured
        self.paths = () if self._is_default else tuple(one for one in self._names if isinstance(one, Path))
        self.is_of_topic = not self.paths

    def of(self, record: object, captures: Mapping[str, str], topic: str) -> str:
        """Return the name.

        Raises:
            Breach: the message does not say it.
        """
        if self._is_default:
            return topic.replace("/", ".")
        made = self._texts[0]
        for name, after in zip(self._names, self._texts[1:], strict=True):
            value = captures.get(name, ABSENT) if isinstance(name, str) else name.find(record, captures)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                what = name if isinstance(name, str) else name.text
                raise Breach(
                    "no_device",
                    f"{what}, a part of the device's name, is {'missing' if value is ABSENT else shown(value)}",
                )
            made += f"{value}{after}"
        if len(made) > _MAX_DEVICE or _NO_NAME.search(made):
            raise Breach("no_device", f"{shown(made)} cannot be the name of a device")
        return made


class Contract:
    """``profile`` as it was written; ``matchers`` say which messages are its own."""

    def __init__(self, profile: Profile, decoder: Decoder) -> None:
        self.profile = profile
        self.decoder = decoder
        self.matchers = tuple(
            Matcher(
                read_topic_pattern(one.mqtt) if one.mqtt is not None else None,
                one.serial,
                Conditions(one.json_) if one.json_ else None,
            )
            for one in profile.match
        )
        captured = [frozenset(one.topic.names) if one.topic is not None else frozenset() for one in self.matchers]
        self.device_name = DeviceName(profile.device, frozenset.union(*captured))
        self.lenient = profile.lenient or decoder.is_text
        self.readers = [FieldReader(name, spec, lenient=self.lenient) for name, spec in profile.fields.items()]
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
        for matcher in self.matchers:
            captures = matcher.of_topic(topic)
            if captures is not None and (
                matcher.conditions is None or matcher.conditions.hold(json_or_nothing(payload))
            ):
                return captures
        return None

    def read(self, payload: bytes, captures: Mapping[str, str], topic: str) -> list[Reading]:
        """Return what a message says, one reading at least.

        Raises:
            Breach: it is not what the profile says.
        """
        return [self.reading(record, captures, topic) for record in self.records(payload, captures)]

    def records(self, payload: bytes, captures: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what the decoder makes of a message.

        Raises:
            Breach: nothing.
        """
        try:
            records = self.decoder.decode(payload, captures)
        except Undecodable as error:
            raise Breach("undecodable", error.reason) from error
        if not records:
            raise Breach("undecodable", "the message holds no reading")
        return records

    def reading(self, record: dict[str, Any], captures: Mapping[str, str], topic: str) -> Reading:
        """Return one reading; see `read`."""
        fields, newest = self.fields(record, captures)
        at_ns = self.time_of(newest, captures)
        return Reading(self.device_name.of(newest, captures, topic), _encode(fields), at_ns)

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
        fields = {
            reader.name: value for reader in self.readers if (value := reader.read(record, captures)) is not ABSENT
        }
        if self.profile.other_fields != "drop":
            self._add_others(fields, record)
        return fields

    def _add_others(self, fields: dict[str, object], record: dict[str, Any]) -> None:
        """Keep, or refuse, what no field names."""
        named = [path for reader in self.readers for path in reader.paths]
        named += [path for path in (self._time_path, self._version_path, *self.device_name.paths) if path is not None]
        known = {trail for path in named if (trail := path.locate(record)) is not None}
        try:
            flat = flat_fields(record, taken=self.profile.fields)
        except ValueError as error:
            raise Breach("unknown_field", str(error)) from error
        for name, (value, raw) in flat.items():
            if any(raw[: len(trail)] == trail for trail in known):
                continue
            if self.profile.other_fields == "refuse":
                raise Breach("unknown_field", f"{'.'.join(map(str, raw))} is named by no field")
            fields[name] = value

    def time_of(self, record: dict[str, Any], captures: Mapping[str, str]) -> int | None:
        """Return when the record says that it happened, if it does; raises Breach."""
        if self._time_path is None or self.read_time is None:
            return None
        value = self._time_path.find(record, captures)
        if value is ABSENT or value is None:
            return None
        try:
            return self.read_time(value)
        except (ValueError, OverflowError) as error:
            raise Breach("bad_time", f"{self._time_path.text} is {shown(value)}: {error}") from error
