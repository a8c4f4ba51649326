"""Which members of some messages say when it happened, and which name the device."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from fieldgate_devices.breach import Breach
from fieldgate_devices.infer_fields import Raw, Seen, path_text
from fieldgate_devices.matching import DeviceName
from fieldgate_devices.times import time_reader

__all__ = ["guess_device", "guess_time"]

_TIMES: Final = re.compile(
    r"(^|[_.])(ts|tst|time|timestamp|date_?time|date|utc|time_?utc|created_?at|sent_?at|measured_?at|at)$"
)
_PATTERNS: Final = (
    "iso8601",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y%m%dT%H%M%S",
)
_EARLIEST_S: Final = 978_307_200  # 2001
_LATEST_S: Final = 4_102_444_800  # 2100
_UNITS: Final = (("unix_s", 1), ("unix_ms", 10**3), ("unix_us", 10**6), ("unix_ns", 10**9))
_DEVICES: Final = (
    "device", "device_id", "deviceid", "dev_id", "dev_eui", "deveui", "device_name", "devicename", "node", "node_id",
    "sensor_id", "sensor", "id", "mac", "address", "addr", "serial", "sn", "name", "uuid", "imei",
)  # fmt: skip


def guess_time(seen: Mapping[Raw, Seen]) -> tuple[Raw, dict[str, str]] | None:
    """Return the member that is the time of every message that has it, and ``time`` of the profile."""
    for raw, one in sorted(seen.items(), key=lambda item: len(item[0])):
        if not _TIMES.search(raw[-1].lower()) or not one.values:
            continue
        form = _format(one.values)
        if form is not None:
            return raw, {"from": path_text(raw), "format": form}
    return None


def _format(values: Sequence[object]) -> str | None:
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) == len(values):
        for name, per_s in _UNITS:
            if all(_EARLIEST_S * per_s <= one <= _LATEST_S * per_s for one in numbers) and _reads(name, values):
                return name
        return None
    texts = [one for one in values if isinstance(one, str) and len(one) >= 8]
    if len(texts) < len(values):
        return None
    return next((form for form in _PATTERNS if _reads(form, values)), None)


def _reads(form: str, values: Sequence[object]) -> bool:
    read = time_reader(form, "UTC")
    try:
        return all(read(one) is not None for one in values)
    except (ValueError, OverflowError):
        return False


def guess_device(seen: Mapping[Raw, Seen], number: int) -> tuple[str, tuple[Raw, ...]] | None:
    """Return the template of the device's name, where members of the message name it: several devices, one topic."""
    able = {raw: one.values for raw, one in seen.items() if len(one.values) == number and _is_name(raw, one.values)}
    by_name = {raw[-1].lower(): raw for raw in reversed(list(able))}
    found = next((by_name[name] for name in _DEVICES if name in by_name), None)
    if found is None:
        return None
    if len({str(one) for one in able[found]}) < 2:
        return None
    model = by_name.get("model")
    if found[-1].lower() == "id" and model is not None:
        return f"{{{path_text(model)}}}-{{{path_text(found)}}}", (model, found)
    return f"{{{path_text(found)}}}", (found,)


def _is_name(raw: Raw, values: Sequence[object]) -> bool:
    text = path_text(raw)
    if any(one in text for one in "{|}"):  # which have a meaning in a template
        return False
    name = DeviceName(f"{{{text}}}", frozenset())
    try:
        return not name.is_of_topic and all(name.of(_nested(raw, one), {}, "") for one in values)
    except Breach:
        return False


def _nested(raw: Raw, value: object) -> object:
    for step in reversed(raw):
        value = {step: value}
    return value
