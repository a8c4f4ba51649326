"""An AsyncAPI 3.0 document of what a gateway sends: a server and a channel for each uplink, a message for each kind.

And of what it hears: commands, where an uplink takes any (`command_channels`).

No secret stands in it: of a broker it names host, port and how one logs in there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fieldgate.config.broker import BrokerConfig
from fieldgate.config.model import Config
from fieldgate.config.uplink import OwnListeners, UplinkConfig
from fieldgate.contract_export.command_channels import CommandKind, command_parts
from fieldgate.contract_export.discovery import MESSAGE, PARAMETERS, discovery_address
from fieldgate.contract_export.kinds import Kind
from fieldgate.contract_export.schemas import ATTRIBUTES, envelope_schema
from fieldgate.forward.batch import BATCH_TYPE, ZSTD_BATCH_TYPE
from fieldgate.forward.encode import JSON_TYPE
from fieldgate.forward.shape import EVENT_TYPE
from fieldgate.forward.topic_template import BATCH_WORD

__all__ = ["asyncapi_document"]

_PARAMETER: Final = re.compile(r"\{(device|type|topic|lane)\}")
_PROTOCOLS: Final = {(False, False): "mqtt", (False, True): "secure-mqtt", (True, False): "ws", (True, True): "wss"}
_RAW_NAMES: Final = (
    "time",
    "id",
    "contentid",
    "lane",
    "timequality",
    "osboot",
    "uptimems",
    "drained",
    "receivedat",
    "replayed",
    "cause",
)
_TRACE_NAMES: Final = ("traceparent", "tracestate")
_QOS: Final = {"mqtt": {"qos": 1, "bindingVersion": "0.2.0"}}
_RETAINED: Final = {"mqtt": {"qos": 1, "retain": True, "bindingVersion": "0.2.0"}}

Schema = dict[str, Any]


def asyncapi_document(
    config: Config, kinds: Sequence[Kind], *, version: str, commands: Sequence[CommandKind] = ()
) -> Schema:
    """Return the document of a gateway with this configuration; ``version`` is that of the document.

    ``commands`` are those that uplinks hear which take any.
    """
    gateway = config.gateway.id
    servers: Schema = {}
    channels: Schema = {}
    operations: Schema = {}
    messages: Schema = {}
    security: Schema = {}
    arguments: Schema = {}
    for name, uplink in config.uplinks.items():
        if uplink.webhook is not None:  # it subscribes to nothing; its requests are those of its own documentation
            continue
        broker = config.brokers_up.get(name)
        if broker is not None:
            servers[name] = _server(broker, security)
        made = _messages(name, uplink, kinds, gateway=gateway)
        messages |= made
        _add(channels, operations, name, _channel(name, uplink, made, gateway=gateway, has_server=name in servers))
        status = "off" if broker is None else broker.status_topic
        if status != "off":
            key = f"{name}.status"
            messages[key] = _STATUS
            address = status.replace("{gateway}", gateway)
            _add(channels, operations, f"{name}-status", _plain_channel(name, address, [key]), _RETAINED)
        if broker is not None and broker.commands != "off":
            parts = command_parts(name, broker.commands, commands, gateway=gateway)
            channels |= parts["channels"]
            operations |= parts["operations"]
            messages |= parts["messages"]
            arguments |= parts["schemas"]
        if uplink.home_assistant is not None:
            key = f"{name}.discovery"
            messages[key] = MESSAGE
            channel = _plain_channel(name, discovery_address(uplink.home_assistant), [key], has_server=name in servers)
            _add(channels, operations, f"{name}-discovery", {**channel, "parameters": PARAMETERS}, _RETAINED)
    document: Schema = {
        "asyncapi": "3.0.0",
        "id": f"urn:fieldgate:gateway:{gateway}",
        "info": {
            "title": f"What the gateway {gateway} emits",
            "version": version,
            "description": "At least once: deduplicate by the event's id. Type and version of the data stand in type "
            "and dataschema of each envelope.",
        },
        "defaultContentType": EVENT_TYPE,
    }
    components: Schema = {"schemas": _schemas(kinds, gateway=gateway) | arguments, "messages": messages}
    if security:
        components["securitySchemes"] = security
    parts = {"servers": servers, "channels": channels, "operations": operations}
    return {**document, **{key: part for key, part in parts.items() if part}, "components": components}


def _add(channels: Schema, operations: Schema, name: str, channel: Schema, bindings: Schema = _QOS) -> None:
    channels[name] = channel
    operations[f"send-{name}"] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{one}"} for one in channel["messages"]],
        "bindings": bindings,
    }


# -- where ------------------------------------------------------------------------------------------------------------


def _server(broker: BrokerConfig, security: Schema) -> Schema:
    if not broker.url.is_literal:  # where the broker is may be a secret too
        host, path = "set-by-the-gateway", ""
    else:
        place = broker.place
        host = f"{f'[{place.host}]' if ':' in place.host else place.host}:{place.port}"
        path = place.path
    protocol = _PROTOCOLS[broker.place.is_websocket, broker.is_tls]
    server: Schema = {"host": host, "protocol": protocol}
    if path:
        server["pathname"] = path
    if broker.version != "auto":
        server["protocolVersion"] = broker.version
    needed = [*(["login"] if broker.username or broker.password or broker.sas else [])]
    needed += ["certificate"] if broker.certificate else []
    for one in needed:
        security[one] = _SECURITY[one]
    if needed:
        server["security"] = [{"$ref": f"#/components/securitySchemes/{one}"} for one in needed]
    return server


_SECURITY: Final[dict[str, Schema]] = {
    "login": {"type": "userPassword", "description": "User name and password of MQTT."},
    "certificate": {"type": "X509", "description": "A client certificate."},
}


def _channel(name: str, uplink: UplinkConfig, messages: Mapping[str, Any], *, gateway: str, has_server: bool) -> Schema:
    template = uplink.topic if isinstance(uplink.mqtt, OwnListeners) else uplink.broker.topic
    address = template.replace("{gateway}", gateway.replace("/", "."))
    if uplink.format == "cloudevents-batch":
        address = _PARAMETER.sub(BATCH_WORD, address)
    channel = _plain_channel(name, address, list(messages), has_server=has_server)
    used = dict.fromkeys(_PARAMETER.findall(address))
    if used:
        channel["parameters"] = {one: _parameter(one) for one in used}
    return channel


def _plain_channel(server: str, address: str, messages: Sequence[str], *, has_server: bool = True) -> Schema:
    channel: Schema = {
        "address": address,
        "messages": {one.partition(".")[2]: {"$ref": f"#/components/messages/{one}"} for one in messages},
    }
    if has_server:
        channel["servers"] = [{"$ref": f"#/servers/{server}"}]
    else:
        channel["description"] = "To the local subscribers of the gateway's own listeners."
    return channel


def _parameter(name: str) -> Schema:
    if name == "lane":
        return {"description": "Priority of the event.", "enum": ["high", "normal", "low"]}
    return {"description": _PARAMETERS[name]}


_PARAMETERS: Final = {
    "device": "The device, with '.' for '/'.",
    "type": "The type of the event, without 'fieldgate.'.",
    "topic": "The topic on which the device published, as it is.",
}


# -- what -------------------------------------------------------------------------------------------------------------


def _schemas(kinds: Sequence[Kind], *, gateway: str) -> Schema:
    schemas: Schema = {f"{kind.name}-data": kind.data for kind in kinds}
    for kind in kinds:
        data = {"$ref": f"#/components/schemas/{kind.name}-data"}
        schemas[kind.name] = envelope_schema(kind, gateway=gateway, data=data)
    return schemas


def _messages(uplink: str, config: UplinkConfig, kinds: Sequence[Kind], *, gateway: str) -> Schema:
    match config.format:
        case "cloudevents":
            return {f"{uplink}.{kind.name}": _structured(kind) for kind in kinds}
        case "cloudevents-batch":
            return {f"{uplink}.batch": _batch(kinds, is_compressed=config.batch.compression == "zstd")}
        case "cloudevents-binary":
            return {f"{uplink}.{kind.name}": _binary(kind, gateway=gateway) for kind in kinds}
        case "raw":
            return {f"{uplink}.raw": _RAW}


def _structured(kind: Kind) -> Schema:
    return {
        "name": f"fieldgate.{kind.name}",
        "title": kind.name,
        "summary": kind.summary,
        "contentType": EVENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{kind.name}"},
    }


def _batch(kinds: Sequence[Kind], *, is_compressed: bool) -> Schema:
    any_kind = {"oneOf": [{"$ref": f"#/components/schemas/{kind.name}"} for kind in kinds]}
    packed = " The message is compressed by zstd; the schema is of what is in it." if is_compressed else ""
    return {
        "name": "batch",
        "title": "batch",
        "summary": f"Events of any kind, in the order of arrival.{packed}",
        "contentType": ZSTD_BATCH_TYPE if is_compressed else BATCH_TYPE,
        "payload": {"type": "array", "minItems": 1, "items": any_kind},
    }


def _binary(kind: Kind, *, gateway: str) -> Schema:
    envelope = envelope_schema(kind, gateway=gateway, data={})
    properties = {
        name: _as_text(schema)
        for name, schema in envelope["properties"].items()
        if name not in {"data", "data_base64", "datacontenttype"}
    }
    required = [name for name in envelope["required"] if name in properties]
    payload: Schema = {"$ref": f"#/components/schemas/{kind.name}-data"}
    return {
        "name": f"fieldgate.{kind.name}",
        "title": kind.name,
        "summary": f"{kind.summary} Attributes are MQTT 5 user properties; the payload is the data.",
        "contentType": JSON_TYPE,
        "headers": {"type": "object", "properties": properties, "required": required},
        "payload": {"description": "JSON, or the device's bytes."} if kind.may_be_bytes else payload,
    }


def _as_text(schema: Schema) -> Schema:
    """An attribute as a user property, which is a text."""
    return {**schema, "const": "true"} if schema.get("const") is True else schema


_RAW: Final[Schema] = {
    "name": "raw",
    "title": "raw",
    "summary": "The device's own bytes; over MQTT 5 the event's id and time go along as user properties.",
    "headers": {
        "type": "object",
        "properties": {
            **{f"fieldgate-{name}": _as_text(ATTRIBUTES[name]) for name in _RAW_NAMES},
            **{name: ATTRIBUTES[name] for name in _TRACE_NAMES},
        },
    },
    "payload": {"description": "What the device sent."},
}
_STATUS: Final[Schema] = {
    "name": "status",
    "title": "status",
    "summary": "Whether the gateway is connected: retained where the broker can; the last will says offline for it.",
    "contentType": JSON_TYPE,
    "payload": {
        "type": "object",
        "properties": {
            "state": {"enum": ["online", "offline"]},
            "gateway": {"type": "string"},
            "uplink": {"type": "string"},
            "version": {"type": "string", "description": "Of Fieldgate."},
            "run": {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "As in the ids of its events."},
            "since": {**ATTRIBUTES["time"], "description": "When the gateway said so; absent in the last will."},
            "timequality": {"const": "unsynced"},
            "reason": {"type": "string", "description": "Of the last will."},
        },
        "required": ["state", "gateway", "uplink", "version", "run"],
        "oneOf": [{"required": ["since"]}, {"required": ["reason"]}],
        "additionalProperties": False,
    },
}
