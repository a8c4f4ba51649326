"""Units that can be converted into each other: what a device writes in one may be a field in another.

A device that writes °F, inHg or mph gives °C, hPa and m/s by ``raw_unit``; no profile needs to know the factor.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

__all__ = ["Conversion", "conversion", "known_unit", "unit_problem", "units_like"]

Conversion = Callable[[float], float]

_DECIMALS: Final = 6  # of a converted number: 39.74 °F is 4.3 °C, not 4.300000000000001

_UNITS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "temperature": {"°C": (1.0, 0.0), "°F": (5 / 9, -160 / 9), "K": (1.0, -273.15)},
    "pressure": {
        "Pa": (1.0, 0.0),
        "hPa": (100.0, 0.0),
        "mbar": (100.0, 0.0),
        "kPa": (1_000.0, 0.0),
        "bar": (100_000.0, 0.0),
        "inHg": (3_386.389, 0.0),
        "mmHg": (133.322387415, 0.0),
        "psi": (6_894.757293168, 0.0),
    },
    "speed": {
        "m/s": (1.0, 0.0),
        "km/h": (1 / 3.6, 0.0),
        "mph": (0.44704, 0.0),
        "kn": (1_852 / 3_600, 0.0),
        "ft/s": (0.3048, 0.0),
    },
    "length": {
        "m": (1.0, 0.0),
        "mm": (0.001, 0.0),
        "cm": (0.01, 0.0),
        "km": (1_000.0, 0.0),
        "in": (0.0254, 0.0),
        "ft": (0.3048, 0.0),
        "mi": (1_609.344, 0.0),
    },
    "rain rate": {"mm/h": (1.0, 0.0), "in/h": (25.4, 0.0)},
    "energy": {
        "Wh": (1.0, 0.0),
        "kWh": (1_000.0, 0.0),
        "MWh": (1_000_000.0, 0.0),
        "W·min": (1 / 60, 0.0),
        "J": (1 / 3_600, 0.0),
        "kJ": (1 / 3.6, 0.0),
        "GJ": (1_000_000 / 3.6, 0.0),
    },
    "power": {"W": (1.0, 0.0), "mW": (0.001, 0.0), "kW": (1_000.0, 0.0), "MW": (1_000_000.0, 0.0)},
    "voltage": {"V": (1.0, 0.0), "mV": (0.001, 0.0), "kV": (1_000.0, 0.0)},
    "current": {"A": (1.0, 0.0), "mA": (0.001, 0.0)},
    "volume": {"L": (1.0, 0.0), "mL": (0.001, 0.0), "m³": (1_000.0, 0.0), "gal": (3.785411784, 0.0)},
    "mass": {
        "kg": (1.0, 0.0),
        "lb": (0.45359237, 0.0),
        "oz": (0.028349523125, 0.0),
        "st": (6.35029318, 0.0),
        "jin": (0.5, 0.0),
    },
    "time": {"s": (1.0, 0.0), "ms": (0.001, 0.0), "min": (60.0, 0.0), "h": (3_600.0, 0.0), "d": (86_400.0, 0.0)},
    "illuminance": {"lx": (1.0, 0.0), "klx": (1_000.0, 0.0)},
    "acceleration": {"m/s²": (1.0, 0.0), "g": (9.80665, 0.0), "mg": (0.00980665, 0.0)},
    "frequency": {"Hz": (1.0, 0.0), "kHz": (1_000.0, 0.0), "MHz": (1_000_000.0, 0.0)},
}
"""By quantity: what one of the unit is in the first of its kind, as factor and what is added after it."""

_OTHER_NAMES: Final = {
    "C": "°C", "F": "°F", "celsius": "°C", "fahrenheit": "°F", "kelvin": "K", "ºC": "°C", "ºF": "°F",
    "kmh": "km/h", "kph": "km/h", "knots": "kn", "m3": "m³", "l": "L", "lux": "lx", "lbs": "lb",
}  # fmt: skip
"""Names that devices give units in their messages."""

_QUANTITY: Final = {unit: quantity for quantity, units in _UNITS.items() for unit in units}


def known_unit(name: str) -> str | None:
    """Return the unit of that name, or None where it is not known: ``F`` is ``°F``."""
    unit = _OTHER_NAMES.get(name, name)
    return unit if unit in _QUANTITY else None


def units_like(unit: str) -> list[str]:
    """Return all units that measure what ``unit`` does, itself too; none where it is not known."""
    name = known_unit(unit)
    return [] if name is None else list(_UNITS[_QUANTITY[name]])


def unit_problem(raw: str, unit: str) -> str:
    """Say why what a device writes in ``raw`` cannot be had in ``unit``; empty if it can."""
    for one in (raw, unit):
        if known_unit(one) is None:
            guess = difflib.get_close_matches(one, _QUANTITY, n=1, cutoff=0.5)
            hint = f"did you mean {guess[0]!r}?" if guess else f"known: {', '.join(_QUANTITY)}"
            return f"{one!r} is not a unit that can be converted; {hint}"
    quantities = [_QUANTITY[known_unit(one) or ""] for one in (raw, unit)]
    if quantities[0] != quantities[1]:
        return f"{raw} cannot become {unit}: one is a {quantities[0]}, the other a {quantities[1]}"
    return ""


def conversion(raw: str, unit: str) -> Conversion:
    """Return the function that makes a number in ``raw`` one in ``unit``.

    Raises:
        ValueError: they do not measure the same, or one is not known.
    """
    if problem := unit_problem(raw, unit):
        raise ValueError(problem)
    source, target = known_unit(raw) or "", known_unit(unit) or ""
    factor, offset = _UNITS[_QUANTITY[source]][source]
    divisor, less = _UNITS[_QUANTITY[target]][target]
    return lambda number: round((number * factor + offset - less) / divisor, _DECIMALS)
