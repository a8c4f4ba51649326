"""The JSON Schema (2020-12) of a profile file, for editors: made from the models, the decoders' options among them.

It describes what is written, not what is loaded. What only several keys together can say, and whether the examples
hold, is left to ``fieldgate devices check``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from fieldgate_devices.decoders.make import BUILT_IN, options_class
from fieldgate_devices.names import MAX_NAME, RESERVED
from fieldgate_devices.profile import Profile

__all__ = ["SCHEMA_FILE", "editor_line", "profile_schema", "schema_text"]

SCHEMA_FILE: Final = "profile.schema.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ONE_OR_MORE: Final = {"match", "from", "except", "first_of", "others_from", "tags", "text", "no_value", "register"}
_FIELD_NAME: Final[dict[str, Any]] = {
    "pattern": "^[a-z][a-z0-9_]*$",
    "maxLength": MAX_NAME,
    "not": {"enum": sorted(RESERVED)},
}


def editor_line() -> str:
    """The first line of a profile, by which editors find the schema beside it."""
    return f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n"


class _Generator(GenerateJsonSchema):
    """pydantic's generator without a title for every key, which editors would show in place of the meaning."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def profile_schema(decoders: Iterable[str] = tuple(BUILT_IN)) -> dict[str, Any]:
    """Return the schema; ``decoders`` are the names that ``decode`` may have."""
    options: dict[str, type[BaseModel]] = {name: options_class(name) for name in decoders}
    models: list[type[BaseModel]] = [Profile, *options.values()]
    refs, made = models_json_schema(
        [(model, "validation") for model in models], by_alias=True, schema_generator=_Generator
    )
    sections: dict[str, Any] = made["$defs"]
    for section in sections.values():  # a section may stand there with nothing below
        if section.get("type") == "object":
            section["type"] = ["object", "null"]
    profile = sections.pop(_name(refs[Profile, "validation"]))
    profile["type"] = "object"
    _adapt(profile, sections, {name: refs[model, "validation"] for name, model in options.items()})
    described = {key: value for key, value in profile.items() if key not in {"title", "description"}}
    return {"$schema": _DIALECT, "title": "device profile", **described, "$defs": sections}


def schema_text(decoders: Iterable[str] = tuple(BUILT_IN)) -> str:
    """The schema as the file `SCHEMA_FILE` holds it."""
    return json.dumps(profile_schema(decoders), indent=2, ensure_ascii=False) + "\n"


def _name(ref: dict[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _adapt(profile: dict[str, Any], sections: dict[str, Any], options: dict[str, dict[str, Any]]) -> None:
    """Say what validators do that pydantic's schema does not show: short forms, and names of fields."""
    keys = profile["properties"]
    keys["profile"]["pattern"] = "^[a-z][a-z0-9_-]{0,63}$"
    decoders = _decoders(options)
    for section in (profile, *sections.values()):
        for name, key in section.get("properties", {}).items():
            if name in _ONE_OR_MORE and key.get("type") == "array":
                _one_or_more(key)
    _take_decoder(keys["decode"], decoders)
    _take_decoder(sections["MatchSpec"]["properties"]["decode"], decoders)
    for owner, key in ((keys, "fields"), (keys, "commands"), (sections["CommandSpec"]["properties"], "payload")):
        owner[key]["propertyNames"] = _FIELD_NAME
    for name in ("publish", "serial"):
        _or_text(sections["CommandSpec"]["properties"][name])
    upgrade = keys["upgrade"]
    upgrade["propertyNames"] = {"pattern": "^[1-9][0-9]{0,3}$"}


def _decoders(options: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"enum": sorted(options)}, *map(_with_options, sorted(options.items()))]


def _take_decoder(key: dict[str, Any], decoders: list[dict[str, Any]]) -> None:
    """A decoder's name, or the name with its options below."""
    described: dict[str, Any] = {name: key[name] for name in ("description", "examples") if name in key}
    key.clear()
    key.update(described, oneOf=decoders)


def _with_options(named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """``decode: {csv: {delimiter: ";"}}``."""
    name, ref = named
    return {"type": "object", "properties": {name: ref}, "required": [name], "additionalProperties": False}


def _or_text(key: dict[str, Any]) -> None:
    """The section may be written as the one text that matters most."""
    key["anyOf"] = [{"type": "string"}, *key["anyOf"]]


def _one_or_more(key: dict[str, Any]) -> None:
    """The key takes one entry without a list around it too."""
    many = {name: key.pop(name) for name in ("type", "items", "minItems", "maxItems") if name in key}
    key["anyOf"] = [many["items"], many]
