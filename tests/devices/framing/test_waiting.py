"""How long framings wait: for silence, for the rest of a frame, for a length that noise has promised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.framing import Frame, make_framer
from framing_kit import CRC_32, MODBUS_CRC, hear

SYNC = {"sync": "aa 55", "length_size": 2, "check": CRC_32}


def test_a_promised_length_holds_back_what_is_behind_it_for_a_time_only() -> None:
    """A device that speaks each second never falls silent: the false start must not wait for its 4,000 bytes."""
    framer = make_framer("length_prefixed", {**SYNC, "within": "10s"})
    frames = [framer.encode(b"%d" % number) for number in range(20)]
    framer.feed_bytes(b"\xaa\x55\x0f\xa0", 0.0)

    heard = [framer.feed_bytes(frame, 1.0 + number) for number, frame in enumerate(frames)]

    assert heard[:9] == [[]] * 9
    assert heard[9][0] == Frame(b"\xaa\x55\x0f\xa0", "unfinished", "it was not complete within 10 s")
    assert [frame.payload for frame in heard[9][1:]] == [b"%d" % number for number in range(10)]
    assert heard[10:] == [[Frame(b"%d" % number)] for number in range(10, 20)]


def test_what_has_begun_behind_it_is_kept() -> None:
    framer = make_framer("length_prefixed", {**SYNC, "within": "10s"})
    whole, half = framer.encode(b"whole"), framer.encode(b"half")
    framer.feed_bytes(b"\xaa\x55\x0f\xa0" + whole + half[:5], 0.0)
    framer.feed_bytes(half[5:6], 4.0)
    framer.feed_bytes(half[6:7], 8.0)

    assert framer.wakes_at_s == 10.0
    assert [frame.payload for frame in framer.tick(10.0)] == [b"\xaa\x55\x0f\xa0", b"whole"]
    assert framer.feed_bytes(half[7:], 11.0) == [Frame(b"half")]
    assert framer.wakes_at_s is None


def test_silence_ends_all_waiting() -> None:
    framer = make_framer("length_prefixed", SYNC)
    whole = framer.encode(b"whole")

    assert framer.feed_bytes(b"\xaa\x55\x0f\xa0" + whole, 0.0) == []
    assert framer.wakes_at_s == 5.0
    assert [frame.payload for frame in framer.tick(5.0)] == [b"\xaa\x55\x0f\xa0", b"whole"]


def test_a_slow_line_is_no_silence() -> None:
    """300 baud are 33 ms per byte."""
    framer = make_framer("ubx", {"give_up_after": "100ms"})
    frame = framer.encode(b"\x01\x07" + bytes(92))

    heard = hear(framer, [(frame[place : place + 1], place * 0.033) for place in range(len(frame))])

    assert heard == [Frame(b"\x01\x07" + bytes(92))]


def test_a_gap_ends_a_frame_and_nothing_else_does() -> None:
    framer = make_framer("idle_gap", {"gap": "20ms"})

    assert framer.feed_bytes(b"ab", 0.000) == []
    assert framer.feed_bytes(b"c", 0.019) == []
    assert framer.wakes_at_s == pytest.approx(0.039)
    assert framer.tick(0.038) == []
    assert framer.tick(0.040) == [Frame(b"abc")]
    assert framer.feed_bytes(b"d", 0.100) == []
    assert framer.feed_bytes(b"e", 0.200) == [Frame(b"d")]  # nobody had looked at the clock
    assert framer.reset() == 1


@given(
    payloads=st.lists(st.binary(min_size=2, max_size=30), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_frames_between_gaps_are_found_whatever_their_chunks(payloads: list[bytes], sizes: list[int]) -> None:
    framer = make_framer("idle_gap", {"gap": "20ms", "check": MODBUS_CRC})
    stream, now_s = [], 0.0
    for payload in payloads:
        frame = framer.encode(payload)
        size = sizes[len(payload) % len(sizes)]
        for place in range(0, len(frame), size):
            now_s += 0.005
            stream.append((frame[place : place + size], now_s))
        now_s += 0.03

    assert hear(framer, stream) == [Frame(payload) for payload in payloads]


def test_what_never_ends_is_told_once_with_its_beginning() -> None:
    framer = make_framer("idle_gap", {"max_length": 300})
    for number in range(100):
        assert framer.feed_bytes(b"x" * 100, number / 100) == []

    (frame,) = framer.tick(2.0)
    assert (frame.payload, frame.fault) == (b"x" * 256, "too_long")
    assert framer.skipped_bytes == 10_000 - 256
    framer.feed_bytes(b"short", 3.0)
    assert framer.tick(4.0) == [Frame(b"short")]


def test_crumbs_on_a_bus_are_noise() -> None:
    framer = make_framer("modbus_rtu")
    framer.feed_bytes(b"\x00", 0.0)

    assert framer.tick(1.0) == []
    assert framer.skipped_bytes == 1


def test_a_port_that_is_gone_takes_half_a_frame_with_it() -> None:
    """FAULTS.md, row 53: what comes from the next port does not belong to what was half read."""
    for framing, options in [("lines", {}), ("sml", {}), ("length_prefixed", SYNC), ("cobs", {}), ("idle_gap", {})]:
        framer = make_framer(framing, options)
        frame = framer.encode(b"12345678")
        half = frame[: len(frame) // 2]
        framer.feed_bytes(half, 0.0)

        assert framer.reset() == len(half)
        assert framer.wakes_at_s is None
        assert [*framer.feed_bytes(frame, 0.0), *framer.tick(60.0)] == [Frame(b"12345678")]
