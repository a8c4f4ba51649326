"""What is said of a device's fields, where the profile does not name them one by one."""

from __future__ import annotations

import json
from pathlib import Path

from command_kit import fieldgate
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


async def test_a_device_that_never_kept_its_contract_is_said_to_be_that(tmp_path: Path) -> None:
    """The first thing that an integrator sees of a profile that does not fit; no word of it is Python's."""
    gateway = Gateway(tmp_path, uplinks={})
    (tmp_path / "devices.d").mkdir()
    profile = "profile: pump\nmatch: {mqtt: 'plant/{device}'}\nfields: {bar: {type: float}}\n"
    (tmp_path / "devices.d" / "pump.yaml").write_text(profile, encoding="utf-8")
    async with running(gateway):
        await publish_once(gateway.port, "plant/p7", b"{}")
        await publish_once(gateway.port, "plant/p8", b'{"bar": 2}')
        await publish_once(gateway.port, "lab/x", b'{"bar": 2}')
        p7 = await fieldgate("devices", "status", "p7", config=gateway.config)
        unnamed = await fieldgate("devices", "status", "--profile", "none", config=gateway.config)
        status = await fieldgate("status", config=gateway.config)

    assert "profile:  pump\n" in p7.out
    assert "seen:     never: each message of it is a dead letter" in p7.out
    assert [line.split()[0] for line in unnamed.out.splitlines()[1:-1]] == ["lab.x"]
    assert "profiles 1 of yours" in status.out
