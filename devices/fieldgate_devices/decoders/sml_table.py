"""Which OBIS code of an SML meter means what, and in which unit (IEC 62056-61; EN 13757-1 names the same for others).

An OBIS code is six bytes: medium, channel, what is measured, how, tariff, past period. ``1-0:1.8.0*255`` is of
electricity the active energy that was taken from the grid, as it counts up, of all tariffs, now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["UNITS", "Meaning", "meaning_of", "obis_text"]

UNITS: Final = {
    7: "s",
    8: "°",
    9: "°C",
    13: "m³",
    14: "m³",
    15: "m³/h",
    16: "m³/h",
    19: "L",
    25: "J",
    27: "W",
    28: "VA",
    29: "var",
    30: "Wh",
    31: "VAh",
    32: "varh",
    33: "A",
    35: "V",
    44: "Hz",
    56: "%",
}
"""The units of DLMS (IEC 62056-62, table 4) that such meters have."""

_DEGREE, _W, _VA, _VAR, _WH, _VAH, _VARH, _A, _V, _HZ, _NONE = 8, 27, 28, 29, 30, 31, 32, 33, 35, 44, 255
_INSTANT, _ENERGY = 7, 8
_NOW: Final = 255
_MAX_TARIFF: Final = 8


@dataclass(frozen=True, slots=True)
class Meaning:
    """The name under which a record bears the value; ``unit`` is the one that it must have (None: it is no number)."""

    name: str
    unit: int | None


_ENERGIES: Final = {
    1: ("energy_import", _WH),
    2: ("energy_export", _WH),
    3: ("reactive_energy_import", _VARH),
    4: ("reactive_energy_export", _VARH),
    9: ("apparent_energy_import", _VAH),
    10: ("apparent_energy_export", _VAH),
    15: ("energy_absolute", _WH),
    16: ("energy_net", _WH),
}
_QUANTITIES: Final = {
    1: ("power_import", _W),
    2: ("power_export", _W),
    3: ("reactive_power_import", _VAR),
    4: ("reactive_power_export", _VAR),
    9: ("apparent_power", _VA),
    11: ("current", _A),
    12: ("voltage", _V),
    13: ("power_factor", _NONE),
    14: ("frequency", _HZ),
    15: ("power_absolute", _W),
    16: ("power", _W),
}
_PHASES: Final = {21 + 20 * phase: phase + 1 for phase in range(3)}  # where the codes of a phase begin: 21, 41, 61
_ANGLES: Final = {
    1: "angle_voltage_l2",
    2: "angle_voltage_l3",
    4: "angle_current_l1",
    15: "angle_current_l2",
    26: "angle_current_l3",
}
_TEXTS: Final = {
    bytes.fromhex("0100000009ff"): "server_id",
    bytes.fromhex("0100600100ff"): "server_id",
    bytes.fromhex("010000000000"): "serial_number",
    bytes.fromhex("0100000000ff"): "serial_number",
    bytes.fromhex("010060320101"): "manufacturer",
    bytes.fromhex("8181c78203ff"): "manufacturer",
    bytes.fromhex("010000020000"): "firmware",
    bytes.fromhex("8181c78205ff"): "public_key",
}


def meaning_of(obis: bytes) -> Meaning | None:
    """Return what the value of this code is; None where it has no name here."""
    if (text := _TEXTS.get(obis)) is not None:
        return Meaning(text, None)
    if len(obis) != 6 or obis[0] != 1 or obis[5] != _NOW:
        return None
    what, how, tariff = obis[2], obis[3], obis[4]
    if how == _ENERGY and what in _ENERGIES and tariff <= _MAX_TARIFF:
        name, unit = _ENERGIES[what]
        return Meaning(f"{name}_tariff_{tariff}" if tariff else name, unit)
    if how != _INSTANT:
        return None
    if what == 81:
        return Meaning(_ANGLES[tariff], _DEGREE) if tariff in _ANGLES else None
    return _momentary(what) if tariff == 0 else None


def _momentary(what: int) -> Meaning | None:
    if what in _QUANTITIES:
        return Meaning(*_QUANTITIES[what])
    for first, phase in _PHASES.items():
        if first <= what < first + 20 and (found := _QUANTITIES.get(what - first + 1)) is not None:
            return Meaning(f"{found[0]}_l{phase}", found[1])
    return None


def obis_text(obis: bytes) -> str:
    """Write a code as people do: ``1-0:1.8.0*255``; what has not six bytes in hexadecimal."""
    if len(obis) != 6:
        return obis.hex()
    return f"{obis[0]}-{obis[1]}:{obis[2]}.{obis[3]}.{obis[4]}*{obis[5]}"
