"""What a client library or a broker cannot do, by scenario, with the reason: a dash in the table, and a line below."""

from __future__ import annotations

__all__ = ["LACKS"]

LACKS: dict[str, dict[str, str]] = {
    "mosquitto": {
        "burst": "mosquitto_pub is a process for each message here",
        "keep-alive": "mosquitto_sub takes no keep-alive below 5 s",
        "no local": "mosquitto_sub does not publish, so it has nothing of its own to be spared",
        "no will": "mosquitto_sub asks for its will when it is ended (DISCONNECT 0x04)",
        "retain handling": "mosquitto_sub 2.0 has no option for it",
        "unsubscribe": "mosquitto_sub unsubscribes only as it starts",
    },
    "amqtt": {
        "lost connection": "amqtt 0.12 drops what it has for a kept session: a paho subscriber got 50 of 600 messages",
    },
    "gmqtt": {
        "burst": "gmqtt raises, and does not wait, when the server's Receive Maximum is reached",
        "unicode ids": "gmqtt 0.8 counts its client id in characters where MQTT wants bytes [MQTT-1.5.4-1]",
    },
}
