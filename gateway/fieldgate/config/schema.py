"""The JSON Schema (2020-12) of ``fieldgate.yaml``, for editors and other programs.

It describes what is written, not what is loaded: durations, sizes and rates are texts. What only several keys
together can say is left to ``fieldgate check``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from fieldgate.config.model import Config
from fieldgate.config.tree import TREE
from fieldgate_devices.files.model_tree import quantity_of

__all__ = ["SCHEMA_FILE", "json_schema", "schema_text"]

SCHEMA_FILE: Final = "fieldgate.schema.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """pydantic's generator without a title for every key, which editors would show in place of the meaning."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        return {"$schema": _DIALECT, **super().generate(schema, mode), "title": "fieldgate.yaml"}


def json_schema() -> dict[str, Any]:
    """The schema as plain values."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    sections: dict[str, Any] = {"Config": schema, **schema["$defs"]}
    for key in TREE.all_keys():
        owner = sections[key.owner.__name__]["properties"]
        quantity = quantity_of(key.field)
        if quantity is not None and owner[key.name].get("default") is not None:
            owner[key.name]["default"] = quantity.format(key.field.default)
    for section in schema["$defs"].values():  # a section may stand there with nothing below
        kinds = section["type"] if isinstance(section["type"], list) else [section["type"]]
        section["type"] = [*kinds, "null"]
    for name in ("listen", "sources", "uplinks"):
        schema["properties"][name]["type"] = [schema["properties"][name]["type"], "null"]
    return schema


def schema_text() -> str:
    """The schema as the file `SCHEMA_FILE` holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
