"""The JSON Schema (2020-12) of a device profile, for editors: completion and the meaning of every key.

It describes what is written. What only several keys together can say is left to ``fieldgate devices check``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from fieldgate_devices.decoders.make import BUILT_IN
from fieldgate_devices.profile import Profile

__all__ = ["SCHEMA_FILE", "json_schema", "schema_text"]

SCHEMA_FILE: Final = "profile.schema.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ONE_OR_MORE: Final = {"match", "from", "except", "first_of", "others_from"}


class _Generator(GenerateJsonSchema):
    """pydantic's generator without a title for every key, which editors would show in place of the meaning."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": _DIALECT, **super().generate(schema, mode), "title": "Fieldgate device profile"}


def json_schema() -> dict[str, Any]:
    """The schema as plain values."""
    schema = Profile.model_json_schema(schema_generator=_Generator)
    for name, key in _keys(schema):
        if name in _ONE_OR_MORE and key.get("type") == "array":
            _allow(key, key["items"])
        elif name == "decode":
            _allow(key, {"type": "string", "examples": sorted(BUILT_IN)})
    return schema


def _keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for section in (schema, *schema["$defs"].values()):
        yield from section.get("properties", {}).items()


def _allow(key: dict[str, Any], also: dict[str, Any]) -> None:
    """Let a key be something else too."""
    about: dict[str, Any] = {name: key.pop(name) for name in ("description", "examples", "default") if name in key}
    kinds = key.pop("anyOf", None) or [dict(key)]
    key.clear()
    key.update(about, anyOf=[also, *kinds])


def schema_text() -> str:
    """The schema as the file `SCHEMA_FILE` holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
