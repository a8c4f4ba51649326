"""An order as the reader of an uplink's commands makes it, for tests."""

from __future__ import annotations

from typing import Any

from fieldgate.decide.orders import Order
from fieldgate.forward.command_reader import CommandReader
from fieldgate.forward.command_requests import Receipt
from fieldgate.forward.command_topics import CommandTopics, DeviceNames
from fieldgate.mqtt.packets import Properties, Publish
from order_desk_kit import WALL_NS

TEMPLATE = "fieldgate/{gateway}/{device}/command/{name}"
TOPIC = "fieldgate/gw/v1/command/set"
NS = 1_000_000_000


def order_of(
    payload: bytes = b"{}", *, receipt: Receipt | None = None, is_doubtful: bool = False, **properties: Any
) -> Order:
    topics = CommandTopics(TEMPLATE, gateway="gw")
    reader = CommandReader(topics, DeviceNames(list, lambda: 0), origin="uplink:cloud", new_id=lambda: "own")
    packet = Publish(TOPIC, payload, qos=1, packet_id=1, properties=Properties(**properties) if properties else None)
    request = reader.request(packet)
    assert request is not None
    receipt = receipt or Receipt(1000 * NS, WALL_NS, True, 0.0)
    return reader.order(packet, request, receipt, is_doubtful=is_doubtful)
