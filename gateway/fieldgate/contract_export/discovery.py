"""What Home Assistant is told by an uplink, for the AsyncAPI document: the topics and the retained messages."""

from __future__ import annotations

from typing import Any, Final

from fieldgate.config.uplink import HomeAssistantConfig
from fieldgate.forward.encode import JSON_TYPE
from fieldgate.forward.ha_entity import COMPONENTS

__all__ = ["MESSAGE", "PARAMETERS", "discovery_address"]


def discovery_address(config: HomeAssistantConfig) -> str:
    """Return the address of the channel; see `PARAMETERS`."""
    return f"{config.prefix}/{{component}}/{{node}}/{{field}}/config"


PARAMETERS: Final[dict[str, Any]] = {
    "component": {"description": "What the field is to Home Assistant.", "enum": list(COMPONENTS)},
    "node": {"description": "Gateway and device, in letters, digits, '_' and '-'."},
    "field": {"description": "The field of the device."},
}

_TEXT: Final = {"type": "string", "minLength": 1}
_DEVICE: Final = {
    "type": "object",
    "properties": {
        "identifiers": {"type": "array", "items": _TEXT, "minItems": 1},
        "name": {**_TEXT, "description": "Of the device."},
        "model": {**_TEXT, "description": "Id of its profile."},
    },
    "required": ["identifiers", "name", "model"],
    "additionalProperties": False,
}
_AVAILABILITY: Final = {
    "type": "object",
    "properties": dict.fromkeys(("topic", "value_template", "payload_available", "payload_not_available"), _TEXT),
    "required": ["topic", "value_template", "payload_available", "payload_not_available"],
    "additionalProperties": False,
}
MESSAGE: Final[dict[str, Any]] = {
    "name": "discovery",
    "title": "discovery",
    "summary": "MQTT discovery of Home Assistant, retained: one field of a device. An empty message takes it back.",
    "contentType": JSON_TYPE,
    "payload": {
        "type": "object",
        "properties": {
            "name": {**_TEXT, "description": "Of the field, for people."},
            "unique_id": _TEXT,
            "state_topic": {**_TEXT, "description": "Where the events of the device go that hold the field."},
            "value_template": {**_TEXT, "description": "Jinja that finds the value in an event."},
            "qos": {"const": 1},
            "device": _DEVICE,
            "origin": {
                "type": "object",
                "properties": {"name": {"const": "fieldgate"}, "sw_version": _TEXT},
                "required": ["name", "sw_version"],
                "additionalProperties": False,
            },
            "device_class": _TEXT,
            "state_class": {"enum": ["measurement", "total_increasing"]},
            "unit_of_measurement": _TEXT,
            "options": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "entity_category": {"const": "diagnostic"},
            "expire_after": {"type": "integer", "minimum": 1, "description": "Seconds: silent_after of the profile."},
            "availability": {"type": "array", "items": _AVAILABILITY, "minItems": 1, "maxItems": 1},
            "payload_on": {"const": "ON"},
            "payload_off": {"const": "OFF"},
        },
        "required": ["name", "unique_id", "state_topic", "value_template", "qos", "device", "origin"],
        "additionalProperties": False,
    },
}
