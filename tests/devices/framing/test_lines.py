"""Lines: the framing of scales, readers and everything that prints what it measures."""

from __future__ import annotations

import pytest

from fieldgate_devices.framing import Frame, make_framer


def heard(stream: bytes, **options: object) -> list[Frame]:
    return make_framer("lines", options).feed_bytes(stream, 0.0)


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("any", [b"a", b"b", b"c", b"d"]),
        ("lf", [b"a", b"b\r", b"c\rd"]),
        ("cr", [b"a\nb", b"\nc"]),
        ("crlf", [b"a\nb", b"c\rd\n"]),
    ],
)
def test_a_line_ends_where_the_options_say(end: str, lines: list[bytes]) -> None:
    stream = b"a\nb\r\nc\rd\n" + (b"\r\n" if end == "crlf" else b"")

    assert [frame.payload for frame in heard(stream, end=end)] == lines


def test_an_empty_line_is_no_frame() -> None:
    assert heard(b"\n\r\n\r\r") == []
    assert heard(b"  \n \0\n", strip=True) == []
    assert heard(b" \n") == [Frame(b" ")]


def test_blanks_around_a_line_are_dropped_if_asked() -> None:
    assert heard(b"\0 12.5 kg \r\n", strip=True) == [Frame(b"12.5 kg")]


@pytest.mark.parametrize("end", ["any", "crlf"])
@pytest.mark.parametrize("chunk_size", [1, 3, 1000])
def test_a_line_that_is_too_long_is_told_once_and_passed_over(end: str, chunk_size: int) -> None:
    """A port at the wrong baud rate may never send an end."""
    framer = make_framer("lines", {"end": end, "max_length": 300})
    stream = b"x" * 5_000 + b"\r\n12\r\n" + b"y" * 300 + b"\r\n"
    frames = [
        frame
        for at in range(0, len(stream), chunk_size)
        for frame in framer.feed_bytes(stream[at : at + chunk_size], 0.0)
    ]

    assert frames == [
        Frame(b"x" * 256, "too_long", "more than 300 bytes (max_length); this is the beginning"),
        Frame(b"12"),
        Frame(b"y" * 300),
    ]
    assert framer.skipped_bytes == 5_000 - 256


def test_a_line_without_an_end_is_given_up_after_silence() -> None:
    framer = make_framer("lines", {"give_up_after": "2s"})
    framer.feed_bytes(b"12.", 10.0)
    framer.feed_bytes(b"5", 11.0)

    assert framer.wakes_at_s == 13.0
    assert framer.tick(12.9) == []
    assert framer.tick(13.0) == [Frame(b"12.5", "unfinished", "there was no end within 2 s after its last byte")]
    assert framer.wakes_at_s is None
    assert framer.feed_bytes(b"7\n", 14.0) == [Frame(b"7")]


def test_silence_counts_also_when_nobody_has_looked_at_the_clock() -> None:
    framer = make_framer("lines")
    framer.feed_bytes(b"half", 0.0)

    assert [frame.fault for frame in framer.feed_bytes(b"whole\n", 100.0)] == ["unfinished", ""]


def test_what_stands_before_the_first_end_can_be_dropped() -> None:
    """A port that is opened while a device prints begins in the middle of a line."""
    framer = make_framer("lines", {"skip_first": True})

    assert framer.feed_bytes(b"5 kg\n12.", 0.0) == []
    assert framer.feed_bytes(b"5 kg\n", 0.0) == [Frame(b"12.5 kg")]
    assert framer.skipped_bytes == 4
    framer.feed_bytes(b"13", 0.0)
    assert framer.reset() == 2
    assert framer.feed_bytes(b".1 kg\n13.2 kg\n", 0.0) == [Frame(b"13.2 kg")]


def test_a_line_may_bear_a_check() -> None:
    sentence = b"$GPGLL,4916.45,N,12311.12,W,225444,A"

    assert heard(sentence + b"*31\r\n", check="nmea") == [Frame(sentence)]
    assert heard(sentence + b"*31\r\n", check={"sum": "nmea", "keep": True}) == [Frame(sentence + b"*31")]
    (wrong,) = heard(sentence + b"*32\r\n", check="nmea")
    assert (wrong.payload, wrong.fault) == (sentence + b"*32", "checksum")
    assert wrong.detail == "check '*32' is wrong; '*31' is right for what came"
    assert heard(b"*3\n", check="nmea")[0].fault == "malformed"


def test_a_line_is_written_with_its_end() -> None:
    assert make_framer("lines").encode(b"READ?") == b"READ?\r\n"
    assert make_framer("lines", {"end": "cr"}).encode(b"READ?") == b"READ?\r"
    assert make_framer("lines", {"check": "nmea"}).encode(b"$PMTK605") == b"$PMTK605*31\r\n"


@pytest.mark.parametrize(
    ("payload", "options"),
    [
        (b"", {}),
        (b"  ", {"strip": True}),
        (b"a\nb", {}),
        (b"a\rb", {}),
        (b"a\r\nb", {"end": "crlf"}),
        (b"x" * 1025, {}),
        (b"$A*00", {"check": {"sum": "nmea", "keep": True}}),
    ],
)
def test_what_is_no_line_is_not_written(payload: bytes, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"empty|holds|at most|is right"):
        make_framer("lines", options).encode(payload)
