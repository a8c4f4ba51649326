"""What cannot be sent is refused, and so are options that contradict themselves; rare options do what they say."""

from __future__ import annotations

from typing import Any

import pytest

from decoder_kit import TELEGRAM
from fieldgate_devices.framing import Frame, make_framer

FLAGS = {"start": "7e", "end": "7e"}
XOR = {"start": "02", "end": "03", "escape": {"byte": "10", "xor": "20"}}
DLE = {"start": "10 02", "end": "10 03", "escape": {"byte": "10"}}
FIXED = {"sync": "42 4d", "size": 6, "check": "sum8"}
SYNC = {"sync": "aa 55", "check": "sum8"}


@pytest.mark.parametrize(
    ("framing", "options", "payload", "said"),
    [
        ("cobs", {"max_length": 8}, bytes(20), "the frame has 21 bytes; 8 at most"),
        ("slip", {}, b"", "an empty payload is no frame"),
        ("slip", {"max_length": 8}, b"\xc0" * 5, "the frame has 10 bytes; 8 at most"),
        ("sml", {"max_length": 32}, bytes(20), "the frame has 36 bytes; 32 at most"),
        ("ubx", {}, b"\x01", "a payload is a class, an id and what belongs to them"),
        ("ubx", {"max_length": 8}, bytes(4), "the frame has 10 bytes; 8 at most"),
        ("gnss", {}, b"\xb5\x62\x05\x01\x02\x00\x06\x01\x0f\x39", "check 0f 39 is wrong; 0f 38 is right"),
        ("gnss", {}, b"AT+CGPS", "the payload makes no frame"),
        ("nmea", {}, b"$GPGGA,1*00", r"check '\*00' is wrong; '\*4B' is right"),
        ("dsmr", {}, TELEGRAM[:-8] + b"!0000\r\n", "checksum 0000 is wrong"),
        ("dsmr", {}, TELEGRAM * 2, "the payload makes no frame"),
        ("mbus", {}, b"\x08\x02", "a payload of 2 bytes; allowed: 3"),
        ("mbus", {}, bytes(256), "a payload of 256 bytes; allowed: 3"),
        ("wmbus", {}, b"\x0a\x44" + bytes(10), "the first byte of a telegram is the number of those that follow"),
        ("wmbus", {}, b"\x0b\x99" + bytes(10), "the payload makes no frame"),
        ("wmbus", {"format": "b"}, b"\xff\x44" + bytes(254), "a telegram of 256 bytes is too long for format B"),
        ("modbus_rtu", {}, b"\x01", "the frame has 3 bytes; allowed: 4 .* to 256"),
        ("idle_gap", {"max_length": 8}, bytes(9), "the frame has 9 bytes; allowed: 1 .* to 8"),
        ("fixed", FIXED, b"1234", "the frame would have 7 bytes; all have 6"),
        ("fixed", {**FIXED, "payload": "frame"}, b"BM1234", "check 34 is wrong; 96 is right"),
        ("fixed", {**FIXED, "payload": "frame"}, b"XM1234", "the payload makes no frame"),
        ("length_prefixed", SYNC, bytes(300), "a payload of 300 bytes has a length that does not fit"),
        ("length_prefixed", {**SYNC, "max_length": 8}, bytes(5), "a length of 5 makes a frame of 9 bytes; 8 at most"),
        ("length_prefixed", {**SYNC, "header": 5}, b"1", "the header holds more than sync word and length"),
        ("length_prefixed", {**SYNC, "payload": "body"}, b"\x021", "the payload makes half a frame"),
        ("start_end", {"start": "02", "end": "03"}, b"a\x03b", "the payload makes no frame"),
        ("start_end", {"start": "02", "end": "03"}, b"a\x02b", "another frame begins before this one has ended"),
        ("start_end", {**XOR, "max_length": 8}, b"\x02" * 5, "there is no end within 8 bytes"),
        ("start_end", FLAGS, b"", "the frame would have 0 bytes; allowed: 1 to 4096"),
        ("start_end", FLAGS, b"a~b", "the payload holds the start or the end, and nothing escapes it"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(framing: str, options: dict[str, Any], payload: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_framer(framing, options).encode(payload)


@pytest.mark.parametrize(
    ("framing", "options", "said"),
    [
        ("fixed", {"sync": "42 4d", "size": 3, "check": "sum8"}, "3 bytes hold nothing; 4 at least"),
        ("fixed", {"sync": "4", "size": 3}, "'4' is no bytes; write them in hexadecimal"),
        ("length_prefixed", {"sync": "aa 55", "length_at": 1}, "1 is within the sync word; 2 at least"),
        ("length_prefixed", {"sync": "aa 55", "header": 2}, "2 bytes do not hold the length; 3 at least"),
        ("start_end", {"start": "7e 7e", "end": "7e 7e"}, "start and end are the same, which must be one byte then"),
        ("start_end", {**FLAGS, "payload": "frame"}, "'frame' has no meaning where one byte stands between frames"),
        (
            "start_end",
            {**XOR, "payload": "frame", "check": {"sum": "sum8", "keep": True}},
            "the check is in the payload",
        ),
        ("start_end", {"start": "02", "end": "10 03", "escape": {"byte": "10"}}, "begins the start"),
        ("start_end", {"start": "10 03", "end": "10 03 ", "escape": {"byte": "10"}}, "must be one byte"),
        ("start_end", {"start": "10 10", "end": "10 03", "escape": {"byte": "10"}}, "must differ"),
        ("start_end", {"start": "02 02", "end": "03", "escape": XOR["escape"]}, "one byte each"),
        ("start_end", {"start": "02", "end": "30", "escape": {"byte": "10", "xor": "20"}}, "would be written as 30"),
        ("start_end", {**XOR, "escape": {"byte": "10 11"}}, "byte: '10 11' is not one byte"),
    ],
)
def test_options_that_contradict_themselves_are_refused(framing: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_framer(framing, options)


@pytest.mark.parametrize(
    ("framing", "options", "frame", "payload"),
    [
        ("fixed", {**FIXED, "payload": "frame"}, "42 4d 31 32 33 96", "42 4d 31 32 33 96"),
        ("fixed", {**FIXED, "check": {"sum": "sum8", "keep": True}}, "42 4d 31 32 33 96", "31 32 33 96"),
        ("length_prefixed", {**SYNC, "payload": "frame"}, "aa 55 01 31 32", "aa 55 01 31 32"),
        ("length_prefixed", {**SYNC, "check": {"sum": "sum8", "keep": True}}, "aa 55 01 31 32", "31 32"),
        ("length_prefixed", {**SYNC, "counts": "rest", "adjust": 1}, "aa 55 01 31 32", "31"),
        ("start_end", {**XOR, "payload": "frame"}, "02 31 10 23 03", "02 31 10 23 03"),
        ("start_end", {**XOR, "check": {"sum": "sum8", "over": "frame"}}, "02 31 33 03", "31"),
        ("start_end", {**DLE, "check": {"sum": "sum8", "keep": True}}, "10 02 31 31 10 03", "31 31"),
        ("wmbus", {"format": "b"}, None, "ef44" + "00" * 238),
    ],
)
def test_less_common_options_do_what_they_say(
    framing: str, options: dict[str, Any], frame: str | None, payload: str
) -> None:
    framer = make_framer(framing, options)
    written = framer.encode(bytes.fromhex(payload))

    assert frame is None or written == bytes.fromhex(frame)
    assert framer.feed_bytes(written, 0.0) == [Frame(bytes.fromhex(payload))]


@pytest.mark.parametrize(
    ("framing", "options", "heard", "fault", "detail"),
    [
        ("length_prefixed", {**SYNC, "counts": "frame"}, "aa 55 02", "malformed", "a frame of 2 bytes; 4 at least"),
        ("length_prefixed", {**SYNC, "end": "0d"}, "aa 55 01 31 32 0a", "malformed", "there is no 0d at the end"),
        ("start_end", DLE, "10 02 31 10 41 10 03", "malformed", "what is escaped is neither an end nor an escape"),
        ("start_end", {**XOR, "max_length": 8}, "02" + "31" * 8, "too_long", "there is no end within 8 bytes"),
        ("start_end", {**XOR, "check": "CRC-32"}, "02 31 03", "malformed", "1 bytes are too few to hold the check"),
        ("start_end", {**FLAGS, "escape": XOR["escape"]}, "7e 31 10 7e", "malformed", "nothing behind the last escape"),
        ("lines", {"max_length": 8}, "31" * 9 + "0a", "too_long", "more than 8 bytes"),
        ("mbus", {}, "68 03 03 68 01 02 03 06 17", "malformed", "there is no 16 at the end"),
        ("ubx", {"max_length": 64}, "b5 62 01 07 ff 00", "too_long", "a frame of 263 bytes; 64 at most"),
        ("wmbus", {}, "0f44ae0c785634120107 4447 780b13436587 1e6e", "checksum", "1e 6d is right for block 2"),
        ("sml", {}, "1b1b1b1b01010101 00 1b1b1b1b 1a09 103f", "malformed", "9 bytes at the end"),
        ("dsmr", {}, "2f4953 4b35 0d0a 21 5a0d0a", "malformed", "what follows '!' is no checksum"),
        ("dsmr", {"max_length": 16}, "2f49534b35" + "31" * 20, "too_long", "there is no end within 16 bytes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(framing: str, options: dict[str, Any], heard: str, fault: str, detail: str) -> None:
    framer = make_framer(framing, options)
    frames = [*framer.feed_bytes(bytes.fromhex(heard), 0.0), *framer.tick(60.0)]

    assert frames[0].fault == fault
    assert detail in frames[0].detail


def test_silence_ends_what_was_too_long() -> None:
    """What comes after it is another line, and not the rest of that one."""
    framer = make_framer("lines", {"max_length": 8})
    framer.feed_bytes(b"x" * 20, 0.0)

    assert framer.wakes_at_s == 5.0
    assert framer.tick(5.0) == []
    assert framer.skipped_bytes == 12
    assert framer.feed_bytes(b"12.5\n", 6.0) == [Frame(b"12.5")]
