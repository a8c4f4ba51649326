"""The telegrams of smart meters, made by hand: DSMR 5 at the P1 port, and SML. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from fieldgate_devices.decoders.dsmr import crc16
from fieldgate_devices.decoders.sml_file import crc16_x25

__all__ = ["P1_METER", "p1_telegram", "sml_file"]

P1_METER: Final = b"SIM0000000000001".hex().upper()
"""The number of the meter, as telegrams write it."""

_WH, _W, _V = 30, 27, 35
_WATTS_OF_PHASES: Final = (36, 56, 76)
_VOLTS_OF_PHASES: Final = (32, 52, 72)


def p1_telegram(*, at: datetime, energy_kwh: float, power_kw: float, volts: float) -> bytes:
    """Return a telegram of DSMR 5.0.2 with its checksum; ``at`` is UTC, in winter."""
    lines = [
        "/FGS5\\2SIM382-1000",
        "",
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({at + timedelta(hours=1):%y%m%d%H%M%S}W)",
        f"0-0:96.1.1({P1_METER})",
        f"1-0:1.8.1({energy_kwh:010.3f}*kWh)",
        "1-0:1.8.2(000000.000*kWh)",
        "1-0:2.8.1(000000.000*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0001)",
        f"1-0:1.7.0({power_kw:06.3f}*kW)",
        "1-0:2.7.0(00.000*kW)",
        f"1-0:32.7.0({volts:05.1f}*V)",
        "!",
    ]
    covered = "\r\n".join(lines).encode("ascii")
    return covered + b"%04X\r\n" % crc16(covered)


def sml_file(*, serial: int, number: int, energy_tenths_wh: int, watts: Sequence[int], tenths_volts: int) -> bytes:
    """Return a file of three messages, as meters send it: open, the list of values, close."""
    server = _text(b"\x0a\x01FGS\x00" + serial.to_bytes(4))
    meter = b"\x01\x00\x60\x32\x01\x01", b"\x01\x00\x60\x01\x00\xff"
    values = [
        _entry(meter[0], b"\x01", b"\x01", _text(b"FGS")),
        _entry(meter[1], b"\x01", b"\x01", server),
        _entry(_obis(1, 8), _unsigned(_WH, 1), _signed(-1, 1), _unsigned(energy_tenths_wh, 8)),
        _entry(_obis(16, 7), _unsigned(_W, 1), _signed(0, 1), _signed(sum(watts), 4)),
        *(
            _entry(_obis(code, 7), _unsigned(_W, 1), _signed(0, 1), _signed(one, 4))
            for code, one in zip(_WATTS_OF_PHASES, watts, strict=True)
        ),
        *(
            _entry(_obis(code, 7), _unsigned(_V, 1), _signed(-1, 1), _unsigned(tenths_volts, 2))
            for code in _VOLTS_OF_PHASES
        ),
    ]
    clock = _list(_unsigned(1, 1), _unsigned(number, 4))
    opened = _list(b"\x01", b"\x01", _text(number.to_bytes(4)), server, b"\x01", b"\x01")
    listed = _list(b"\x01", server, b"\x01", clock, _list(*values), b"\x01", b"\x01")
    return b"".join(
        _message(3 * number + place, kind, body)
        for place, (kind, body) in enumerate(((0x0101, opened), (0x0701, listed), (0x0201, _list(b"\x01"))))
    )


def _message(transaction: int, kind: int, body: bytes) -> bytes:
    covered = b"\x76" + _text(transaction.to_bytes(4)) + b"\x62\x00\x62\x00" + _list(_unsigned(kind, 2), body)
    return covered + b"\x63" + crc16_x25(covered).to_bytes(2, "little") + b"\x00"


def _entry(obis: bytes, unit: bytes, scaler: bytes, value: bytes) -> bytes:
    return _list(_text(obis), b"\x01", b"\x01", unit, scaler, value, b"\x01")


def _obis(what: int, how: int) -> bytes:
    return bytes((1, 0, what, how, 0, 255))


def _list(*elements: bytes) -> bytes:
    return bytes([0x70 + len(elements)]) + b"".join(elements)  # fewer than 16


def _text(content: bytes) -> bytes:
    return bytes([len(content) + 1]) + content  # fewer than 15


def _unsigned(number: int, size: int) -> bytes:
    return bytes([0x61 + size]) + number.to_bytes(size)


def _signed(number: int, size: int) -> bytes:
    return bytes([0x51 + size]) + number.to_bytes(size, signed=True)
