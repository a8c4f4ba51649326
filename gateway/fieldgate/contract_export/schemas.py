"""JSON Schemas of envelopes, member for member as ``forward/encode.py`` makes them.

A later version may add extension attributes, as CloudEvents allows; so what is not named here is not refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fieldgate.contract_export.kinds import Kind
from fieldgate.forward.encode import BINARY_TYPE, GAP_TYPE, JSON_TYPE
from fieldgate_devices.export import DIALECT

__all__ = ["ATTRIBUTES", "envelope_schema", "everything_schema", "profile_document"]

_TIME: Final = {"type": "string", "format": "date-time", "pattern": r"^[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z$"}

ATTRIBUTES: Final[dict[str, dict[str, Any]]] = {
    "specversion": {"const": "1.0"},
    "id": {"type": "string", "pattern": "^[0-9a-f]{16}-[0-9]+$", "description": "RUN-NUMBER: to deduplicate by."},
    "source": {"type": "string", "format": "uri-reference", "pattern": "^fieldgate/"},
    "type": {"type": "string"},
    "subject": {"type": "string", "minLength": 1, "description": "The device."},
    "dataschema": {"type": "string", "format": "uri"},
    "time": {**_TIME, "description": "When it happened: the device's own time, else when it was received."},
    "datacontenttype": {"enum": [JSON_TYPE, BINARY_TYPE]},
    "lane": {"enum": ["high", "low"], "description": "Priority; absent for normal."},
    "timequality": {
        "enum": ["unsynced", "estimated"],
        "description": "The clock could not be trusted when it was received; absent where it could.",
    },
    "osboot": {"type": "string", "description": "With timequality: the OS boot during which it was received."},
    "uptimems": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "With timequality: milliseconds since that boot.",
        "x-unit": "ms",
    },
    "drained": {"const": True, "description": "Newer events have passed this one (drain: live_first)."},
    "receivedat": {**_TIME, "description": "When it was received, where time is the device's own."},
    "replayed": {"const": True, "description": "The message was a dead letter before."},
    "cause": {
        "type": "string",
        "pattern": "^[0-9a-f]{16}-[0-9]+$",
        "description": "Of what a rule has made: the id of the event that it comes of.",
    },
    "traceparent": {
        "type": "string",
        "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        "description": "The trace in which it began (W3C Trace Context), where it belongs to one.",
    },
    "tracestate": {"type": "string", "maxLength": 512, "description": "With traceparent: what vendors add to it."},
    "contentid": {
        "type": "string",
        "pattern": "^[0-9a-f]{16}$",
        "description": "Equal for what a device sent again because its acknowledgement was lost.",
    },
}
_REQUIRED: Final = ("specversion", "id", "source", "type", "time", "datacontenttype")


def envelope_schema(kind: Kind, *, gateway: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the CloudEvents envelope of one kind; ``data`` is, or refers to, the schema of its data."""
    named = {"type": {"const": f"fieldgate.{kind.name}"}, "source": _source(gateway)}
    if kind.dataschema:
        named["dataschema"] = {"enum": kind.dataschemas} if kind.also else {"const": kind.dataschema}
    if kind.name == GAP_TYPE:
        named["id"] = {
            "type": "string",
            "pattern": "^[0-9a-f]{16}-[0-9]+-gap$",
            "description": "That of the last event it stands for, with -gap.",
        }
    if not kind.may_be_bytes:
        named["datacontenttype"] = {"const": JSON_TYPE}
    properties = {name: named.get(name, schema) for name, schema in ATTRIBUTES.items()}
    if not kind.dataschema:
        del properties["dataschema"]
    properties["data"] = data
    required = [*_REQUIRED, *(["dataschema"] if kind.dataschema else [])]
    schema: dict[str, Any] = {
        "title": f"fieldgate.{kind.name}",
        "description": kind.summary,
        "type": "object",
        "properties": properties,
        "required": required if kind.may_be_bytes else [*required, "data"],
    }
    if kind.may_be_bytes:
        properties["data_base64"] = {"type": "string", "contentEncoding": "base64"}
        schema["oneOf"] = [{"required": ["data"]}, {"required": ["data_base64"]}]
    return schema


def _source(gateway: str) -> dict[str, Any]:
    return {**ATTRIBUTES["source"], "description": f"fieldgate/{gateway}/DEVICE, percent-encoded."}


def profile_document(kind: Kind) -> dict[str, Any]:
    """Return the schema of the data of one kind as a document; its ``$id`` is what ``dataschema`` says."""
    identity = {"$id": kind.dataschema} if kind.dataschema else {}
    return {"$schema": DIALECT, **identity, **kind.data}


def everything_schema(kinds: Sequence[Kind], *, gateway: str) -> dict[str, Any]:
    """Return one schema that takes every envelope of this gateway and nothing else."""
    definitions = {f"{kind.name}-data": kind.data for kind in kinds}
    for kind in kinds:
        data = {"$ref": f"#/$defs/{kind.name}-data"}
        definitions[kind.name] = envelope_schema(kind, gateway=gateway, data=data)
    return {
        "$schema": DIALECT,
        "$id": f"urn:fieldgate:gateway:{gateway}",
        "title": f"Everything that the gateway {gateway} emits, as CloudEvents",
        "oneOf": [{"$ref": f"#/$defs/{kind.name}"} for kind in kinds],
        "$defs": definitions,
    }
