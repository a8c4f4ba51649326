"""One command of a profile, ready for use: its arguments checked, and what is sent made of them.

Pure: who sends it is the gateway's. What is refused is refused by a reason that names the argument, for whoever gave
the command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.breach import shown
from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.command_reply import Reply
from fieldgate_devices.command_template import COMMAND_ID, HexTemplate, JsonTemplate, TextTemplate, Unfilled
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.validate import did_you_mean

__all__ = ["Command", "CommandRefused", "Publication", "RegisterWrite", "SerialWrite", "argument_of_text"]

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1
_MAX_TEXT: Final = 4096
_MAX_TOPIC_BYTES: Final = 65_535
_TRUTHS: Final = {
    **dict.fromkeys(("true", "on", "yes", "1"), True),
    **dict.fromkeys(("false", "off", "no", "0"), False),
}


class CommandRefused(Exception):
    """The command cannot be given like this; the text says why, for a person. Stays inside the process."""


class Publication(msgspec.Struct, frozen=True):
    """A message that tells the device; ``reply`` is what it says then, where its profile says."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    reply: Reply | None = None


class SerialWrite(msgspec.Struct, frozen=True):
    """What is written to the device's port, to be put into a frame first; ``reply`` as in `Publication`."""

    payload: bytes
    reply: Reply | None = None


class RegisterWrite(msgspec.Struct, frozen=True):
    """What is written to registers of a Modbus unit, by their names."""

    values: dict[str, Any]


class Command:
    """``spec`` is known to be right (`command_checks`)."""

    def __init__(self, name: str, spec: CommandSpec) -> None:
        self.name = name
        self.spec = spec
        self._optional = frozenset(
            one for one, argument in spec.payload.items() if argument.optional and argument.default is None
        )
        publish, serial = spec.publish, spec.serial
        self._topic = None if publish is None else TextTemplate(publish.topic)
        text = publish.text if publish is not None else None
        self._text = TextTemplate(text) if text is not None else None
        self._json: JsonTemplate | None = None
        if publish is not None and "json_" in publish.model_fields_set:
            self._json = JsonTemplate(publish.json_, optional=self._optional)
        self._hex = HexTemplate(serial.hex) if serial is not None and serial.hex is not None else None
        if serial is not None and serial.text is not None:
            self._text = TextTemplate(serial.text, has_escapes=True)

    def check(self, arguments: Mapping[str, object]) -> dict[str, Any]:
        """Return the arguments as the command takes them, defaults among them.

        Raises:
            CommandRefused: one is unknown, missing, or not what it may be.
        """
        known = self.spec.payload
        for name in arguments:
            if name not in known:
                hint = did_you_mean(name, known) or (f"; it has {', '.join(known)}" if known else "; it has none")
                raise CommandRefused(f"{shown(name)} is no argument of {self.name}{hint}")
        checked: dict[str, Any] = {}
        for name, spec in known.items():
            value = arguments.get(name)
            if value is None:
                value = spec.default
            if value is not None:
                checked[name] = check_argument(name, spec, value)
            elif not spec.optional:
                raise CommandRefused(f"{name} is missing; {self.name} takes {', '.join(known)}")
        return checked

    def request(
        self, arguments: Mapping[str, Any], captures: Mapping[str, str], command_id: str
    ) -> Publication | SerialWrite | RegisterWrite:
        """Return what is sent, made of checked ``arguments`` and of what is known of the device's topic.

        Raises:
            CommandRefused: it cannot be made of these.
        """
        raw = {name: _raw(name, self.spec.payload[name], value) for name, value in arguments.items()}
        if (modbus := self.spec.modbus) is not None:
            return RegisterWrite(raw if modbus.value is None else {modbus.register_[0]: modbus.value})
        values: dict[str, object] = {COMMAND_ID: command_id, **captures, **raw}
        try:
            reply = None if self.spec.reply is None else Reply(self.spec.reply, values, self._optional)
            if self._topic is None:
                return SerialWrite(self._written(values), reply)
            return self._publication(self._topic, values, raw, reply)
        except Unfilled as error:
            raise CommandRefused(str(error)) from None

    def sample(self) -> tuple[bytes, bool] | None:
        """Return what a port would be given with 0 for each argument, and whether there are any; None if nothing is."""
        if self.spec.serial is None:
            return None
        template = self._hex or self._text
        assert template is not None
        return self._written(dict.fromkeys(template.names, 0)), bool(template.names)

    def _written(self, values: Mapping[str, object]) -> bytes:
        if self._hex is not None:
            return self._hex.fill(values)
        assert self._text is not None
        return self._text.fill(values).encode(errors="surrogateescape")

    def _publication(
        self, topic: TextTemplate, values: Mapping[str, object], raw: Mapping[str, object], reply: Reply | None
    ) -> Publication:
        publish = self.spec.publish
        assert publish is not None
        for name in topic.names:
            is_asked = name in raw or name == COMMAND_ID  # what whoever gives the command has chosen
            if is_asked and (not (text := str(values[name])) or "/" in text):
                raise CommandRefused(f"{name}: {shown(values[name])} cannot be a level of a topic")
        filled = topic.fill(values)
        if any(mark in filled for mark in "+#\0") or len(filled.encode(errors="replace")) > _MAX_TOPIC_BYTES:
            raise CommandRefused(f"{shown(filled)} is not a topic to which anything can be published")
        if self._text is not None:
            payload = self._text.fill(values).encode()
        elif self._json is not None:
            payload = msgspec.json.encode(self._json.fill(values))
        else:
            payload = msgspec.json.encode({name: value for name, value in raw.items() if name not in topic.names})
        return Publication(filled, payload, publish.qos, publish.retain, reply)


def argument_of_text(spec: FieldSpec, text: str) -> object:
    """Return what a person means who types ``text`` for this argument; the text itself where it means nothing."""
    if spec.type == "string":
        return text
    if spec.type == "bool":
        return _TRUTHS.get(text.strip().lower(), text)
    if spec.type == "enum" and text in spec.values:
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _by_name(spec, text)
    return value


def _by_name(spec: FieldSpec, text: str) -> object:
    return next((one for one in spec.values if str(one).lower() == text.strip().lower()), text)


def check_argument(name: str, spec: FieldSpec, value: object) -> object:
    """The value as the argument's type has it."""
    match spec.type:
        case "float" | "int":
            return _number(name, spec, value)
        case "bool":
            if isinstance(value, bool):
                return value
            raise CommandRefused(f"{name}: {shown(value)} is neither true nor false")
        case "string":
            if not isinstance(value, str):
                raise CommandRefused(f"{name}: {shown(value)} is not a text")
            if len(value) > _MAX_TEXT:
                raise CommandRefused(f"{name}: a text of {len(value):,} characters; allowed: {_MAX_TEXT:,}")
            return value
        case "enum":
            if any(type(one) is type(value) and one == value for one in spec.values):
                return value
            hint = did_you_mean(str(value), map(str, spec.values))
            raise CommandRefused(f"{name}: {shown(value)} is not one of {', '.join(map(str, spec.values))}{hint}")
        case "object":
            if isinstance(value, dict | list):
                return value
            raise CommandRefused(f"{name}: {shown(value)} is neither a mapping nor a list")


def _number(name: str, spec: FieldSpec, value: object) -> int | float:
    is_whole = spec.type == "int"
    if isinstance(value, float) and is_whole and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        raise CommandRefused(f"{name}: {shown(value)} is not a {'whole ' if is_whole else ''}number")
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        raise CommandRefused(f"{name}: {shown(value)} takes more than 64 bits")
    if not math.isfinite(value):
        raise CommandRefused(f"{name}: {value} is not a finite number")
    unit = f" {spec.unit}" if spec.unit else ""
    if spec.min is not None and value < spec.min:
        raise CommandRefused(f"{name}: {value:g} is below the least value {spec.min:g}{unit}")
    if spec.max is not None and value > spec.max:
        raise CommandRefused(f"{name}: {value:g} is above the greatest value {spec.max:g}{unit}")
    return value if is_whole else float(value)


def _raw(name: str, spec: FieldSpec, value: Any) -> object:
    """What stands for a value in the device's own words: map, scale and offset done backwards."""
    for raw, meant in spec.map.items():
        if type(meant) is type(value) and meant == value:
            return raw
    if spec.scale is None and spec.offset is None:
        return value
    number = round((value - (spec.offset or 0.0)) / (1.0 if spec.scale is None else spec.scale), 10)
    if not math.isfinite(number):
        raise CommandRefused(f"{name}: {value:g} is too large for the device")
    return int(number) if number.is_integer() else number
