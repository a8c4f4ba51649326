"""NMEA 0183: sentences of GNSS receivers and ships' instruments.

``$GPGGA,123519,4807.038,N,…*47``: who talks (GP), which sentence (GGA), fields, checksum. Known sentences become
names and numbers (``nmea_sentences.py``); of any other the fields come as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from operator import xor
from typing import Final, Literal

from pydantic import Field

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import check_payload, check_record_count, checked
from fieldgate_devices.decoders.nmea_sentences import values_of
from fieldgate_devices.decoders.options import DecoderOptions

__all__ = ["NmeaDecoder", "NmeaOptions"]

_MAX_BYTES: Final = 128 * 1024
_MAX_SENTENCE: Final = 1_024  # the standard says 82; receivers send more
_TAG_BLOCK: Final = re.compile(r"\\([^\\*]{0,200})\*([0-9A-Fa-f]{2})\\")
_SENTENCE: Final = re.compile(r"[$!]([A-Z0-9]{3,12})((?:,[^,*]*)*)(?:\*([0-9A-Fa-f]{2}))?")


class NmeaOptions(DecoderOptions):
    """How strict to be, and what one reading is."""

    checksum: Literal["required", "optional"] = Field(
        default="required", description="optional: a sentence may come without one; one that is there must be right"
    )
    merge: bool = Field(
        default=False, description="all sentences of the payload are one reading (a receiver's fix of one second)"
    )

    def make(self) -> NmeaDecoder:
        """Return the decoder."""
        return NmeaDecoder(self)


class NmeaDecoder:
    """Reads sentences."""

    is_text = True  # fields of sentences that are not known are texts

    def __init__(self, options: NmeaOptions) -> None:
        self._needs_checksum = options.checksum == "required"
        self._is_merged = options.merge

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record per sentence, or one for all.

        Raises:
            Undecodable: a line is no sentence, its checksum is wrong, or a field is not what it must be.
        """
        check_payload(payload, limit_bytes=_MAX_BYTES)
        try:
            lines = payload.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise Undecodable(f"byte 0x{payload[error.start]:02x} at position {error.start} is not ASCII") from None
        records: list[Record] = []
        for number, line in enumerate(lines, start=1):
            if not (sentence := line.strip(" \t\r\0")):
                continue
            try:
                records.append(self._record(sentence))
            except Undecodable as error:
                raise Undecodable(f"line {number}: {error.reason}") from None
            check_record_count(len(records))
        return checked([_merged(records)] if self._is_merged and records else records)

    def _record(self, line: str) -> Record:
        if len(line) > _MAX_SENTENCE:
            raise Undecodable(f"a sentence has {len(line)} characters; {_MAX_SENTENCE} at most")
        if (tag := _TAG_BLOCK.match(line)) is not None:
            _check(tag[1], tag[2])
            line = line[tag.end() :]
        match = _SENTENCE.fullmatch(line)
        if match is None:
            raise Undecodable(f"no sentence: {excerpt(line)}")
        address, fields, checksum = match[1], match[2].split(",")[1:], match[3]
        if checksum is not None:
            _check(line[1 : line.rindex("*")], checksum)
        elif self._needs_checksum:
            raise Undecodable(f"{address} has no checksum")
        if address.startswith("P"):  # a maker's own
            return {"talker": "P", "sentence": address[1:], "fields": [one or None for one in fields]}
        talker, sentence = address[:-3], address[-3:]
        values = values_of(sentence, fields)
        if values is None:
            values = {"fields": [one or None for one in fields]}
        return {"talker": talker, "sentence": sentence, **values}


def _check(text: str, checksum: str) -> None:
    computed = reduce(xor, text.encode("ascii"), 0)
    if computed != int(checksum, 16):
        raise Undecodable(f"checksum {checksum} is wrong; {computed:02X} is right for {excerpt(text)}")


def _merged(records: list[Record]) -> Record:
    """All sentences in one: of several values of a name the first counts, lists are joined; unknown ones are apart."""
    merged: Record = {}
    others = [record for record in records if "fields" in record]
    for record in (one for one in records if "fields" not in one):
        for name, value in record.items():
            there = merged.get(name)
            if there is None:
                merged[name] = value
            elif isinstance(there, list) and isinstance(value, list):
                merged[name] = [*there, *value]
    if others:
        merged["other"] = list[Value](others)
    merged["sentences"] = [record["sentence"] for record in records]
    return merged
