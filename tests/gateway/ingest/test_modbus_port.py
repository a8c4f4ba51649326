"""What a Modbus bus says of its port reaches the port."""

from __future__ import annotations

from fieldgate.config.modbus import OF_PORTS, ModbusSourceConfig
from fieldgate.config.serial import SerialSourceConfig


def bus(**written: object) -> ModbusSourceConfig:
    return ModbusSourceConfig.model_validate(
        {"port": "/dev/ttyS0", "units": [{"unit": 1, "profile": "sdm120"}]} | written
    )


def test_what_is_said_of_the_port_of_a_bus_is_what_a_serial_source_would_say() -> None:
    """RS-485 switched by the driver, and the lines that reset a board or power an adapter."""
    written = {"baud": 2400, "parity": "even", "stopbits": 2, "dtr": "leave", "rts": False}
    written |= {"rs485": {"rts_on_send": False, "delay_after": "1ms"}}

    assert bus(**written).serial == SerialSourceConfig.model_validate({"port": "/dev/ttyS0"} | written)
    assert set(written) == set(OF_PORTS)


def test_what_is_not_said_is_what_a_serial_source_does_not_say() -> None:
    """So that the defaults of the two cannot drift apart."""
    silent = bus()

    assert silent.serial == SerialSourceConfig(port="/dev/ttyS0")
    assert {key: getattr(silent, key) for key in OF_PORTS} == {key: getattr(silent.serial, key) for key in OF_PORTS}
