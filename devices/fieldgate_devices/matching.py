"""Which messages are a device's, and what the device is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fieldgate_devices.breach import Breach, shown
from fieldgate_devices.conditions import Conditions, PlainText
from fieldgate_devices.decoders.decoder import Undecodable
from fieldgate_devices.decoders.json_text import parse
from fieldgate_devices.paths import ABSENT, Path, read_path
from fieldgate_devices.profile import MatchSpec
from fieldgate_devices.topic_pattern import TopicPattern, read_topic_pattern

__all__ = ["SERIAL", "DeviceName", "Matcher", "json_or_word", "matcher", "read_matcher"]

SERIAL: Final = "serial/"  # before the name of a serial source it is the topic of what that hears

_MAX_DEVICE: Final = 256
_MAX_WORD: Final = 256  # bytes of a payload that match may ask for
_PART: Final = re.compile(r"\{([^{}]+)\}")
_NO_NAME: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff+#]")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One entry of ``match``; ``but`` are the topics that it does not take.

    ``under`` and ``device`` are None where the profile's own count.
    """

    topic: TopicPattern | None
    serial: str | None
    conditions: Conditions | None
    under: str | None = None
    device: DeviceName | None = None
    but: tuple[TopicPattern, ...] = ()

    def of_topic(self, topic: str) -> dict[str, str] | None:
        """Return what the topic's pattern catches, or None where messages of that topic are not this device's."""
        if self.serial is not None:
            return {} if topic == f"{SERIAL}{self.serial}" else None
        captures = {} if self.topic is None else self.topic.match(topic)
        if captures is not None and any(one.match(topic) is not None for one in self.but):
            return None
        return captures

    @property
    def rank(self) -> tuple[tuple[int, ...], int]:
        """Greater the more the entry asks for."""
        ranks = (4,) if self.serial is not None else () if self.topic is None else self.topic.rank
        return ranks, 0 if self.conditions is None else self.conditions.count

    @property
    def captured(self) -> frozenset[str]:
        """The names of what its pattern catches."""
        return frozenset() if self.topic is None else frozenset(self.topic.names)

    def place(self, record: dict[str, Any], captures: Mapping[str, str]) -> dict[str, Any]:
        """Return the record as the fields see it: below ``under`` where the entry has that."""
        if self.under is None:
            return record
        return {_PART.sub(lambda match: captures[match[1]], self.under): record}


def read_matcher(spec: MatchSpec) -> Matcher:
    """Return the entry, ready to use."""
    made = matcher(mqtt=spec.mqtt, but=spec.except_, serial=spec.serial, conditions=spec.conditions)
    device = DeviceName(spec.device, made.captured) if spec.device is not None else None
    return replace(made, under=spec.under, device=device)


def matcher(
    *, mqtt: str | None, but: Iterable[str] = (), serial: str | None = None, conditions: Mapping[str, Any] | None = None
) -> Matcher:
    """Return an entry that says which messages, and no more; what it is made of is known to be right."""
    return Matcher(
        read_topic_pattern(mqtt) if mqtt is not None else None,
        serial,
        Conditions(conditions) if conditions else None,
        but=tuple(map(read_topic_pattern, but)),
    )


def json_or_word(payload: bytes) -> object:
    """Return a JSON payload's value, and a short text without the blanks around it; `ABSENT` for any other payload."""
    try:
        return parse(payload)
    except Undecodable:
        pass
    if len(payload) > _MAX_WORD:
        return ABSENT
    try:
        return PlainText(payload.decode().strip())
    except UnicodeDecodeError:
        return ABSENT


class DeviceName:
    """The template of a device's name. ``is_of_topic``: nothing of the message is in it.

    ``{a|b}`` is a, or b where there is no a.
    """

    def __init__(self, template: str, captured: frozenset[str]) -> None:
        parts = _PART.split(template)
        self._texts = parts[0::2]
        self._names = [[one if one in captured else read_path(one) for one in part.split("|")] for part in parts[1::2]]
        self._is_default = template == "{device}" and "device" not in captured
        self.paths = (
            () if self._is_default else tuple(one for part in self._names for one in part if isinstance(one, Path))
        )
        self.is_of_topic = not self.paths

    def of(self, record: object, captures: Mapping[str, str], topic: str) -> str:
        """Return the name.

        Raises:
            Breach: the message does not say it.
        """
        if self._is_default:
            return captures.get("device") or topic.replace("/", ".")  # a source may say it where match does not
        made = self._texts[0]
        for part, after in zip(self._names, self._texts[1:], strict=True):
            value: object = ABSENT
            for name in part:
                value = captures.get(name, ABSENT) if isinstance(name, str) else name.find(record, captures)
                if _is_part(value):
                    break
            else:
                what = " or ".join(one if isinstance(one, str) else one.text for one in part)
                raise Breach(
                    "no_device",
                    f"{what}, a part of the device's name, is {'missing' if value is ABSENT else shown(value)}",
                )
            made += f"{value}{after}"
        if len(made) > _MAX_DEVICE or _NO_NAME.search(made):
            raise Breach("no_device", f"{shown(made)} cannot be the name of a device")
        return made


def _is_part(value: object) -> bool:
    """Whether a value can stand in a name."""
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
