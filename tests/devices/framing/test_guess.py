"""What a port seems to speak: each framing is known by some of its frames, and noise is none."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoder_kit import NMEA, TELEGRAM
from fieldgate_devices.framing import make_framer
from fieldgate_devices.framing.guess import MAX_BYTES, guess
from framing_kit import MODBUS_CRC

ANY = [bytes(random.Random(7).randbytes(size)) for size in range(5, 25)]
UBX = b"\x01\x07" + bytes(92)
RTCM = bytes.fromhex("d300133ed7d30202980edeef34b4bd62ac0941986f33360b98")
FLAGS = {"start": "7e", "end": "7e", "escape": {"byte": "7d", "xor": "20"}}
WEIGHTS = [b"12.5 kg", b"13.0 kg", b"12.9 kg"]


def sent(framing: str, options: dict[str, Any], payloads: list[bytes]) -> bytes:
    framer = make_framer(framing, options)
    return b"".join(framer.encode(payload) for payload in payloads)


HEARD = [
    (b"4,M*00\r\n" + NMEA * 2, "nmea", {}, "NMEA 0183: 6 sentences, all checksums right", "nmea", True),
    (NMEA[:-6] + b"00\r\n", "nmea", {}, "NMEA 0183: 2 sentences, 1 of 3 wrong", "nmea", True),
    (sent("ubx", {}, [UBX] * 4), "ubx", {}, "UBX: 4 messages, all checksums right", None, True),
    (
        NMEA + sent("ubx", {}, [UBX]) + RTCM,
        "gnss",
        {},
        "GNSS: 3 of NMEA 0183, 1 of UBX, 1 of RTCM 3, all checksums right",
        None,
        True,
    ),
    (RTCM * 2, "gnss", {}, "RTCM 3: 2 messages, all checksums right", None, True),
    (TELEGRAM[500:] + TELEGRAM, "dsmr", {}, "DSMR/P1: 1 telegram, all checksums right", "dsmr", True),
    (b"/KMP5 KA\r\n\r\n1-0:1.8.1(1*kWh)\r\n!\r\n", "dsmr", {}, "DSMR/P1: 1 telegram, without checksums", "dsmr", True),
    (sent("sml", {}, [b"\x76" + bytes(40)] * 2), "sml", {}, "SML: 2 files, all checksums right", "sml", True),
    (
        sent("sml", {"crc": "kermit"}, [b"\x76\x05"]),
        "sml",
        {"crc": "kermit"},
        "SML: 1 file, all checksums right",
        "sml",
        True,
    ),
    (sent("mbus", {}, [b"\x08\x02\x72"] * 2), "mbus", {}, "M-Bus: 2 long frames, all checksums right", None, True),
    (
        sent("wmbus", {}, [b"\x0b\x44" + bytes(10)] * 2),
        "wmbus",
        {"format": "a"},
        "wireless M-Bus, format A: 2 telegrams, all checksums right",
        None,
        True,
    ),
    (sent("slip", {}, ANY), "slip", {}, "SLIP: 20 frames", None, False),
    (
        sent("slip", {"check": "CRC-16/XMODEM"}, ANY),
        "slip",
        {"check": {"crc": "CRC-16/XMODEM"}},
        "SLIP: 20 frames, each with CRC-16/XMODEM at the end",
        None,
        True,
    ),
    (sent("cobs", {}, ANY)[3:], "cobs", {}, "COBS: 19 frames", None, False),
    (
        sent("cobs", {"check": MODBUS_CRC}, ANY),
        "cobs",
        {"check": MODBUS_CRC},
        "COBS: 19 frames, each with CRC-16/MODBUS, low byte first at the end",
        None,
        True,
    ),
    (
        sent("start_end", {**FLAGS, "check": "inv8"}, ANY),
        "start_end",
        {**FLAGS, "check": {"sum": "inv8"}},
        "HDLC flags: 20 frames, each with the inverted sum of all bytes at the end",
        None,
        True,
    ),
    (
        sent("start_end", {"start": "02", "end": "03"}, WEIGHTS),
        "start_end",
        {"start": "02", "end": "03"},
        "STX … ETX: 3 frames",
        "csv",
        False,
    ),
    (b" kg\r\n12.5 kg\r\n13.0 kg\r\n12", "lines", {}, "text: 3 lines, such as '12.5 kg'", "csv", False),
    (b'{"t":1}\n{"t":2}\n', "lines", {}, "text: 2 lines, such as '{\"t\":2}'", "json", False),
    (b"ready\r\n", "lines", {}, "text: 1 line, such as 'ready'", "value", False),
]


@pytest.mark.parametrize(
    ("heard", "framing", "options", "says", "decoder", "is_sure"), HEARD, ids=[one[3][:40] for one in HEARD]
)
def test_a_framing_is_known_by_its_frames(
    heard: bytes, framing: str, options: dict[str, Any], says: str, decoder: str | None, is_sure: bool
) -> None:
    best = guess(heard)[0]

    assert (best.framing, best.options, best.says, best.decoder) == (framing, options, says, decoder)
    assert best.is_sure == is_sure
    assert 0.5 < best.share <= 1


@pytest.mark.parametrize(("heard", "framing", "options"), [one[:3] for one in HEARD])
def test_what_is_guessed_can_be_configured(heard: bytes, framing: str, options: dict[str, Any]) -> None:
    framer = make_framer(framing, options)

    assert any(not frame.fault for frame in [*framer.feed_bytes(heard, 0.0), *framer.tick(60.0)])


@pytest.mark.parametrize("size", [0, 1, 300, 4_000, 70_000])
def test_noise_speaks_nothing(size: int) -> None:
    """What comes at a wrong baud rate must not be called a framing."""
    for seed in range(5):
        assert guess(random.Random(seed).randbytes(size)) == []


@pytest.mark.parametrize("byte", [0x00, 0xFF, 0xC0, 0x7E, 0x68, 0x1B, 0x24])
def test_one_byte_again_and_again_speaks_nothing(byte: int) -> None:
    assert guess(bytes([byte]) * 5_000) == []


def test_only_the_last_bytes_are_looked_at() -> None:
    heard = NMEA * (2 * MAX_BYTES // len(NMEA))

    assert guess(heard) == guess(heard[-MAX_BYTES:])


@given(st.binary(max_size=300))
def test_any_bytes_can_be_asked_about(heard: bytes) -> None:
    for one in guess(heard):
        assert one.frames > 0
        assert one.says
