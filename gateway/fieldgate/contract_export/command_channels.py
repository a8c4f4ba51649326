"""Commands in the AsyncAPI document: the channel on which an uplink hears them, and that of its answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fieldgate.forward.encode import JSON_TYPE
from fieldgate_devices.export import argument_schema
from fieldgate_devices.profile import Profile

__all__ = ["CommandKind", "all_commands", "command_parts"]

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CommandKind:
    """One command of a profile: ``arguments`` is the schema of its arguments."""

    profile: str
    name: str
    summary: str
    arguments: Schema

    @property
    def key(self) -> str:
        """Its name among all commands."""
        return f"{self.profile}-{self.name}"


def all_commands(profiles: Iterable[Profile]) -> list[CommandKind]:
    """Return every command that devices of these profiles can be told, sorted."""
    return [
        CommandKind(one.profile, name, spec.description or f"Tells a {one.profile}: {name}.", argument_schema(spec))
        for one in sorted(profiles, key=lambda one: one.profile)
        for name, spec in sorted(one.commands.items())
    ]


def command_parts(uplink: str, template: str, commands: Iterable[CommandKind], *, gateway: str) -> dict[str, Schema]:
    """Return ``channels``, ``operations``, ``messages`` and ``schemas`` of an uplink that hears commands."""
    listed = list(commands)
    address = template.replace("{gateway}", gateway)
    heard, answers = f"{uplink}-commands", f"{uplink}-answers"
    messages = {f"{uplink}.command.{one.key}": _message(one) for one in listed}
    messages[f"{uplink}.answer"] = _ANSWER
    channels = {
        heard: _channel(uplink, address, [f"{uplink}.command.{one.key}" for one in listed]),
        answers: _channel(uplink, f"{address}/answer", [f"{uplink}.answer"]),
    }
    operations = {
        f"receive-{heard}": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{heard}"},
            "messages": [{"$ref": f"#/channels/{heard}/messages/command.{one.key}"} for one in listed],
            "bindings": _QOS,
            "reply": {
                "channel": {"$ref": f"#/channels/{answers}"},
                "messages": [{"$ref": f"#/channels/{answers}/messages/answer"}],
            },
        }
    }
    schemas = {f"command-{one.key}": one.arguments for one in listed}
    return {"channels": channels, "operations": operations, "messages": messages, "schemas": schemas}


_QOS: Final = {"mqtt": {"qos": 1, "bindingVersion": "0.2.0"}}
_PARAMETERS: Final = {
    "device": {"description": "The device that is told something, with '.' for '/'."},
    "name": {"description": "The command, as the device's profile calls it."},
}


def _channel(uplink: str, address: str, messages: list[str]) -> Schema:
    return {
        "address": address,
        "messages": {one.partition(".")[2]: {"$ref": f"#/components/messages/{one}"} for one in messages},
        "servers": [{"$ref": f"#/servers/{uplink}"}],
        "parameters": {name: one for name, one in _PARAMETERS.items() if f"{{{name}}}" in address},
    }


def _message(one: CommandKind) -> Schema:
    arguments = {"$ref": f"#/components/schemas/command-{one.key}"}
    long_form = {
        "type": "object",
        "properties": {
            "arguments": arguments,
            "id": _ID,
            "at": {"type": "string", "format": "date-time", "description": "When it was given."},
            "max_age": {"type": "number", "minimum": 0, "x-unit": "s", "description": "How old it may be."},
        },
        "required": ["arguments"],
        "additionalProperties": False,
    }
    return {
        "name": f"command.{one.key}",
        "title": one.name,
        "summary": f"{one.summary} For devices of profile {one.profile}. MQTT 5: response topic and correlation data "
        "are honoured; the id is the correlation data, else id.",
        "contentType": JSON_TYPE,
        "payload": {"anyOf": [long_form, arguments]},
    }


_ID: Final[Schema] = {
    "type": "string",
    "maxLength": 256,
    "description": "The same id again is the same command: it is carried out once.",
}
_ANSWER: Final[Schema] = {
    "name": "answer",
    "title": "answer",
    "summary": "What became of a command; on its response topic where it has one. accepted is followed by another one.",
    "contentType": JSON_TYPE,
    "payload": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "device": {"type": "string"},
            "command": {"type": "string"},
            "status": {"enum": ["accepted", "refused", "done", "timeout", "unknown"]},
            "reason": {"type": "string", "description": "Why, for a person."},
            "at": {"type": "string", "format": "date-time"},
            "timequality": {"const": "unsynced"},
            "remark": {"type": "string", "description": "Where the response topic could not be used."},
        },
        "required": ["id", "device", "command", "status", "at"],
        "additionalProperties": False,
    },
}
