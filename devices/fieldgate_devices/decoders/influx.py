"""InfluxDB line protocol: ``weather,site=a temperature=21.5,fan=t 1700000000000000000``, one reading per line.

A record bears the tags (texts) and fields (typed) under their names, and ``_measurement`` and ``_time`` as InfluxDB
itself calls them. https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, excerpt
from fieldgate_devices.decoders.limits import MAX_VALUES, Allowance, check_record_count, checked
from fieldgate_devices.decoders.options import DecoderOptions
from fieldgate_devices.decoders.texts import read_text

__all__ = ["InfluxDecoder", "InfluxOptions"]

_GAP: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BLANKS: Final = re.compile(r" +")
_END: Final = re.compile(r" *\r?(?:\n|\Z)")
# In each, a backslash belongs to the character after it; none goes back to try another way.
_MEASUREMENT: Final = re.compile(r"(?:[^, \\\r\n]|\\.){1,1024}+")
_KEY: Final = re.compile(r"(?:[^,= \\\r\n]|\\.){1,1024}+")
_TEXT: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_BARE: Final = re.compile(r"[^, \r\n]+")
_TIME: Final = re.compile(r"-?[0-9]{1,19}")
_WHOLE: Final = re.compile(r"(-?[0-9]{1,20})[iu]")
_REAL: Final = re.compile(r"[+-]?(?:[0-9]{1,64}\.?[0-9]{0,64}|\.[0-9]{1,64})(?:[eE][+-]?[0-9]{1,4})?")
_TRUTH: Final = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


class InfluxOptions(DecoderOptions):
    """The line protocol has no options of its own."""

    def make(self) -> InfluxDecoder:
        """Return the decoder."""
        return InfluxDecoder()


class InfluxDecoder:
    """Reads line protocol."""

    is_text = False

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record per line.

        Raises:
            Undecodable: a line is not in that form, or a name comes twice in it.
        """
        text = read_text(payload, encoding="utf-8")
        records: list[Record] = []
        allowance = Allowance()
        at = _take(_GAP, text, 0)
        while at < len(text):
            record, at = _line(text, at)
            allowance.spend(len(record))
            records.append(record)
            check_record_count(len(records))
            at = _take(_GAP, text, at)
        return checked(records)


def _line(text: str, at: int) -> tuple[Record, int]:
    record: Record = {}
    end = _need(_MEASUREMENT, text, at, "a measurement")
    record["_measurement"] = _unescaped(text[at:end])
    at = end
    while text.startswith(",", at):
        key, at = _key(text, at + 1, record)
        end = _need(_KEY, text, at, "the value of a tag")
        record[key] = _unescaped(text[at:end])
        at = end
    at = _need(_BLANKS, text, at, "a blank and fields") - 1
    while True:
        key, at = _key(text, at + 1, record)
        record[key], at = _value(text, at)
        if not text.startswith(",", at):
            break
    if (blanks := _take(_BLANKS, text, at)) > at and (time := _TIME.match(text, blanks)) is not None:
        record["_time"] = int(time[0])
        at = time.end()
    return record, _need(_END, text, at, "the end of the line")


def _key(text: str, at: int, record: Record) -> tuple[str, int]:
    end = _need(_KEY, text, at, "a name")
    key = _unescaped(text[at:end])
    if not text.startswith("=", end):
        raise Undecodable(f"no '=' after {excerpt(key)} at character {end}")
    if key in record:
        raise Undecodable(f"{excerpt(key)} comes twice in one line")
    if len(record) > MAX_VALUES:
        raise Undecodable(f"a reading holds more than {MAX_VALUES} values")
    return key, end + 1


def _value(text: str, at: int) -> tuple[Value, int]:
    if (quoted := _TEXT.match(text, at)) is not None:
        return re.sub(r'\\(["\\])', r"\1", quoted[1]), quoted.end()
    end = _need(_BARE, text, at, "a value")
    written = text[at:end] if end - at <= 200 else ""
    if written in _TRUTH:
        return _TRUTH[written], end
    if (whole := _WHOLE.fullmatch(written)) is not None:
        return int(whole[1]), end
    if _REAL.fullmatch(written) is not None and math.isfinite(number := float(written)):
        return number, end
    raise Undecodable(f"no value at character {at}: {excerpt(text[at:end])}")


def _unescaped(text: str) -> str:
    return re.sub(r"\\([,= \\])", r"\1", text) if "\\" in text else text


def _take(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _need(pattern: re.Pattern[str], text: str, at: int, what: str) -> int:
    match = pattern.match(text, at)
    if match is None:
        raise Undecodable(f"{what} is missing at character {at}: {excerpt(text[at : at + 50])}")
    return match.end()
