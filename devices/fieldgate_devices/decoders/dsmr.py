"""DSMR/P1 telegrams of smart meters (Netherlands, Belgium, Luxembourg, Sweden, Hungary and more).

The names come from dsmr-parser: its tables say which OBIS code is what in which country. The lines are read here,
because its parser runs regular expressions over the whole telegram, logs what it does not like, and keeps growing with
every log of power failures. It is imported with the first telegram: it brings 11 MB.

A record bears ``header`` and the values under dsmr-parser's names in small letters; times are ISO 8601 in UTC. What
other meters on the same bus say is under ``gas``, ``water``, ``heat`` … (``mbus_1`` where their kind is not said), with
``value``, ``unit`` and ``time``. Energy is in kWh and power in kW, also of meters that write Wh and W. Codes that the
tables do not know are under ``other``, as they stand; so are, under a checksum, values that are not what they say: the
same code is another thing in another country.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.dsmr_table import Code, Country, Table, load_table
from fieldgate_devices.decoders.dsmr_values import values_of
from fieldgate_devices.decoders.limits import check_payload, checked
from fieldgate_devices.decoders.options import DecoderOptions

__all__ = ["DsmrDecoder", "DsmrOptions", "checksum_problem", "crc16"]

_MAX_BYTES: Final = 16 * 1024
_MAX_LINES: Final = 500
_TELEGRAM: Final = re.compile(r"/([^\n!]{1,200})\n(.*?)\n?!([0-9A-Fa-f]{4})?\s*", re.DOTALL)
_LINE: Final = re.compile(
    r"([0-9]{1,3})-([0-9]{1,3}):([0-9]{1,3}(?:\.[0-9]{1,3}){2})(?:\*[0-9]{1,3})?((?:\([^()]*\))+)"
)
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")  # some meters fill a text with ff; without a checksum it is noise
_VERSION: Final = re.compile(r"^(?:1-3:0\.2\.8|0-0:96\.1\.4)\(", re.MULTILINE)  # DSMR 4 and later, e-MUCS
_MEDIA: Final = {2: "electricity", 3: "gas", 4: "heat", 6: "hot_water", 7: "water", 10: "cooling", 12: "heat"}
_CRC_TABLE: Final[list[int]] = []


class DsmrOptions(DecoderOptions):
    """Whose telegrams, and how strict to be."""

    version: Country = Field(
        default="dsmr5", description="which table of codes: a version of the Dutch standard, or a country or maker"
    )
    checksum: Literal["required", "optional", "auto"] = Field(
        default="auto",
        description="auto: required where the version has one (any: where the telegram says its version); one that is "
        "there must be right in any case",
    )

    def make(self) -> DsmrDecoder:
        """Return the decoder."""
        return DsmrDecoder(self)


class DsmrDecoder:
    """Reads one telegram per payload."""

    is_text = False

    def __init__(self, options: DsmrOptions) -> None:
        self._version: Country = options.version
        self._checksum = options.checksum
        self._table: Table | None = None

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record.

        Raises:
            Undecodable: no telegram, a wrong checksum, or a line that is none.
        """
        check_payload(payload, limit_bytes=_MAX_BYTES)
        if self._table is None:
            self._table = load_table(self._version)
        text = payload.decode("latin-1").strip(" \t\r\n\0")
        match = _TELEGRAM.fullmatch(text.replace("\r\n", "\n"))
        is_sealed = match is not None and match[3] is not None
        if not is_sealed and (byte := _NOT_ASCII.search(payload)):
            raise Undecodable(f"byte 0x{byte[0][0]:02x} at position {byte.start()} is not ASCII")
        if match is None:
            raise Undecodable(f"no telegram, which begins with '/' and ends with '!': {excerpt(text)}")
        self._check(text, match[3], self._table)
        record: Record = {"header": match[1].strip()}
        return checked([_filled(record, _lines(match[2]), self._table, is_sealed=is_sealed)])

    def _check(self, text: str, checksum: str | None, table: Table) -> None:
        """Verify the checksum; a relay may have changed the ends of lines."""
        if checksum is None:
            has_one = _VERSION.search(text) is not None if table.has_checksum is None else table.has_checksum
            if self._checksum == "required" or (self._checksum == "auto" and has_one):
                raise Undecodable("the telegram has no checksum after '!'")
            return
        if problem := checksum_problem(text[: text.rindex("!") + 1].encode("latin-1"), checksum):
            raise Undecodable(problem)


def checksum_problem(covered: bytes, checksum: str) -> str:
    """What is wrong with the checksum over all from '/' to '!', if anything."""
    if int(checksum, 16) == crc16(covered):
        return ""
    computed = crc16(covered.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))  # as the meter sent it
    return (
        "" if int(checksum, 16) == computed else f"checksum {checksum} is wrong; {computed:04X} is right for what came"
    )


def crc16(covered: bytes) -> int:
    """CRC-16/ARC, as the standard has it (polynomial x16+x15+x2+1, least significant bit first)."""
    if not _CRC_TABLE:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0xA001 if value & 1 else 0)
            _CRC_TABLE.append(value)
    crc = 0
    for byte in covered:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 255]
    return crc


def _lines(body: str) -> list[str]:
    """The lines with something on them; one that begins with '(' goes on from the one before (DSMR 2.2)."""
    lines: list[str] = []
    for line in body.split("\n"):
        written = line.strip()
        if written.startswith("(") and lines:
            lines[-1] += written
        elif written:
            lines.append(written)
    if len(lines) > _MAX_LINES:
        raise Undecodable(f"the telegram has more than {_MAX_LINES} lines")
    return lines


def _filled(record: Record, lines: list[str], table: Table, *, is_sealed: bool) -> Record:
    meters: dict[int, Record] = {}
    other: Record = {}
    for number, line in enumerate(lines, start=2):
        match = _LINE.fullmatch(line)
        if match is None:
            raise Undecodable(f"line {number} is no code with values: {excerpt(line)}")
        code = table.find(line.partition("(")[0])
        groups = match[4][1:-1].split(")(")
        name = f"{match[1]}-{match[2]}:{match[3]}"
        if code is None:
            other[name] = match[4]
            continue
        try:
            value = values_of(code, groups)
        except Undecodable as error:
            if not is_sealed:
                raise Undecodable(f"line {number} ({name}): {error.reason}") from None
            other[name] = match[4]
            continue
        channel = int(match[2])
        if match[1] == "0" and channel:
            _add_to_meter(meters.setdefault(channel, {}), code, value)
        elif code.name in record:
            other[name] = match[4]  # the first counts, as where a code of another channel looks alike
        else:
            record[code.name] = value
    for channel, meter in meters.items():
        record[_meter_name(meter, channel, record)] = meter
    if other:
        record["other"] = other
    return record


def _add_to_meter(meter: Record, code: Code, value: Value) -> None:
    """What a meter on the bus says, by what it is: names of the tables differ by version and country."""
    if isinstance(value, dict) and "value" in value:
        meter.update(value)
    elif "device_type" in code.name:
        meter["type"] = value
    elif "identifier" in code.name:
        meter["identifier"] = value
    elif "valve" in code.name:
        meter["valve"] = value
    else:
        meter[code.name] = value


def _meter_name(meter: Record, channel: int, record: Record) -> str:
    kind = meter.get("type")
    number = int(kind) if isinstance(kind, int | str) and str(kind).isdecimal() and len(str(kind)) < 5 else 0
    name = _MEDIA.get(number, f"mbus_{channel}")
    return f"{name}_{channel}" if name in record else name
