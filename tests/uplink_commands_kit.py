"""Commands from upstream for tests: what a server sends, and what an uplink says to it."""

from __future__ import annotations

import json

from fieldgate.mqtt.packets import (
    PubAck,
    Publish,
)
from source_kit import GoodBroker
from uplink_kit import Peer

TOPIC = "fieldgate/gw/valve-1/command/set"


def command(packet_id: int = 1, payload: bytes = b'{"position": 40}', *, topic: str = TOPIC, **rest: object) -> Publish:
    return Publish(topic, payload, qos=1 if packet_id else 0, packet_id=packet_id, **rest)  # type: ignore[arg-type]


def acks(peer: Peer) -> list[int]:
    return [packet.packet_id for packet in peer.packets if isinstance(packet, PubAck)]


def answers(broker: GoodBroker) -> list[tuple[str, dict[str, object]]]:
    return [(one.topic, json.loads(one.payload)) for one in broker.arrived]
