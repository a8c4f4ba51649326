"""A hostile payload holds the loop for 100 ms at the most, on a machine like that of the benchmark.

Time is the process's own, and the limit is in units of a loop that takes 10 ms there, so that a slow or busy machine
does not fail the test.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Mapping

import pytest
import zstandard

from decoder_kit import CAYENNE, READINGS, Options, check_reason, check_records
from fieldgate_devices.decoders import Decoder, Record, Undecodable, make_decoder

MILLION = 1_000_000
LIMIT = 10  # times the loop below

GREEDY: Options = {"pattern": r"(?P<a>(a|b)*)(?P<b>a{1,200})$"}
ALL: Options = {"pattern": r"(?P<a>a)(?P<b>.*y)?", "matches": "all"}
LOOPING: Options = {
    "layout": [
        {"name": "n", "type": "u32"},
        {
            "repeat": "n",
            "name": "list",
            "layout": [{"at": 0}, {"name": "x", "type": "u8"}, {"sum": "y", "of": {"x": 0.1}}],
        },
    ]
}


def many(text: bytes, size: int = MILLION) -> bytes:
    return text * (size // len(text))


CASES: dict[str, tuple[str, Options, Callable[[], bytes]]] = {
    "JSON of empty lists": ("json", {}, lambda: b"[" + many(b"[],") + b"[]]"),
    "JSON with a list of numbers": ("json", {}, lambda: b"[" + many(b"1,") + b"1]"),
    "JSON with 10,000 keys, spaced": (
        "json",
        {},
        lambda: json.dumps({str(n): n for n in range(10_000)}).replace(":", " :").encode(),
    ),
    "JSON with 60,000 keys": ("json", {}, lambda: json.dumps({str(n): n for n in range(60_000)}).encode()),
    "JSON, deep": ("json", {}, lambda: many(b"[")),
    "JSON, one long text of escapes": ("json", {}, lambda: b'{"a":"' + many(b"\\u0041") + b'"}'),
    "JSON, long numbers": ("json", {}, lambda: b"[" + many(b"9" * 64 + b",") + b"1]"),
    "JSON, one number": ("json", {}, lambda: many(b"9")),
    "JSON, one fraction": ("json", {}, lambda: b"0." + many(b"9")),
    "JSON, keys that look like colons": ("json", {}, lambda: b'{"a":"' + many(b'\\":') + b'"}'),
    "JSON lines with many values": ("json", {"lines": True}, lambda: many(b"[" + b"1," * 30_000 + b"1]\n")),
    "JSON lines within the limit": ("json", {"lines": True}, lambda: (b"[" + b"1," * 4_000 + b"1]\n") * 15),
    "JSON lines": ("json", {"lines": True}, lambda: many(b'{"a":1}\n')),
    "JSON readings that share much": (
        "json",
        {"each": "s"},
        lambda: json.dumps({**{str(n): 0 for n in range(4_000)}, "s": [{}] * 1_000}).encode(),
    ),
    "CSV of delimiters": ("csv", {}, lambda: many(b",")),
    "CSV with many values in each line": ("csv", {}, lambda: many(b"1," * 4_000 + b"\n")),
    "CSV of lines": ("csv", {"columns": ["a"]}, lambda: many(b"1\n")),
    "CSV of quotes": ("csv", {}, lambda: many(b'"')),
    "CSV of empty lines": ("csv", {}, lambda: many(b"\n")),
    "CSV of other empty lines": ("csv", {}, lambda: many(b"\r")),
    "CSV of 10,000 lines that say nothing": ("csv", {"comment": "#"}, lambda: many(b"#" * 99 + b"\n")),
    "CSV of comments": ("csv", {"comment": "#"}, lambda: many(b"#\n")),
    "pairs": ("key_value", {}, lambda: many(b"a= ")),
    "pairs, other names": ("key_value", {}, lambda: b" ".join(b"%d=1" % n for n in range(80_000))),
    "pairs with a long sign": ("key_value", {"equals": "->>>>>>>"}, lambda: many(b"->>>>>>", 65_000)),
    "pairs, blanks": ("key_value", {"loose": True}, lambda: b"a" + many(b" ")),
    "pairs, words": ("key_value", {"loose": True}, lambda: many(b"a ")),
    "pairs, signs": ("key_value", {"loose": True}, lambda: many(b"=")),
    "pairs, an open quote": ("key_value", {}, lambda: b'a="' + many(b"\\x")),
    "pairs, open quotes": ("key_value", {"loose": True}, lambda: many(b'a="')),
    "form": ("form", {}, lambda: many(b"%")),
    "form, coded": ("form", {}, lambda: b"a=" + many(b"%41")),
    "form, parts": ("form", {}, lambda: many(b"a&")),
    "line protocol, escapes": ("influx", {}, lambda: many(b"\\ ")),
    "line protocol, tags": ("influx", {}, lambda: b"m" + b"".join(b",%d=1" % n for n in range(80_000))),
    "line protocol, many fields": (
        "influx",
        {},
        lambda: (b"m " + b",".join(b"%d=1" % number for number in range(4_000)) + b"\n") * 40,
    ),
    "line protocol, comments": ("influx", {}, lambda: many(b"#\n")),
    "line protocol, lines": ("influx", {}, lambda: many(b"m a=1\n")),
    "a greedy pattern": ("regex", GREEDY, lambda: many(b"a")),
    "a greedy pattern, as long as it may be": ("regex", GREEDY, lambda: many(b"a", 9_700)),
    "a pattern that looks ahead for each match": ("regex", ALL, lambda: many(b"a")),
    "a pattern that looks ahead, as long as it may be": ("regex", ALL, lambda: many(b"a", 600)),
    "one value": ("value", {}, lambda: many(b"1")),
    "one value in JSON": ("value", {"format": "json"}, lambda: b'"' + many(b"1") + b'"'),
    "tag, length, value": ("binary", CAYENNE, lambda: many(b"\x01\x67\x00\x00")),
    "a layout that reads the same bytes again": ("binary", LOOPING, lambda: b"\xff" * 8),
    "a binary list": ("binary", {"layout": [{"repeat": "rest", "name": "a", "type": "u8"}]}, lambda: many(b"\x00")),
    "255 readings": ("binary", READINGS, lambda: b"\x00\xff\x00" + bytes(255 * 9)),
    "CBOR of empty lists": ("cbor", {}, lambda: b"\x99\xff\xf0" + b"\x80" * 0xFFF0),
    "CBOR of tags": ("cbor", {}, lambda: b"\x99\x7f\xf0" + b"\xc1\x01" * 0x7FF0),
    "CBOR keys": (
        "cbor",
        {},
        lambda: b"\xb9\x1f\xf0" + b"".join(b"\x82\x19%c%c\x00\x00" % divmod(n, 256) for n in range(0x1400)),
    ),
    "CBOR of decimal fractions": ("cbor", {}, lambda: b"\x99\x1f\xf0" + b"\xc4\x82\x39\x01\x8f\x01" * 0x1FF0),
    "CBOR, large": ("cbor", {}, lambda: many(b"\x80")),
    "MessagePack of empty lists": ("msgpack", {}, lambda: b"\xdd\x00\x0f\x42\x40" + many(b"\x90")),
    "MessagePack within the limit": ("msgpack", {}, lambda: b"\xdc\x7f\xf0" + b"\x90" * 0x7FF0),
    "SenML": ("senml", {}, lambda: b"[" + many(b'{"n":"a","v":1},') + b'{"n":"b","v":1}]'),
    "SenML, at other times": (
        "senml",
        {},
        lambda: json.dumps([{"n": "a", "v": 1, "t": n} for n in range(9_000)]).encode(),
    ),
    "NMEA": ("nmea", {"checksum": "optional"}, lambda: many(b"$GPGGA,,,,\n", 120_000)),
    "NMEA, commas": ("nmea", {"checksum": "optional"}, lambda: (b"$GPXXX" + b"," * 900 + b"\n") * 130),
    "NMEA, merged": (
        "nmea",
        {"checksum": "optional", "merge": True},
        lambda: (b"$GPGSV,1,1,1" + b",1,,,1" * 150 + b"\n") * 120,
    ),
    "telegram": ("dsmr", {}, lambda: b"/ISk5\n" + many(b"1-0:1.8.1(1*kWh)\n", 15_000) + b"!0000"),
    "telegram of parentheses": (
        "dsmr",
        {"checksum": "optional"},
        lambda: b"/ISk5\n1-0:99.97.0" + many(b"()", 15_000) + b"\n!",
    ),
    "SML of lists": ("sml", {}, lambda: b"\x76\x71" * 8_000),
    "SML, a list of everything": (
        "sml",
        {},
        lambda: b"\x76\x01\x01\x01\x72\x01\xf3\x8f\x8f\x00" + many(b"\x01", 16_000),
    ),
    "SML, a list of 4,096 in one": ("sml", {}, lambda: b"\x76\xf1\x80\x80\x00" + many(b"\x01", 16_000)),
    "SML, values": (
        "sml",
        {},
        lambda: (
            b"\x76\x01\x01\x01\x72\x63\x07\x01\x77\x01\x01\x01\x01\xf0\x85\x0e"
            + b"".join(b"\x77\x03%c%c\x01\x01\x01\x01\x62\x01\x01" % divmod(n, 256) for n in range(0x5E))
            + b"\x01\x01\x01\x00"
        ),
    ),
    "a gzip bomb": ("json", {"compression": "gzip"}, lambda: gzip.compress(bytes(200 * MILLION))),
    "a zstd bomb": ("json", {"compression": "zstd"}, lambda: zstandard.compress(bytes(200 * MILLION))),
    "base64 in JSON": ("cbor", {"of": "p", "text": "base64"}, lambda: b'{"p":"' + many(b"gICA") + b'"}'),
    "a list of bytes": ("cbor", {"of": "p"}, lambda: b'{"p":[' + many(b"128,") + b"1]}"),
    "hexadecimal blanks": ("cbor", {"text": "hex"}, lambda: many(b"80 ")),
}


def loop_s() -> float:
    """What this machine needs now for a fixed piece of work (10 ms on that of the benchmark)."""
    best = 1.0
    for _ in range(3):
        start = time.process_time()
        total = 0
        for number in range(250_000):
            total += number & 3
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_payload_is_done_with_in_time(case: str) -> None:
    """One device must not hold up the others (P8)."""
    name, options, make = CASES[case]
    decoder, payload = make_decoder(name, options), make()
    attempt(decoder, b"/x\n1-0:1.8.1(1)\n!0000")  # what a library needs once is not what is measured

    limit_s = LIMIT * max(loop_s(), 0.01)
    used_s = used(decoder, payload)
    for _ in range(2):  # once more, where something else held it up
        if used_s >= limit_s:
            used_s = min(used_s, used(decoder, payload))

    assert used_s < limit_s


def test_the_measure_notices_what_takes_too_long() -> None:
    """The control: the same patterns by `re`, which goes back to try every other way."""

    class Slow:
        is_text = True

        def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
            re.search(rb"(a|b|ab)*$c", payload)
            return [{}]

    used_s = used(Slow(), b"ab" * 20)

    assert used_s >= LIMIT * loop_s()


def attempt(decoder: Decoder, payload: bytes) -> object:
    try:
        return decoder.decode(payload, {})
    except Undecodable as error:
        return error


def used(decoder: Decoder, payload: bytes) -> float:
    """Seconds of this process's time; what comes out is checked afterwards."""
    start = time.process_time()
    outcome = attempt(decoder, payload)
    used_s = time.process_time() - start
    if isinstance(outcome, Undecodable):
        check_reason(outcome)
    else:
        check_records(outcome)
    return used_s
