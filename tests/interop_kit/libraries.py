"""The client libraries of the matrix."""

from __future__ import annotations

from interop_kit.aiomqtt_client import aiomqtt_clients
from interop_kit.contract import Library
from interop_kit.gmqtt_client import gmqtt_clients
from interop_kit.lacks import LACKS
from interop_kit.mosquitto_client import mosquitto_clients, why_no_mosquitto_clients
from interop_kit.mqttjs_client import mqttjs_clients
from interop_kit.node import why_no_package
from interop_kit.paho_client import paho_clients

__all__ = ["LIBRARIES"]


def _both(name: str, started: object, **about: object) -> list[Library]:
    return [Library(name, version, started, **about) for version in (4, 5)]  # type: ignore[arg-type]


LIBRARIES: tuple[Library, ...] = (
    *_both(
        "mosquitto",
        mosquitto_clients,
        missing=why_no_mosquitto_clients(),
        lacks=LACKS["mosquitto"],
        subscribes_to_connect=True,
    ),
    *_both("paho", paho_clients),
    *_both("aiomqtt", aiomqtt_clients),
    *_both("MQTT.js", mqttjs_clients, missing=why_no_package("mqtt")),
    *_both("gmqtt", gmqtt_clients, lacks=LACKS["gmqtt"]),
)
