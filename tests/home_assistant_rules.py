"""What Home Assistant demands of a discovery message, from its documentation (MQTT discovery, sensor, binary sensor).

Written down here by itself, so that it is a second opinion on `fieldgate.forward.ha_entity`.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import jinja2

TOPIC = re.compile(r"(?P<component>\w+)/(?:(?P<node_id>[a-zA-Z0-9_-]+)/)?(?P<object_id>[a-zA-Z0-9_-]+)/config")
COMMON = {
    "name", "unique_id", "state_topic", "value_template", "qos", "device", "origin", "availability", "device_class",
    "expire_after", "entity_category",
}  # fmt: skip
KEYS = {
    "sensor": COMMON | {"state_class", "unit_of_measurement", "options"},
    "binary_sensor": COMMON | {"payload_on", "payload_off"},
}
UNITS: dict[str, set[str | None]] = {
    "apparent_power": {"VA", "mVA", "kVA"},
    "aqi": {None},
    "battery": {"%"},
    "carbon_dioxide": {"ppm"},
    "carbon_monoxide": {"ppm"},
    "conductivity": {"S/cm", "mS/cm", "µS/cm"},
    "current": {"A", "mA"},
    "data_rate": {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "kB/s", "MB/s", "GB/s", "KiB/s", "MiB/s", "GiB/s"},
    "data_size": {"bit", "kbit", "Mbit", "Gbit", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"},
    "distance": {"km", "m", "cm", "mm", "mi", "nmi", "yd", "in", "ft"},
    "duration": {"d", "h", "min", "s", "ms"},
    "energy": {"J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal", "Gcal"},
    "enum": {None},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "gas": {"m³", "ft³", "CCF"},
    "humidity": {"%"},
    "illuminance": {"lx"},
    "irradiance": {"W/m²", "BTU/(h⋅ft²)"},
    "moisture": {"%"},
    "nitrogen_dioxide": {"µg/m³"},
    "ozone": {"µg/m³"},
    "ph": {None},
    "pm1": {"µg/m³"},
    "pm10": {"µg/m³"},
    "pm25": {"µg/m³"},
    "power": {"mW", "W", "kW", "MW", "GW", "TW"},
    "power_factor": {"%", None},
    "precipitation": {"cm", "in", "mm"},
    "precipitation_intensity": {"in/d", "in/h", "mm/d", "mm/h"},
    "pressure": {"Pa", "kPa", "hPa", "bar", "cbar", "mbar", "mmHg", "inHg", "psi"},
    "reactive_power": {"var", "kvar"},
    "signal_strength": {"dB", "dBm"},
    "sound_pressure": {"dB", "dBA"},
    "speed": {"ft/s", "in/d", "in/h", "in/s", "km/h", "kn", "m/s", "mph", "mm/d", "mm/s"},
    "sulphur_dioxide": {"µg/m³"},
    "temperature": {"°C", "°F", "K"},
    "volatile_organic_compounds": {"µg/m³", "mg/m³"},
    "volatile_organic_compounds_parts": {"ppm", "ppb"},
    "voltage": {"V", "mV", "µV", "kV", "MV"},
    "volume": {"L", "mL", "gal", "fl. oz.", "m³", "ft³", "CCF"},
    "volume_flow_rate": {"m³/h", "m³/min", "m³/s", "ft³/min", "L/h", "L/min", "L/s", "gal/min", "mL/s"},
    "volume_storage": {"L", "mL", "gal", "fl. oz.", "m³", "ft³", "CCF"},
    "water": {"L", "gal", "m³", "ft³", "CCF"},
    "weight": {"kg", "g", "mg", "µg", "oz", "lb", "st"},
    "wind_direction": {"°"},
    "wind_speed": {"ft/s", "km/h", "kn", "m/s", "mph"},
}
TOTALS = {"total", "total_increasing"}
STATE_CLASSES: dict[str, set[str | None]] = {
    "energy": {*TOTALS},
    "gas": {*TOTALS},
    "water": {*TOTALS},
    "volume": {*TOTALS},
    "enum": {None},
    "wind_direction": {None, "measurement_angle"},
    **{key: {"measurement", *TOTALS} for key in ("data_size", "distance", "duration", "precipitation", "weight")},
}
BINARY = {
    "battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door", "garage_door", "gas", "heat",
    "light", "lock", "moisture", "motion", "moving", "occupancy", "opening", "plug", "power", "presence", "problem",
    "running", "safety", "smoke", "sound", "tamper", "update", "vibration", "window",
}  # fmt: skip


def problems(prefix: str, topic: str, payload: bytes) -> list[str]:
    """What Home Assistant would object to."""
    if not topic.startswith(f"{prefix}/"):
        return [f"{topic}: not below the prefix"]
    match = TOPIC.fullmatch(topic.removeprefix(f"{prefix}/"))
    if match is None:
        return [f"{topic}: characters that are not allowed"]
    component = match["component"]
    if component not in KEYS:
        return [f"{topic}: component {component}"]
    config = json.loads(payload)
    found = [f"unknown key {key}" for key in config.keys() - KEYS[component]]
    found += [f"{key} is missing" for key in ("state_topic", "unique_id", "device") if not config.get(key)]
    if any(sign in config["state_topic"] for sign in "+#"):
        found.append("wildcards in state_topic")
    if not config["device"].get("identifiers"):
        found.append("the device has no identifier")
    if "name" not in config["origin"]:
        found.append("origin without name")
    expire_after = config.get("expire_after", 1)
    if not isinstance(expire_after, int) or expire_after < 1:
        found.append("expire_after must be a positive integer")
    return found + (_of_sensor(config) if component == "sensor" else _of_binary(config))


def _of_sensor(config: dict[str, Any]) -> list[str]:
    device_class, unit, state = (config.get(key) for key in ("device_class", "unit_of_measurement", "state_class"))
    found = []
    if device_class is not None:
        if device_class not in UNITS:
            return [f"device_class {device_class}"]
        if unit not in UNITS[device_class]:
            found.append(f"unit {unit} of {device_class}")
        if state not in STATE_CLASSES.get(device_class, {"measurement"}):
            found.append(f"state_class {state} of {device_class}")
    if ("options" in config) != (device_class == "enum"):
        found.append("options belong to an enum")
    return found


def _of_binary(config: dict[str, Any]) -> list[str]:
    return [] if config.get("device_class") in {None, *BINARY} else [f"device_class {config['device_class']}"]


def rendered(template: str, payload: bytes, *, state: str = "before") -> str:
    """What Home Assistant makes of a message."""
    names: dict[str, Any] = {"this": {"state": state}, "value": payload.decode(errors="replace")}
    with contextlib.suppress(ValueError):
        names["value_json"] = json.loads(payload)
    return jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(template).render(names)
