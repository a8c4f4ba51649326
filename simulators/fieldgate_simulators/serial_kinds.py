"""What simulated serial devices say: a scale, a GNSS receiver, a P1 meter, an SML meter, a sensor in COBS.

Every reading has a number that rises by one and stands in the reading itself, so that a verifier can count what arrives
without the gateway's help: `SerialKind.number_of` finds it in an event. The framing is the gateway's own code, the
payload is made here. Pure.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from random import Random
from typing import Any, Final

from fieldgate_simulators.signals import RandomWalk
from fieldgate_simulators.telegrams import P1_METER, p1_telegram, sml_file

__all__ = ["KINDS", "SerialKind", "SerialSpeaker"]

_BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
_SOUTH_END: Final = 48  # degrees
_STEPS_OF_A_MINUTE: Final = 100_000


class SerialSpeaker(ABC):
    """One device: makes its readings, one after the other, and answers commands.

    ``device`` is what a profile names it by, where it says that itself.
    """

    device = ""

    @abstractmethod
    def reading(self, number: int) -> bytes:
        """The payload of reading ``number`` (1 is the first)."""

    def answer(self, command: bytes) -> bytes | None:
        """What it answers to the payload of a command; None: it does not listen to that."""
        return None


@dataclass(frozen=True, slots=True)
class SerialKind:
    """A kind of device.

    ``framing`` is what stands in the configuration, ``profile`` the profile of its messages, which is
    ``profile_text`` where it is not built in. ``number_of`` finds a reading's number in the data of its event.
    """

    name: str
    says: str
    framing: str | Mapping[str, Mapping[str, Any]]
    profile: str
    baud: int
    make: Callable[[Random], SerialSpeaker]
    number_of: Callable[[Mapping[str, Any]], int | None]
    profile_text: str = ""


class _Scale(SerialSpeaker):
    """``ST,GS,+12.345kg,000017``: state, gross or net, weight, number. Takes TARE, ZERO and READ."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._weight = RandomWalk(rng.uniform(5, 40), step=0.4, low=0, high=60, digits=3)
        self._shown = 0.0
        self._tare = 0.0

    def reading(self, number: int) -> bytes:
        self._shown = float(self._weight.next(self._rng))
        return self._line(f"{number:06d}")

    def answer(self, command: bytes) -> bytes | None:
        match command.strip().upper():
            case b"TARE":
                self._tare = self._shown
                return b"OK,TARE"
            case b"ZERO":
                self._tare = 0.0
                return b"OK,ZERO"
            case b"READ":
                return self._line("")
        return b"ERR,UNKNOWN" if command.strip() else None

    def _line(self, number: str) -> bytes:
        return f"ST,{'NT' if self._tare else 'GS'},{self._shown - self._tare:+.3f}kg,{number}".encode()


class _Gnss(SerialSpeaker):
    """RMC sentences, one second apart whatever the rate, of somebody who walks north: 2 cm with each."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._longitude = RandomWalk(rng.uniform(7, 14), step=0.0005, low=7, high=14, digits=6)

    def reading(self, number: int) -> bytes:
        at = _BEGIN + timedelta(seconds=number)
        longitude = float(self._longitude.next(self._rng))
        north, steps = divmod(number, 60 * _STEPS_OF_A_MINUTE)
        fields = (
            f"GNRMC,{at:%H%M%S}.00,A,{_SOUTH_END + north:02d}{steps / _STEPS_OF_A_MINUTE:08.5f},N,"
            f"{int(longitude):03d}{longitude % 1 * 60:07.4f},E,{self._rng.uniform(1, 3):.1f},0.0,{at:%d%m%y},,,A"
        )
        return f"${fields}*{reduce(xor, fields.encode()):02X}".encode()


class _P1(SerialSpeaker):
    """Telegrams of DSMR 5; each adds a watt-hour, so that its number is what the meter counts."""

    device = P1_METER

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._voltage = RandomWalk(230, step=0.4, low=220, high=242, digits=1)
        self._power = RandomWalk(0.6, step=0.1, low=0, high=9, digits=3)

    def reading(self, number: int) -> bytes:
        return p1_telegram(
            at=_BEGIN + timedelta(seconds=number),
            energy_kwh=number / 1000,
            power_kw=float(self._power.next(self._rng)),
            volts=float(self._voltage.next(self._rng)),
        )


class _Sml(SerialSpeaker):
    """SML files of a meter with three phases; each adds a tenth of a watt-hour."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._serial = rng.randrange(10_000_000, 100_000_000)
        self.device = f"1FGS00{self._serial:08d}"
        self._phases = [RandomWalk(rng.uniform(50, 400), step=30, low=-2000, high=3000, digits=0) for _ in range(3)]
        self._voltage = RandomWalk(230, step=0.4, low=220, high=242, digits=1)

    def reading(self, number: int) -> bytes:
        return sml_file(
            serial=self._serial,
            number=number,
            energy_tenths_wh=number,
            watts=[round(phase.next(self._rng)) for phase in self._phases],
            tenths_volts=round(float(self._voltage.next(self._rng)) * 10),
        )


class _Cobs(SerialSpeaker):
    """Sixteen bytes: number, temperature, humidity, pressure, battery."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._temperature = RandomWalk(21, step=0.2, low=-10, high=45)
        self._humidity = RandomWalk(45, step=0.5, low=0, high=100)

    def reading(self, number: int) -> bytes:
        celsius, percent = (float(one.next(self._rng)) for one in (self._temperature, self._humidity))
        return struct.pack("<IhHIH2x", number, round(celsius * 100), round(percent * 100), 101_325, 3_000)


def _whole(name: str, *, times: float = 1) -> Callable[[Mapping[str, Any]], int | None]:
    """Find the number in the field ``name``."""

    def number_of(data: Mapping[str, Any]) -> int | None:
        value = data.get(name)
        return round(value * times) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return number_of


_SCALE_PROFILE: Final = """\
profile: sim_scale
description: The simulated scale.
decode: {regex: {pattern: '(?P<state>ST|US),(?P<net>GS|NT),(?P<weight>[+-][0-9.]+)kg,(?P<n>[0-9]*)'}}
lenient: true
fields:
  weight: {type: float, unit: kg}
  state: {type: enum, values: [ST, US], description: ST is still}
  n: {type: int, optional: true, no_reading: [""], description: number of the reading}
examples:
  - {in: "ST,GS,+12.345kg,000017", out: {weight: 12.345, state: ST, n: 17}}
"""
_COBS_PROFILE: Final = """\
profile: sim_cobs
description: The simulated sensor that speaks COBS.
decode:
  binary:
    byte_order: little
    layout:
      - {name: n, type: u32}
      - {name: temperature, type: i16}
      - {name: humidity, type: u16}
      - {name: pressure, type: u32}
      - {name: battery, type: u16}
      - {skip: u16}
fields:
  n: {type: int, description: number of the reading}
  temperature: {type: float, unit: °C, scale: 0.01}
  humidity: {type: float, unit: "%", scale: 0.01}
  pressure: {type: float, unit: Pa}
  battery: {type: float, unit: V, scale: 0.001}
examples:
  - in_hex: 11000000 3408 9411 cd8b0100 b80b 0000
    out: {n: 17, temperature: 21.0, humidity: 45.0, pressure: 101325.0, battery: 3.0}
"""


def _steps_north(data: Mapping[str, Any]) -> int | None:
    latitude = data.get("latitude")
    return round((latitude - _SOUTH_END) * 60 * _STEPS_OF_A_MINUTE) if isinstance(latitude, float) else None


KINDS: Final[Mapping[str, SerialKind]] = {
    kind.name: kind
    for kind in (
        SerialKind(
            "scale", "a scale: lines", "lines", "sim_scale", 9_600, _Scale, _whole("n"), profile_text=_SCALE_PROFILE
        ),
        SerialKind("gnss", "a GNSS receiver: NMEA 0183", "nmea", "nmea_gnss", 9_600, _Gnss, _steps_north),
        SerialKind(
            "p1", "a smart meter: P1 telegrams of DSMR 5", "dsmr", "dsmr_p1", 115_200, _P1,
            _whole("energy_import_tariff_1", times=1000),
        ),
        SerialKind(
            "sml", "a smart meter: SML", "sml", "sml_meter", 9_600, _Sml, _whole("energy_import", times=10_000)
        ),
        SerialKind(
            "cobs",
            "a sensor: COBS with a CRC",
            {"cobs": {"check": {"crc": "CRC-16/MODBUS", "order": "little"}}},
            "sim_cobs",
            115_200,
            _Cobs,
            _whole("n"),
            profile_text=_COBS_PROFILE,
        ),
    )
}  # fmt: skip
