"""What is wrong with a command of a profile that no single key can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import Final

from fieldgate_devices.command_model import CommandSpec, PublishSpec, ReplySpec, SerialSpec
from fieldgate_devices.command_template import COMMAND_ID, HexTemplate, JsonTemplate, TextTemplate
from fieldgate_devices.conditions import condition_problem
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.document import Loc
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.topic_pattern import read_command_pattern

__all__ = ["command_problems"]

_WAYS: Final = ("publish", "serial", "modbus")
_NOT_OF_ARGUMENTS: Final = ("from_", "no_reading", "raw_unit", "unit_from", "absent_if", "first_of")

Found = tuple[Loc, str]


def command_problems(name: str, command: CommandSpec, *, captures: Set[str], own: Set[str]) -> Iterator[Found]:
    """Say what is wrong, and where below the command.

    ``captures`` are the names that match catches, ``own`` the filters of the profile's messages.
    """
    ways = [way for way in _WAYS if getattr(command, way) is not None]
    if len(ways) != 1:
        what = f"{name} has {' and '.join(ways)}" if ways else f"{name} does not say how the device is told"
        yield (), f"{what}; write one of {', '.join(_WAYS)}"
    yield from _arguments(command)
    names = _Names(captures, command)
    if command.publish is not None:
        yield from _publish(command.publish, names, own)
    if command.serial is not None:
        yield from _serial(command.serial, names)
    if command.reply is not None and command.modbus is not None:
        yield ("reply",), "a unit confirms what is written to it; leave reply out"
    elif command.reply is not None:
        yield from _reply(command.reply, names, is_published=command.publish is not None)


class _Names:
    """The names that a template of the command may hold."""

    def __init__(self, captures: Set[str], command: CommandSpec) -> None:
        self._known = {*captures, *command.payload, COMMAND_ID}
        self._optional = {one for one, spec in command.payload.items() if spec.optional and spec.default is None}

    def problems(self, loc: Loc, names: Iterable[str], *, may_be_missing: bool = False) -> Iterator[Found]:
        for name in dict.fromkeys(names):
            if name not in self._known:
                hint = did_you_mean(name, self._known) or f"; there is {', '.join(sorted(self._known))}"
                yield loc, f"{{{name}}} is neither an argument nor caught by match{hint}"
            elif name in self._optional and not may_be_missing:
                yield loc, f"{{{name}}} may be left out, and nothing can stand there then; give it a default"

    def read(self, loc: Loc, make: Callable[[], TextTemplate | HexTemplate]) -> Iterator[Found]:
        """The problems of a template that ``make`` reads."""
        try:
            template = make()
        except ValueError as error:
            yield loc, str(error)
            return
        yield from self.problems(loc, template.names)


def _arguments(command: CommandSpec) -> Iterator[Found]:
    for name, spec in command.payload.items():
        loc: Loc = ("payload", name)
        for key in _NOT_OF_ARGUMENTS:
            if getattr(spec, key):
                written = key.rstrip("_")
                yield (*loc, written), f"{written} is about what a device says; {name} is an argument"
        if spec.unfit != "refuse":
            yield (*loc, "unfit"), f"unfit is about what a device says; {name} is an argument"
        yield from _map(spec, loc)


def _map(spec: FieldSpec, loc: Loc) -> Iterator[Found]:
    """Done backwards, it must say for each value what is sent."""
    meant = [(type(one), one) for one in spec.map.values()]
    if len(set(meant)) != len(meant):
        yield (*loc, "map"), "two of its texts stand for the same value; which is to be sent?"
    values: tuple[object, ...] = (True, False) if spec.type == "bool" else spec.values if spec.type == "enum" else ()
    if spec.map and values and (missing := [one for one in values if (type(one), one) not in meant]):
        yield (*loc, "map"), f"map does not say what is sent for {str(missing[0]).lower()}"


def _publish(publish: PublishSpec, names: _Names, own: Set[str]) -> Iterator[Found]:
    loc: Loc = ("publish", "topic")
    try:
        pattern = read_command_pattern(publish.topic)
    except ValueError as error:
        yield loc, str(error)
    else:
        yield from names.read(loc, lambda: TextTemplate(publish.topic))
        if pattern.filter in own:
            yield loc, f"{publish.topic!r} is where its messages come from: none of them would be an event"
    if publish.text is not None:
        text = publish.text
        yield from names.read(("publish", "text"), lambda: TextTemplate(text))
    if "json_" in publish.model_fields_set:
        if publish.text is not None:
            yield ("publish", "json"), "the payload is a text or JSON; write one of them"
        try:
            template = JsonTemplate(publish.json_)
        except ValueError as error:
            yield ("publish", "json"), str(error)
        else:
            yield from names.problems(("publish", "json"), template.names, may_be_missing=True)


def _serial(serial: SerialSpec, names: _Names) -> Iterator[Found]:
    if (serial.text is None) == (serial.hex is None):
        yield ("serial",), "what is written is a text or hex; write one of them"
    if serial.text is not None:
        text = serial.text
        yield from names.read(("serial", "text"), lambda: TextTemplate(text, has_escapes=True))
    if serial.hex is not None:
        digits = serial.hex
        yield from names.read(("serial", "hex"), lambda: HexTemplate(digits))


def _reply(reply: ReplySpec, names: _Names, *, is_published: bool) -> Iterator[Found]:
    if is_published and reply.mqtt is None:
        yield ("reply",), "on which topic does the device reply? write mqtt"
    if not is_published and reply.mqtt is not None:
        yield ("reply", "mqtt"), "the reply comes from where the command went; leave mqtt out"
    if not is_published and not (reply.json_ or reply.text or reply.pattern):
        yield ("reply",), "the reply says nothing; write text, json or pattern"
    if reply.mqtt is not None:
        topic = reply.mqtt
        yield from names.read(("reply", "mqtt"), lambda: TextTemplate(topic))
        if "+" in topic or "#" in topic:
            yield ("reply", "mqtt"), f"{topic!r} has a '+' or '#'; a reply comes on one topic"
    for path, wanted in reply.json_.items():
        if problem := condition_problem(wanted):
            yield ("reply", "json", path), f"{path}: {problem}"
    try:
        template = JsonTemplate(reply.json_)
    except ValueError as error:
        yield ("reply", "json"), str(error)
    else:
        yield from names.problems(("reply", "json"), template.names, may_be_missing=True)
    for text in reply.text:
        yield from names.read(("reply", "text"), lambda text=text: TextTemplate(text))  # type: ignore[misc]  # mypy infers no defaults
