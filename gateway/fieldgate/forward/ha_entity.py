"""A field of a device as an entity of Home Assistant: its component, classes and unit.

The names of classes, and which units and state classes each may have, are those of Home Assistant's sensor and binary
sensor integrations; what has no class there is shown without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["COMPONENTS", "Entity", "KnownField", "entity_of", "readable"]

COMPONENTS: Final = ("sensor", "binary_sensor")

_CLASS_OF_UNIT: Final[dict[str, str]] = {
    **dict.fromkeys(("°C", "°F", "K"), "temperature"),
    **dict.fromkeys(("Pa", "hPa", "kPa", "mbar", "bar", "psi", "inHg", "mmHg"), "pressure"),
    **dict.fromkeys(("V", "mV", "kV"), "voltage"),
    **dict.fromkeys(("A", "mA"), "current"),
    **dict.fromkeys(("W", "kW", "MW"), "power"),
    **dict.fromkeys(("Wh", "kWh", "MWh", "MJ", "GJ"), "energy"),
    **dict.fromkeys(("Hz", "kHz", "MHz", "GHz"), "frequency"),
    **dict.fromkeys(("m³/h", "m³/s", "L/min", "L/h", "L/s", "mL/s"), "volume_flow_rate"),
    **dict.fromkeys(("mm/h", "in/h", "mm/d"), "precipitation_intensity"),
    **dict.fromkeys(("ms", "s", "min", "h", "d"), "duration"),
    **dict.fromkeys(("µg", "mg", "g", "kg", "oz", "lb"), "weight"),
    **dict.fromkeys(("cm", "m", "km", "in", "ft", "mi"), "distance"),
    **dict.fromkeys(("B", "kB", "MB", "GB", "KiB", "MiB", "GiB"), "data_size"),
    **dict.fromkeys(("bit/s", "kbit/s", "Mbit/s", "B/s", "kB/s", "MB/s"), "data_rate"),
    **dict.fromkeys(("µS/cm", "mS/cm", "S/cm"), "conductivity"),
    "VA": "apparent_power",
    "var": "reactive_power",
    "lx": "illuminance",
    "W/m²": "irradiance",
    "dBm": "signal_strength",
    "dBA": "sound_pressure",
}
"""Units that mean one thing."""

_CLASS_BY_NAME: Final[tuple[tuple[frozenset[str], str, str], ...]] = (
    (frozenset({"%"}), "battery|batt|soc", "battery"),
    (frozenset({"%"}), "moisture|soil", "moisture"),
    (frozenset({"%"}), "humidity|humi|rh", "humidity"),
    (frozenset({"%", ""}), "power_factor|cos_phi", "power_factor"),
    (frozenset({"ppm"}), "co2", "carbon_dioxide"),
    (frozenset({"ppm"}), "co", "carbon_monoxide"),
    (frozenset({"ppm", "ppb"}), "t?voc", "volatile_organic_compounds_parts"),
    (frozenset({"µg/m³"}), "pm_?2_?5", "pm25"),
    (frozenset({"µg/m³"}), "pm_?10", "pm10"),
    (frozenset({"µg/m³"}), "pm_?1(?:_0)?", "pm1"),
    (frozenset({"µg/m³"}), "t?voc", "volatile_organic_compounds"),
    (frozenset({"µg/m³"}), "no2", "nitrogen_dioxide"),
    (frozenset({"µg/m³"}), "so2", "sulphur_dioxide"),
    (frozenset({"µg/m³"}), "o3|ozone", "ozone"),
    (frozenset({"m/s", "km/h", "mph", "kn"}), "wind|gust", "wind_speed"),
    (frozenset({"m/s", "km/h", "mph", "kn"}), "", "speed"),
    (frozenset({"°"}), "wind|bearing|direction", "wind_direction"),
    (frozenset({"mm", "in"}), "rain|precipitation|snow", "precipitation"),
    (frozenset({"mm"}), "", "distance"),
    (frozenset({"dB"}), "rssi|snr|signal", "signal_strength"),
    (frozenset({"dB"}), "noise|sound", "sound_pressure"),
    (frozenset({"m³", "ft³"}), "gas", "gas"),
    (frozenset({"m³", "L", "ft³", "gal"}), "water", "water"),
    (frozenset({"m³", "L", "mL", "ft³", "gal"}), "total|meter|counter|consumption|usage", "volume"),
    (frozenset({"m³", "L", "mL", "ft³", "gal"}), "", "volume_storage"),
    (frozenset({"", "pH"}), "ph", "ph"),
    (frozenset({""}), "aqi|iaq", "aqi"),
)
"""Units whose meaning the field's name tells; the first line counts, and an empty pattern is any name."""

_SAME_UNIT: Final = {
    "C": "°C", "degC": "°C", "celsius": "°C", "℃": "°C", "F": "°F", "degF": "°F", "m3": "m³", "m^3": "m³", "l": "L",
    "ml": "mL", "m3/h": "m³/h", "l/min": "L/min", "l/h": "L/h", "lux": "lx", "ug/m3": "µg/m³",
    "μg/m³": "µg/m³", "ug/m³": "µg/m³", "W/m2": "W/m²", "uS/cm": "µS/cm", "μS/cm": "µS/cm", "sec": "s", "hours": "h",
    "deg": "°", "percent": "%", "knots": "kn", "kt": "kn", "kmh": "km/h", "kph": "km/h", "inches": "in",
}  # fmt: skip
"""Other spellings of units that Home Assistant knows."""
_NO_UNIT: Final = frozenset({"ph", "aqi"})
_STATE_CLASS: Final = {
    "energy": "total_increasing", "gas": "total_increasing", "water": "total_increasing", "volume": "total_increasing",
    "wind_direction": "",
}  # fmt: skip
_DIAGNOSTIC: Final = frozenset({"battery", "signal_strength"})
_BINARY: Final = (
    ("motion|pir|occupancy", "motion"),
    ("presence", "presence"),
    ("door", "door"),
    ("window", "window"),
    ("contact|opening", "opening"),
    ("leak|water_leak|flood", "moisture"),
    ("smoke", "smoke"),
    ("vibration", "vibration"),
    ("tamper", "tamper"),
    ("battery_low|low_battery", "battery"),
)


@dataclass(frozen=True, slots=True)
class KnownField:
    """A field that was heard. ``topic`` is where the device says it, ``lane`` in which lane its events go."""

    name: str
    kind: Literal["number", "bool", "text"]
    topic: str
    lane: int
    unit: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entity:
    """What Home Assistant is told of a field; a text is empty where there is nothing to say."""

    component: Literal["sensor", "binary_sensor"]
    device_class: str = ""
    state_class: str = ""
    unit: str = ""
    options: tuple[str, ...] = ()
    category: str = ""


def readable(name: str) -> str:
    """Return a field's name for people: ``outdoor_temperature`` is ``Outdoor temperature``."""
    return name.replace("_", " ").strip().capitalize()


def entity_of(field: KnownField) -> Entity:
    """Return what a field is to Home Assistant."""
    if field.kind == "bool":
        return Entity("binary_sensor", next((found for names, found in _BINARY if _says(field.name, names)), ""))
    if field.kind == "text":
        return Entity("sensor", "enum" if field.options else "", options=field.options)
    unit = _SAME_UNIT.get(field.unit, field.unit)
    device_class = _CLASS_OF_UNIT.get(unit) or next(
        (found for units, names, found in _CLASS_BY_NAME if unit in units and _says(field.name, names)), ""
    )
    state_class = _STATE_CLASS.get(device_class, "measurement")
    if device_class == "precipitation" and _says(field.name, "total"):
        state_class = "total_increasing"
    return Entity(
        "sensor",
        device_class,
        state_class,
        "" if device_class in _NO_UNIT else unit,
        category="diagnostic" if device_class in _DIAGNOSTIC else "",
    )


def _says(name: str, words: str) -> bool:
    """Whether one of ``words`` (a pattern) stands in ``name`` as a word, numbers behind it allowed."""
    return not words or re.search(rf"(?:^|_)(?:{words})\d*(?:_|$)", name) is not None
