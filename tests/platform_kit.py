"""A platform upstream that commands devices, and devices, as paho has them: MQTT 5, with sessions that are kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

__all__ = ["Client", "client", "said"]


class Client:
    """A paho client of MQTT 5 with what it got."""

    def __init__(self, port: int, name: str, *filters: str) -> None:
        self.got: list[paho.MQTTMessage] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self.got.append(message)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_connect = lambda client, *_: client.subscribe([(one, 1) for one in filters])
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.connect("127.0.0.1", port, clean_start=False, properties=_kept())
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def send(self, topic: str, payload: bytes | str, *, retain: bool = False, **said: Any) -> None:
        """Publish at QoS 1; ``said`` are properties."""
        properties = Properties(PacketTypes.PUBLISH)
        for key, value in said.items():
            setattr(properties, key, value)
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        if (left := self._client.socket()) is not None:  # its thread ended before it had written all
            left.close()


def _kept() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    return properties


@contextmanager
def client(port: int, name: str, *filters: str) -> Iterator[Client]:
    one = Client(port, name, *filters)
    try:
        yield one
    finally:
        one.close()


def said(message: paho.MQTTMessage) -> dict[str, Any]:
    return dict(json.loads(message.payload))
