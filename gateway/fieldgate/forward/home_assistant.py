"""MQTT discovery: the retained messages by which Home Assistant finds the devices of this gateway.

One message per field on ``<prefix>/<component>/<gateway>_<device>/<field>/config``. None of it is an event. All are
sent on every new connection, one when a device or field first appears, and an empty one takes each back when the
device is forgotten. What is to be sent next is asked for by `next`, one message at a time; nothing is made before.

It will not do: take back what another process, or another configuration of this uplink, has told.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from typing import Any, Final

import msgspec
import xxhash

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.ha_entity import Entity, KnownField, entity_of, readable
from fieldgate.forward.topic_template import TopicTemplate
from fieldgate_devices.event import GENERIC, Address, Event, Stamp

__all__ = ["DevicesToTell", "HomeAssistant", "KnownDevice"]

Key = tuple[str, str]

_MAX_ID: Final = 64
_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LIMIT_S: Final = 2**31 - 1
_NO_STAMP: Final = Stamp(0, 0, 0)
_MAX_REMOVALS: Final = 100_000


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device that was heard, with the fields it has said; ``silent_after_s`` None: it may be silent as it likes."""

    type: str
    name: str
    version: int
    fields: tuple[KnownField, ...]
    silent_after_s: float | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class DevicesToTell:
    """Where the devices are: the keys of all, and one by its key."""

    keys: Callable[[], Iterable[Key]]
    find: Callable[[Key], KnownDevice | None]


class HomeAssistant:
    """Discovery for one uplink. ``status_topic`` (may hold ``{gateway}``) is where that says whether it is there.

    ``is_wanted`` answers which events the uplink gets at all; ``told`` counts messages.
    """

    def __init__(
        self,
        config: UplinkConfig,
        *,
        prefix: str,
        topic: str,
        gateway: str,
        status_topic: str | None,
        is_wanted: Callable[[Event], bool] | None = None,
    ) -> None:
        self.told = 0
        self._prefix = prefix
        self._topics = TopicTemplate(topic, gateway=gateway)
        self._gateway = gateway
        self._status_topic = None
        if status_topic is not None:
            self._status_topic = TopicTemplate(status_topic, gateway=gateway).batch[2:].decode()
        self._is_wanted = is_wanted
        self._data = "value_json" if config.format == "cloudevents-binary" else "value_json.data"
        self._origin = {"name": "fieldgate", "sw_version": version("fieldgate")}
        self._devices = DevicesToTell(lambda: (), lambda _key: None)
        self._due: dict[Key, None] = {}  # in order
        self._removals: deque[str] = deque(maxlen=_MAX_REMOVALS)
        self._removing = ""  # what was taken back and not acknowledged yet
        self._open: Iterator[tuple[str, bytes]] = iter(())
        self._is_open = False
        self._claims: dict[str, Key] = {}  # which device a topic is about
        self._topics_of: dict[Key, dict[str, str]] = {}  # what was told on this connection: field -> topic

    def watch(self, devices: DevicesToTell) -> None:
        """From now on about these."""
        self._devices = devices

    # -- what is to be told ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Tell everything: the server is new, or may have forgotten."""
        if self._removing:
            self._removals.append(self._removing)
        self._topics_of.clear()
        self._open = iter(())
        self._due = dict.fromkeys(self._devices.keys())

    def appeared(self, key: Key) -> None:
        """A device has a field that it did not have before."""
        self._due.setdefault(key)

    def forgotten(self, key: Key, fields: Mapping[str, str]) -> None:
        """A device, with ``fields`` and the kind of each, is not known any more."""
        self._due.pop(key, None)
        self._topics_of.pop(key, None)
        for name, kind in fields.items():
            topic = self._config_topic(key, name, is_binary=kind == "bool")
            if self._claims.get(topic, key) == key:
                self._claims.pop(topic, None)
                self._removals.append(topic)

    @property
    def is_behind(self) -> bool:
        """Whether `next` may have something."""
        return bool(self._removals or self._due or self._is_open)

    def next(self) -> tuple[str, bytes] | None:
        """Return the next topic and payload, which goes out now; None while there is nothing to be told."""
        if self._removals:
            self.told += 1
            self._removing = self._removals.popleft()
            return self._removing, b""
        while True:
            if (message := next(self._open, None)) is not None:
                self.told += 1
                return message
            self._is_open = False
            if not self._due:
                return None
            key = next(iter(self._due))
            del self._due[key]
            device = self._devices.find(key)
            if device is not None:
                self._open = self._messages(device)
                self._is_open = True

    def answered(self) -> None:
        """The server has what `next` gave last."""
        self._removing = ""

    # -- messages -------------------------------------------------------------------------------------------------

    def _messages(self, device: KnownDevice) -> Iterator[tuple[str, bytes]]:
        key = (device.type, device.name)
        told = self._topics_of.setdefault(key, {})
        for field in device.fields:
            if field.name in told:
                continue
            address = Address(device.name, device.type, field.topic, device.version)
            event = Event(address, _NO_STAMP, b"", True, 0, field.lane)
            if self._is_wanted is not None and not self._is_wanted(event):
                continue
            topic = told[field.name] = self._config_topic(key, field.name, is_binary=field.kind == "bool")
            self._claims[topic] = key
            state_topic = self._topics.of_run([event])[0][2:].decode()
            yield topic, msgspec.json.encode(self._config(device, field, topic, state_topic))

    def _config_topic(self, key: Key, field: str, *, is_binary: bool) -> str:
        """Its topic; where another profile has a field of that name for the same device, with the profile's name."""
        kind, name = key
        node = f"{_identifier(self._gateway)}_{_identifier(name)}"
        component = "binary_sensor" if is_binary else "sensor"
        topic = f"{self._prefix}/{component}/{node}/{field}/config"
        if self._claims.get(topic, key) != key:
            topic = f"{self._prefix}/{component}/{node}/{field}_{kind}/config"
        return topic

    def _config(self, device: KnownDevice, field: KnownField, topic: str, state_topic: str) -> dict[str, Any]:
        *_, node, item, _ = topic.split("/")
        entity = entity_of(field)
        config: dict[str, Any] = {
            "name": readable(field.name),
            "unique_id": f"fieldgate_{node}_{item}",
            "state_topic": state_topic,
            "value_template": self._template(field),
            "qos": 1,
            "device": {
                "identifiers": [f"fieldgate_{node}"],
                "name": device.name,
                "model": device.model or ("" if device.type == GENERIC else device.type) or "unknown device",
            },
            "origin": self._origin,
        }
        said = {
            "device_class": entity.device_class,
            "state_class": entity.state_class,
            "unit_of_measurement": entity.unit,
            "options": list(entity.options),
            "entity_category": entity.category,
        }
        config.update({name: value for name, value in said.items() if value})
        if device.silent_after_s is not None:
            config["expire_after"] = min(_LIMIT_S, max(1, ceil(device.silent_after_s)))
        if self._status_topic is not None:
            config["availability"] = [_availability(self._status_topic)]
        return config | _answers(entity)

    def _template(self, field: KnownField) -> str:
        """Jinja that gives the field's value, or nothing where a message has it not: the state stays then."""
        data, name = self._data, field.name
        value = f"{data}['{name}']"
        match field.kind:
            case "bool":
                shown = f"{{{{ 'ON' if {value} else 'OFF' }}}}"
            case "text":
                shown = f"{{{{ ({value} | string)[:255] }}}}"  # a state has 255 characters at most
            case "number":
                shown = f"{{{{ {value} }}}}"
        stays = "{% elif this is defined %}{{ this.state }}" if field.kind == "text" else ""
        given = f"value_json is mapping and {data} is mapping and '{name}' in {data}"
        return f"{{% if {given} %}}{shown}{stays}{{% endif %}}"


def _availability(topic: str) -> dict[str, str]:
    return {
        "topic": topic,
        "value_template": "{{ value_json.state }}",
        "payload_available": "online",
        "payload_not_available": "offline",
    }


def _answers(entity: Entity) -> dict[str, str]:
    """What the template says for on and off."""
    return {"payload_on": "ON", "payload_off": "OFF"} if entity.component == "binary_sensor" else {}


def _identifier(text: str) -> str:
    """Return ``text`` in the letters that Home Assistant allows there; what had to change keeps a mark of its own."""
    plain = _NO_ID.sub("_", text)[:_MAX_ID]
    return plain if plain == text else f"{plain}_{xxhash.xxh32_hexdigest(text.encode('utf-8', 'surrogatepass'))}"
