"""A Modbus source, made with the way to its units. Whoever imports this loads pymodbus."""

from __future__ import annotations

import random

from fieldgate.config.source import SourceConfig
from fieldgate.ingest.modbus_dialogue import Channel
from fieldgate.ingest.modbus_source import ModbusSource
from fieldgate.ingest.source import Intake
from fieldgate_devices.catalogue import Catalogue

__all__ = ["make_modbus_source"]


def make_modbus_source(source: SourceConfig, intake: Intake, *, catalogue: Catalogue) -> ModbusSource:
    """Make the source; the driver of serial ports is loaded where there is one."""
    config = source.modbus
    assert config is not None

    def make_channel() -> Channel:
        if config.place is not None:
            from fieldgate.ingest.modbus_tcp import TcpChannel

            return TcpChannel(config.place, delay_s=config.delay)
        from fieldgate.ingest.modbus_serial import SerialChannel

        return SerialChannel(source.name, config.serial, delay_s=config.delay, rng=random.Random())

    return ModbusSource(source, intake, catalogue=catalogue, make_channel=make_channel, rng=random.Random())
