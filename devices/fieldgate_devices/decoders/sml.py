"""SML: what smart meters in Germany say at their optical port, and what many read-out heads publish as it is.

A record bears ``server_id`` (the meter's number, ``1ISK0075126084``), ``manufacturer``, the meter's clock (``time`` in
ISO 8601 and UTC, or ``seconds_index``: the seconds that it has run), ``status`` and the values under names that are
those of other meters too: ``energy_import``, ``power``, ``voltage_l1``. Energy is in kWh, power in W. Codes without a
name, and values in another unit than their code has, are under ``other`` by their OBIS code.

``smllib`` would read it too; why it is not used stands with the other dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value
from fieldgate_devices.decoders.limits import check_payload, checked
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.sml_file import Element, Message, check_crc, read_messages
from fieldgate_devices.decoders.sml_table import UNITS, meaning_of, obis_text

__all__ = ["SmlDecoder", "SmlOptions"]

_MAX_BYTES: Final = 16 * 1024
_TRANSPORT: Final = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
_ESCAPE: Final = b"\x1b\x1b\x1b\x1b"
_END: Final = 0x1A
_MAX_FILLED: Final = 4  # bytes that fill the last four; the DZG DVS74 writes 4 more where there is nothing to fill
_GET_LIST_RESPONSE: Final = 0x0701
_MAX_SCALER: Final = 20  # a power of ten
_IN_KILO: Final = {"Wh": "kWh", "varh": "kvarh", "VAh": "kVAh"}  # what other meters count in


class SmlOptions(DecoderOptions):
    """How strict to be."""

    checksum: Literal["transport", "messages"] = Field(
        default="transport",
        description="which must be right: that of the transport, where it is around the file (framing sml has verified "
        "it already); messages: that of each message too",
    )

    def make(self) -> SmlDecoder:
        """Return the decoder."""
        return SmlDecoder(self)


class SmlDecoder:
    """Reads an SML file, or those of a payload that still have their transport around them."""

    is_text = False

    def __init__(self, options: SmlOptions) -> None:
        self._is_checked = options.checksum == "messages"

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each list of values, which meters send one of.

        Raises:
            Undecodable: no SML file, a wrong checksum, or one without values.
        """
        check_payload(payload, limit_bytes=_MAX_BYTES)
        messages = [one for file in _files(payload) for one in read_messages(file, is_checked=self._is_checked)]
        records = [_record(message) for message in messages if message.kind == _GET_LIST_RESPONSE]
        if not records:
            kinds = ", ".join(f"0x{message.kind & 0xFFFFFFFF:04x}" for message in messages[:5])
            raise Undecodable(f"the file holds no list of values (0x0701), but {kinds or 'nothing'}")
        return checked(records)


def _files(payload: bytes) -> Iterator[bytes]:
    """The file that a payload is, or those in it that bear their transport (version 1) as it came from the wire."""
    if not payload.startswith(_TRANSPORT):
        yield payload
        return
    start = 0
    while start < len(payload):
        if not payload.startswith(_TRANSPORT, start):
            raise Undecodable(f"behind the transport, at position {start}, stands what is none")
        file, start = _unwrapped(payload, start)
        yield file


def _unwrapped(payload: bytes, start: int) -> tuple[bytes, int]:
    """The file whose transport begins at ``start``, its checksum verified, and where the transport ends."""
    content = bytearray()
    position = start + len(_TRANSPORT)
    while (escape := payload.find(_ESCAPE, position)) >= 0:
        content += payload[position:escape]
        what = payload[escape + 4 : escape + 8]
        position = escape + 8
        if what == _ESCAPE:
            content += _ESCAPE
        elif len(what) == 4 and what[0] == _END and what[1] <= _MAX_FILLED <= len(content):
            check_crc(payload[start : position - 2], int.from_bytes(what[2:]), what="the transport")
            return bytes(content[: len(content) - what[1]]), position
        else:
            raise Undecodable(f"the transport has an escape without meaning at position {escape}")
    raise Undecodable("the transport has no end")


def _record(message: Message) -> Record:
    match message.body:
        case [_, server, _, at, list(entries), *_]:
            pass
        case _:
            raise Undecodable(f"the list of values at position {message.start} is none")
    record: Record = {}
    if isinstance(server, bytes):
        record["server_id"] = _server_id(server)
    for name, moment in _moments(at):
        record[name] = moment
    other: Record = {}
    for entry in entries:
        _add(entry, record, other)
    if other:
        record["other"] = other
    return record


def _add(entry: Element, record: Record, other: Record) -> None:
    match entry:
        case [bytes(obis), status, _, unit, scaler, value, *_] if obis:
            pass
        case _:
            raise Undecodable("an entry of the list of values is none")
    if isinstance(status, int) and not isinstance(status, bool):
        record.setdefault("status", status)
    if value is None or isinstance(value, list):
        return
    meaning = meaning_of(obis)
    if isinstance(value, bool | bytes):
        if meaning is None or meaning.unit is not None:
            other.setdefault(obis_text(obis), {"value": _text(value) if isinstance(value, bytes) else value})
        elif isinstance(value, bytes):
            record.setdefault(meaning.name, _server_id(value) if meaning.name == "server_id" else _text(value))
        return
    number = _scaled(value, scaler)
    code = unit if isinstance(unit, int) else 255
    if meaning is None or meaning.unit != code or meaning.name in record:
        written: Record = {"value": number}
        if code in UNITS:
            written["unit"] = UNITS[code]
        other.setdefault(obis_text(obis), written)
        return
    record[meaning.name] = _scaled(value, scaler, by=-3) if UNITS.get(code) in _IN_KILO else number


def _scaled(number: int, scaler: Element, *, by: int = 0) -> int | float:
    """``number`` times ten to the power of ``scaler``, as near as a number can be."""
    power = (scaler if isinstance(scaler, int) else 0) + by
    if abs(power) > _MAX_SCALER + 3:
        raise Undecodable(f"a value is scaled by 10 to the power of {power}")
    return number * int(10**power) if power >= 0 else number / int(10**-power)


def _moments(at: Element) -> Iterator[tuple[str, Value]]:
    """The meter's clock: a choice of seconds that it has run, a timestamp, or one with its zone (which is UTC too)."""
    match at:
        case [bool(), *_]:
            return
        case [1, int(seconds)]:
            yield "seconds_index", seconds
        case [2, int(seconds)] | [3, [int(seconds), *_]] if 0 < seconds < 1 << 32:
            yield "time", f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}Z"
        case int() if not isinstance(at, bool):  # without the choice, as some of Holley's meters have it
            yield "seconds_index", at


def _server_id(server: bytes) -> str:
    """A meter's number as it is printed on it (DIN 43863-5), where it is one: medium, maker, block, number."""
    maker = server[2:5]
    if len(server) == 10 and server[0] in {0x09, 0x0A} and maker.isalpha() and maker.isupper():
        return f"{server[1]:X}{maker.decode('ascii')}{server[5]:02X}{int.from_bytes(server[6:]):08d}"
    return server.hex().upper()


def _text(value: bytes) -> str:
    """A text where it is one; else hexadecimal."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else value.hex()
