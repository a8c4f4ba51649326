"""Contracts as JSON Schema (2020-12): what the data of an event of a profile is, for those who get it.

A schema says what *is* in an event, not what a device may write: after ``from``, ``map``, ``scale`` and the rest. Where
a profile promises a member it is required; ``x-unit`` is the unit. Only keywords that older drafts know as well are
used, so that a schema can stand in documents that are bound to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.event import GENERIC
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.profile import Profile

__all__ = ["DIALECT", "argument_schema", "data_schema", "derived_schema", "generic_schema", "schema_id"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TYPES: Final[dict[str, Any]] = {
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "string": "string",
    "object": ["object", "array"],
}
_FLAT: Final[dict[str, Any]] = {
    "description": "A member that no field names, under its flattened name.",
    "type": ["number", "string", "boolean"],
}
_NAME: Final = "^[a-z][a-z0-9_]*$"


def schema_id(name: str, version: int) -> str:
    """The ``dataschema`` of the events."""
    return f"urn:fieldgate:{name}:{version}"


def data_schema(profile: Profile) -> dict[str, Any]:
    """Return the schema of the data of a profile's events, without ``$schema`` and ``$id``."""
    schema: dict[str, Any] = {"title": f"{profile.profile} {profile.version}"}
    if profile.description:
        schema["description"] = profile.description
    schema["type"] = "object"
    schema["properties"] = {name: _field(spec) for name, spec in profile.fields.items()}
    required = [name for name, spec in profile.fields.items() if not profile.no_reading and _is_promised(spec)]
    if required:
        schema["required"] = required
    schema["additionalProperties"] = _others(profile)
    schema["propertyNames"] = {"pattern": _NAME}
    return schema


def _others(profile: Profile) -> dict[str, Any] | bool:
    """What members may be that `fields` does not name: repeated ones, whose names a message makes, and kept ones."""
    kinds = [{"title": name, **_field(spec)} for name, spec in profile.repeated.items()]
    if profile.other_fields == "keep":
        kinds.append(_FLAT)
    if not kinds:
        return False
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def derived_schema(title: str, description: str, fields: Mapping[str, FieldSpec], *, is_open: bool) -> dict[str, Any]:
    """Return the schema of the data of events that rules make. None of the fields is promised: a value may be unknown.

    ``is_open``: there are others, of which nobody knows the kind.
    """
    return {
        "title": title,
        "description": description,
        "type": "object",
        "properties": {name: _field(spec) for name, spec in fields.items()},
        "additionalProperties": is_open,
        "propertyNames": {"pattern": _NAME},
    }


def generic_schema() -> dict[str, Any]:
    """Return the schema of the data of events of devices that no profile names, where these are JSON."""
    return {
        "title": GENERIC,
        "description": "JSON of a device without a profile, flattened; all numbers are floats.",
        "type": "object",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": _FLAT,
    }


def argument_schema(command: CommandSpec) -> dict[str, Any]:
    """Return the schema of the arguments of a command, its ``id`` among them where none of them is called so."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _field(one) for name, one in command.payload.items()},
    }
    required = [name for name, one in command.payload.items() if not one.optional and one.default is None]
    if required:
        schema["required"] = required
    schema["properties"].setdefault("id", {"type": "string", "description": "The id of the command."})
    schema["additionalProperties"] = False
    return schema


def _field(spec: FieldSpec) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if spec.description:
        schema["description"] = spec.description
    if spec.type == "enum":
        schema["enum"] = list(spec.values)
    else:
        schema["type"] = _TYPES[spec.type]
    if spec.unit:
        schema["x-unit"] = spec.unit
    if spec.min is not None:
        schema["minimum"] = spec.min
    if spec.max is not None:
        schema["maximum"] = spec.max
    if spec.default is not None:
        schema["default"] = spec.default
    return schema


def _is_promised(spec: FieldSpec) -> bool:
    """Whether every event has it: a reading that means nothing, or is unfit, leaves out even what is not optional."""
    if spec.unfit != "refuse" or spec.absent_if or spec.first_of:
        return False
    return spec.default is not None or not (spec.optional or spec.no_reading)
