"""The JSON Schema (2020-12) of a file of rules, for editors: made from the models.

It describes what is written, not what is loaded: short forms, and ``{name}`` in the place of any value. What only
several keys together can say, conditions and names of others are left to ``fieldgate rules check``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from fieldgate_devices.names import MAX_NAME, RESERVED
from fieldgate_rules.model import RuleFileSpec

__all__ = ["SCHEMA_FILE", "editor_line", "rules_schema", "schema_text"]

SCHEMA_FILE: Final = "rules.schema.json"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_HOLE: Final[dict[str, Any]] = {"type": "string", "pattern": r"^\{[a-z][a-z0-9_]*\}$"}
_PLAIN_TEXT: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"]}
_FIELD_NAME: Final[dict[str, Any]] = {
    "pattern": "^[a-z][a-z0-9_]*$",
    "maxLength": MAX_NAME,
    "not": {"enum": sorted(RESERVED)},
}
_ID: Final = {"pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$"}
_CONDITIONS: Final = {"when", "until", "having", "if", "avg", "min", "max", "sum", "first", "last", "stddev", "delta",
                      "integral"}  # fmt: skip
_TEXTS: Final = {"text", "resolved", "key", "topic"}
_OF_TESTS: Final = {"TestSpec", "GivenSpec", "ExpectSpec", "ExpectedCommand", "ClockSpec", "RestartSpec"}
_ONE_OR_MORE: Final = {
    "Body": {"on", "changed", "do"},
    "RuleSpec": {"on", "changed", "do"},
    "TemplateSpec": {"on", "changed", "do"},
    "TriggerSpec": {"device", "profile", "tag", "lane", "rule", "gateway"},
    "StepSpec": {"device"},
    "AlertSpec": {"notify"},
    "ActionSpec": {"route"},
    "SampleSpec": {"changed"},
    "TestSpec": {"given", "expect", "expect_none"},
    "GivenSpec": {"device"},
    "ExpectSpec": {"route"},
}
_OR_TEXT: Final = {("RuleSpec", "throttle"), ("TemplateSpec", "throttle"), ("ActionSpec", "log"),
                   ("ExpectSpec", "command"), ("GivenSpec", "clock")}  # fmt: skip
_FIELD_NAMES: Final = {("AlertSpec", "fields"), ("EmitSpec", "fields"), ("ActionSpec", "set"), ("ActionSpec", "enrich"),
                       ("WindowSpec", "values"), ("RuleSpec", "parameters"), ("RuleSpec", "with"),
                       ("TemplateSpec", "parameters")}  # fmt: skip


def editor_line() -> str:
    """The first line of a file of rules, by which editors find the schema beside it."""
    return f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n"


class _Generator(GenerateJsonSchema):
    """pydantic's generator without a title for every key, which editors would show in place of the meaning."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def rules_schema() -> dict[str, Any]:
    """Return the schema."""
    made = RuleFileSpec.model_json_schema(by_alias=True, schema_generator=_Generator)
    sections: dict[str, Any] = made.pop("$defs")
    for name, section in sections.items():
        _adapt(name, section)
    for key in ("templates", "tags"):
        made["properties"][key]["propertyNames"] = _ID
    globs = made["properties"]["tags"]["additionalProperties"]
    made["properties"]["tags"]["additionalProperties"] = {"anyOf": [globs["items"], globs]}
    for key in made["properties"].values():  # with nothing below it a section says nothing
        key["type"] = [key["type"], "null"]
    described = {key: value for key, value in made.items() if key not in {"title", "description"}}
    return {"$schema": _DIALECT, "title": "file of rules", **described, "$defs": sections}


def schema_text() -> str:
    """The schema as the file `SCHEMA_FILE` holds it."""
    return json.dumps(rules_schema(), indent=2, ensure_ascii=False) + "\n"


def _adapt(name: str, section: dict[str, Any]) -> None:
    """Say what validators do that pydantic's schema does not show."""
    keys: dict[str, Any] = section.get("properties", {})
    for key, schema in keys.items():
        if key in _ONE_OR_MORE.get(name, ()):
            _one_or_more(schema)
        if (name, key) in _OR_TEXT:
            schema["anyOf"] = [{"type": "string"}, *schema["anyOf"]]
        if (name, key) in _FIELD_NAMES:
            _names_of_fields(schema)
        if key in _CONDITIONS | _TEXTS or (name, key) in {("LogSpec", "text"), ("EmitSpec", "device")}:
            _plain_text(schema)
        elif name not in _OF_TESTS | {"ParameterSpec"} and key not in ("id", "use", "with", "parameters"):
            _or_hole(schema)
    if name == "RuleSpec":
        keys["id"].update(_ID)
    if name == "SequenceSpec":
        steps = next(one for one in keys["steps"]["anyOf"] if one.get("type") == "array")
        steps["items"] = {"anyOf": [_PLAIN_TEXT, steps["items"]]}
    if name in ("CommandSpec", "ExpectedCommand"):  # the command's name may be the key of its arguments
        section["additionalProperties"] = {"type": ["object", "null", "string"]}
        section["required"] = [one for one in section.get("required", ()) if one != "name"]
    if name == "TestSpec":
        keys["expect_none"]["anyOf"].append({"const": False})


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What the value may be, taken out of a key's schema."""
    if "anyOf" in schema:
        return list(schema.pop("anyOf"))
    told = {"description", "default", "examples"}
    return [{key: schema.pop(key) for key in list(schema) if key not in told}]


def _one_or_more(schema: dict[str, Any]) -> None:
    """The key takes one entry without a list around it too."""
    options = _options(schema)
    single = [one["items"] for one in options if one.get("type") == "array"]
    schema["anyOf"] = [*single, *options]


def _plain_text(schema: dict[str, Any]) -> None:
    """``when: true`` and ``text: 5`` are the texts that they look like."""
    options = _options(schema)
    kept = [one for one in options if one.get("type") not in ("string", "boolean")]
    schema["anyOf"] = [_PLAIN_TEXT, *kept]


def _or_hole(schema: dict[str, Any]) -> None:
    """In templates, and in rules with parameters, a value may be what a parameter is."""
    options = _options(schema)
    if any(one == {} or (one.get("type") == "string" and len(one) == 1) for one in options):
        schema.update(options[0] if len(options) == 1 else {"anyOf": options})
        return
    schema["anyOf"] = [*options, _HOLE]


def _names_of_fields(schema: dict[str, Any]) -> None:
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "object":
            one["propertyNames"] = _FIELD_NAME
