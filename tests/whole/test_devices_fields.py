"""What is said of a device's fields, where the profile does not name them one by one."""

from __future__ import annotations

import json
from pathlib import Path

from fieldgate.control import socket_path, stream
from gateway_kit import Gateway, publish_once, running


async def test_a_field_that_comes_once_per_sensor_has_its_unit(tmp_path: Path) -> None:
    """Home Assistant makes no thermometer of a number without one."""
    gateway = Gateway(tmp_path, uplinks={"here": {"mqtt": "self", "home_assistant": {}}})
    said = {"BME280": {"Temperature": 21.5}, "Foo": {"Bar": 3}}
    async with running(gateway):
        await publish_once(gateway.port, "tele/kitchen/SENSOR", json.dumps(said).encode())
        request = {"do": "devices.status", "names": ["kitchen"], "has_fields": True}
        (kitchen,) = [one async for one in stream(socket_path(gateway.state), request)]

    units = {one["name"]: one["unit"] for one in kitchen["fields"]}
    assert units == {"temperature": "°C", "bme280_temperature": "°C", "foo_bar": ""}
