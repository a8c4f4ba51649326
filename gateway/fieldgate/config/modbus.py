"""``sources: modbus``: a bus or a server, and the units behind it that are asked again and again."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import AfterValidator, Field

from fieldgate.config.serial import Rs485Config, SerialSourceConfig, Signal, check_port
from fieldgate_devices.catalogue import Assigned
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["OF_PORTS", "ModbusPlace", "ModbusSourceConfig", "ModbusUnitConfig", "split_modbus_url"]

_URL: Final = re.compile(r"(tcp|rtu\+tcp)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]{0,252})(?::([0-9]{1,5}))?/?")
_DEVICE: Final = re.compile(r"[^\s/+#$\x00-\x1f][^\s/+#\x00-\x1f]{0,127}")
_PORT: Final = 502
OF_PORTS: Final = ("baud", "parity", "stopbits", "dtr", "rts", "rs485")
"""Keys that mean a serial port, as in `SerialSourceConfig`."""


class ModbusPlace(NamedTuple):
    """Where a Modbus server listens; ``is_rtu``: it is a serial bus behind a converter, and frames are those of RTU."""

    host: str
    port: int
    is_rtu: bool


def split_modbus_url(url: str) -> ModbusPlace:
    """Split the URL of a Modbus server.

    Raises:
        ValueError: it is none.
    """
    match = _URL.fullmatch(url)
    if match is None or not 0 < int(match[3] or _PORT) < 65_536:
        raise ValueError(
            f"{url!r} is no Modbus server; write tcp://HOST[:PORT], or rtu+tcp://HOST:PORT for a converter"
        )
    return ModbusPlace(match[2].strip("[]"), int(match[3] or _PORT), match[1] != "tcp")


def _check_url(url: str) -> str:
    split_modbus_url(url)
    return url


def _check_device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a device here; leave out blanks, '/', '+', '#' and a '$' in front")
    return name


class ModbusUnitConfig(Section):
    """One unit of the bus, or behind the server."""

    unit: int = Field(
        ge=0,
        le=255,
        description="Its number: 1 to 247 on a serial bus; a device with a network socket of its own often is 1 or "
        "255.",
        examples=[1],
    )
    profile: str = Field(
        min_length=1, max_length=64, description="Profile with its registers (modbus).", examples=["sdm120"]
    )
    device: Annotated[str, AfterValidator(_check_device)] | None = Field(
        None, description="Name of the device upstream. Default: SOURCE-UNIT, such as meters-1.", examples=["meter-1"]
    )
    every: Annotated[float, Duration("100ms", "7d")] | None = Field(
        None,
        description="How often it is read, for registers with no interval of their own. Default: the profile's.",
        examples=["10s"],
    )
    timeout: Annotated[float, Duration("50ms", "1m")] | None = Field(
        None, description="How long it may take to answer. Default: timeout of the source.", examples=["3s"]
    )


class ModbusSourceConfig(Section):
    """A Modbus bus on a serial port, or a Modbus server, whose units are read again and again."""

    port: Annotated[str, Field(max_length=1024), AfterValidator(check_port)] | None = Field(
        None,
        description="Serial port of the bus (Modbus RTU), as for serial: a path such as /dev/serial/by-id/…, "
        "usb:VID:PID, or a URL of pyserial. One of port and url.",
        examples=["/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"],
    )
    url: Annotated[str, AfterValidator(_check_url)] | None = Field(
        None,
        description="Modbus server: tcp://HOST[:PORT] (port 502), or rtu+tcp://HOST:PORT for a converter that passes "
        "the frames of a serial bus through.",
        examples=["tcp://192.168.1.10:502"],
    )
    baud: int = Field(
        9600, ge=300, le=4_000_000, description="Bits per second of the bus; all its units have the same."
    )
    parity: Literal["none", "even", "odd"] = Field(
        "none", description="Parity bit. The standard says even; most devices leave the factory with none."
    )
    stopbits: Literal[1, 2] = Field(1, description="Stop bits.")
    dtr: Signal = Field("on", description="Line DTR once the port is open, as for serial.")
    rts: Signal = Field("on", description="Line RTS once the port is open; as dtr.")
    rs485: Rs485Config | None = Field(
        None,
        description="For ports whose driver can do RS-485, such as those of many boards; most USB adapters do it by "
        "themselves and need none.",
        examples=[
            {
                "rts_on_send": True,
                "rts_after_send": False,
                "delay_before": "1ms",
                "delay_after": "1ms",
                "loopback": False,
            }
        ],
    )
    units: Annotated[tuple[ModbusUnitConfig, ...], Field(strict=False, min_length=1, max_length=247)] = Field(
        description="Who is asked.", examples=[[{"unit": 1, "profile": "sdm120", "device": "meter-1"}]]
    )
    timeout: Annotated[float, Duration("50ms", "1m")] = Field(
        1.0, description="How long a unit may take to answer; on a serial bus everybody waits for so long."
    )
    retries: int = Field(
        1,
        ge=0,
        le=10,
        description="How often a unit that did not answer is asked again, in its turn, before it counts as silent.",
    )
    silent_retry: Annotated[float, Duration("1s", "1d")] = Field(
        30.0,
        description="A silent unit is asked less and less often; this often at least, unless so many are silent that "
        "it would take more than a tenth of the time.",
    )
    delay: Annotated[float, Duration("0s", "10s")] = Field(
        0.0, description="Pause between an answer and the next request, for slow devices; never less than RTU's own."
    )
    in_flight: int = Field(
        4,
        ge=1,
        le=16,
        description="How many units of a server (tcp://) may be asked at once; 1 for one that mixes up answers. On a "
        "serial bus it is one.",
    )

    @property
    def place(self) -> ModbusPlace | None:
        """The server; None for a serial port."""
        return None if self.url is None else split_modbus_url(self.url)

    @property
    def is_bus(self) -> bool:
        """Whether only one can speak at a time."""
        place = self.place
        return place is None or place.is_rtu

    @property
    def serial(self) -> SerialSourceConfig:
        """The serial port, as `fieldgate.ingest.serial_port` opens it."""
        assert self.port is not None
        written = {key: getattr(self, key) for key in OF_PORTS if key in self.model_fields_set}
        return SerialSourceConfig(port=self.port, **written)

    def device_of(self, unit: ModbusUnitConfig, source: str) -> str:
        """Return the name of a unit's device."""
        return unit.device or f"{source}-{unit.unit}"

    def assigned(self, source: str) -> dict[str, Assigned]:
        """Which profile messages are of, by topic."""
        names = {self.device_of(unit, source): unit.profile for unit in self.units}
        return {f"modbus/{source}/{name}": Assigned(profile, name, source) for name, profile in names.items()}
