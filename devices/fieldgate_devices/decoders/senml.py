"""SenML packs, JSON or CBOR [RFC 8428]: base values resolved, one reading for each device and time.

A record bears the values under their names and, under SenML's own labels, what goes for all of them: ``bn`` the
device, ``bt`` the time in seconds since 1970 or ``bt_relative`` seconds from now (0 and before: the past), ``bu`` the
unit and ``bs`` the sum of each name that has one. Which of the two forms a pack has is plain from its first byte.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.decoders import cbor, json_text
from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import check_payload, check_record_count, checked
from fieldgate_devices.decoders.options import DecoderOptions

__all__ = ["SenmlDecoder", "SenmlOptions"]

_VERSION: Final = 10
_ABSOLUTE_FROM: Final = 2**28  # smaller times are seconds from now [RFC 8428 4.5.3]
_LABELS: Final = {  # of the CBOR form [RFC 8428 6]
    "-1": "bver", "-2": "bn", "-3": "bt", "-4": "bu", "-5": "bv", "-6": "bs",
    "0": "n", "1": "u", "2": "v", "3": "vs", "4": "vb", "5": "s", "6": "t", "7": "ut", "8": "vd",
}  # fmt: skip
_TEXTS: Final = {"bn", "bu", "n", "u", "vs"}
_NUMBERS: Final = {"bt", "bv", "bs", "v", "s", "t", "ut"}
_VALUES: Final = ("v", "vs", "vb", "vd")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")  # [RFC 8428 4.5.1]
_SEPARATORS: Final = "-:./_"
_ALONE: Final = "value"
_RESERVED: Final = frozenset({"bn", "bt", "bt_relative", "bu", "bs"})  # what a record says beside its values


class SenmlOptions(DecoderOptions):
    """Which part of a SenML name is the device's."""

    device: Literal["base_name", "name", "all_but_last"] = Field(
        default="base_name",
        description="what of a name is the device: its base name, all of it (the value is then called 'value'), or all "
        "but its last part (after the last of '-:./_')",
    )

    def make(self) -> SenmlDecoder:
        """Return the decoder."""
        return SenmlDecoder(self)


@dataclass(slots=True)
class _Base:
    """The base fields in force; each record may change them for itself and those after it."""

    name: str = ""
    time: float = 0
    unit: str | None = None
    value: float = 0
    sum: float | None = None


@dataclass(slots=True)
class _Reading:
    """What one device said of one time."""

    values: Record = field(default_factory=dict)
    units: Record = field(default_factory=dict)
    sums: Record = field(default_factory=dict)


class SenmlDecoder:
    """Reads packs."""

    is_text = False

    def __init__(self, options: SenmlOptions) -> None:
        self._device = options.device

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each device and time, in the order in which they first come.

        Raises:
            Undecodable: it is no SenML pack, or has what must be understood and is not.
        """
        check_payload(payload)
        pack = json_text.parse(payload) if payload.lstrip()[:1] in {b"[", b"{"} else cbor.parse(payload)
        if not isinstance(pack, list) or not pack:
            raise Undecodable(f"a SenML pack is a list of records, not {excerpt(payload)}")
        base = _Base()
        readings: dict[tuple[str, float], _Reading] = {}
        for number, entry in enumerate(pack, start=1):
            try:
                self._take(_labelled(entry), base, readings)
            except Undecodable as error:
                raise Undecodable(f"record {number}: {error.reason}") from None
            check_record_count(len(readings))
        return checked([_record(device, time, reading) for (device, time), reading in readings.items()])

    def _take(self, entry: Record, base: _Base, readings: dict[tuple[str, float], _Reading]) -> None:
        _rebase(base, entry)
        found = [label for label in _VALUES if label in entry]
        if len(found) > 1:
            raise Undecodable(f"it has more than one value ({', '.join(found)})")
        has_sum = "s" in entry or (bool(found) and base.sum is not None)
        if not found and not has_sum:
            if any(label.startswith("b") for label in entry) and not entry.keys() & {"n", "u", "t", "ut"}:
                return  # it only says what the others have in common
            raise Undecodable("it has neither a value nor a sum")
        device, name = self._split(base.name, _text(entry, "n"))
        time = base.time + _number(entry, "t")
        reading = readings.setdefault((device, time), _Reading())
        if name in _RESERVED:
            raise Undecodable(f"{excerpt(name)} is the name of a value")
        if name in reading.values:
            raise Undecodable(f"{excerpt(name)} comes twice for one device and time")
        reading.values[name] = _value(entry, found[0], base) if found else None
        if (unit := _text(entry, "u") or base.unit) is not None:
            reading.units[name] = unit
        if has_sum:
            reading.sums[name] = (base.sum or 0) + _number(entry, "s")

    def _split(self, base_name: str, name: str) -> tuple[str, str]:
        """Device and name of the value."""
        whole = base_name + name
        if not _NAME.fullmatch(whole):
            raise Undecodable(f"{excerpt(whole)} is no SenML name" if whole else "it has no name")
        if self._device == "name":
            return whole, _ALONE
        if self._device == "base_name":
            return base_name.rstrip(_SEPARATORS), name or _ALONE
        cut = max(whole.rfind(separator) for separator in _SEPARATORS)
        return (whole[:cut], whole[cut + 1 :] or _ALONE) if cut > 0 else ("", whole)


def _labelled(entry: Value) -> Record:
    """A record with the labels of JSON, its types checked."""
    if not isinstance(entry, dict):
        raise Undecodable("it is no object")
    record = {_LABELS.get(label, label): value for label, value in entry.items()}
    if len(record) != len(entry):
        raise Undecodable("a label comes twice")
    for label, value in record.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if label.endswith("_"):
            raise Undecodable(f"{excerpt(label)} must be understood and is not known")  # [RFC 8428 4.4]
        if (label in _TEXTS and not isinstance(value, str)) or (label in _NUMBERS and not is_number):
            raise Undecodable(f"{label} is of the wrong type")
        if label == "vb" and not isinstance(value, bool):
            raise Undecodable("vb is neither true nor false")
        if label == "bver" and (not isinstance(value, int) or value > _VERSION):
            raise Undecodable(f"version {excerpt(str(value))} of SenML is not known; {_VERSION} is")
    return record


def _rebase(base: _Base, entry: Record) -> None:
    if "bn" in entry:
        base.name = _text(entry, "bn")
    if "bt" in entry:
        base.time = _number(entry, "bt")
    if "bu" in entry:
        base.unit = _text(entry, "bu")
    if "bv" in entry:
        base.value = _number(entry, "bv")
    if "bs" in entry:
        base.sum = _number(entry, "bs")


def _value(entry: Record, label: str, base: _Base) -> Value:
    if label == "v":
        return base.value + _number(entry, "v")
    value = entry[label]
    if label != "vd" or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Undecodable("vd is of the wrong type")
    try:  # the alphabet for URLs, not padded [RFC 8428 4.3]
        digits = value.rstrip("=").translate(str.maketrans("-_", "+/"))
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise Undecodable(f"vd is not base64: {excerpt(value)}") from None


def _record(device: str, time: float, reading: _Reading) -> Record:
    common: Sequence[tuple[str, Value]] = (
        ("bn", device),
        ("bt" if time >= _ABSOLUTE_FROM else "bt_relative", time),
        ("bu", reading.units),
        ("bs", reading.sums),
    )
    record: Record = {name: value for name, value in common if value not in ("", {})}
    return {**record, **reading.values}


def _text(entry: Record, label: str) -> str:
    value = entry.get(label, "")
    return value if isinstance(value, str) else ""


def _number(entry: Record, label: str) -> int | float:
    value = entry.get(label, 0)
    return value if isinstance(value, int | float) else 0
