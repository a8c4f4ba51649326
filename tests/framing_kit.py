"""For tests of framings: each of them as someone would configure it, and what a port would make of a stream.

The laws that hold for all are in ``framing_laws.py``, run by ``devices/framing/test_laws.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from decoder_kit import TELEGRAM
from fieldgate_devices.decoders.dsmr import crc16
from fieldgate_devices.framing import Frame, Framer, make_framer

Options = Mapping[str, object]

BYTES = st.binary(min_size=1, max_size=60)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40).map(str.encode)
WORDS = st.text(st.characters(min_codepoint=0x30, max_codepoint=0x39), max_size=20).map(str.encode)
MODBUS_CRC = {"crc": "CRC-16/MODBUS", "order": "little"}
CRC_32 = {"crc": "CRC-32/ISO-HDLC"}


def _as_sent(framer: Framer, payload: bytes) -> bytes:
    return framer.encode(payload)


def _as_it_is(framer: Framer, payload: bytes) -> bytes:
    return payload


def _with_length(payload: bytes) -> bytes:
    return bytes([len(payload)]) + payload


@dataclass(frozen=True)
class Case:
    """One framing. ``payloads``: what its frames may carry. ``trap``: a beginning that promises much.

    ``finds_next``: the frame directly behind noise is found; else noise may spoil one. ``end``: what of a frame's end
    may be missing. ``sent_as``: what of a frame stands in the stream whatever else is there. ``longest``: what a frame
    may have at most.
    """

    name: str
    framing: str
    options: Options = field(default_factory=dict)
    payloads: st.SearchStrategy[bytes] = BYTES
    trap: bytes = b""
    finds_next: bool = True
    end: int = 0
    longest: int = 4096
    sent_as: Callable[[Framer, bytes], bytes] = _as_sent
    gap_s: float = 0.0
    make: Callable[[], Framer] | None = None

    def framer(self) -> Framer:
        return self.make() if self.make is not None else make_framer(self.framing, self.options)


def _sentence(text: bytes) -> bytes:
    return make_framer("nmea").encode(b"$GPTXT," + text)[:-2]


def _telegram(digits: bytes) -> bytes:
    covered = b"/ISk5\\2MT382-1000\r\n\r\n1-0:1.8.1(" + digits + b"*kWh)\r\n!"
    return covered + b"%04X\r\n" % crc16(covered)


def _xored(framer: Framer, payload: bytes) -> bytes:
    """What is escaped without need means the same: only the way back is one."""
    return b""


UBX = WORDS.map(lambda text: b"\x01\x07" + text)
TELEGRAMS = WORDS.map(_telegram) | st.just(TELEGRAM)
WMBUS = st.binary(min_size=9, max_size=60).map(lambda rest: _with_length(b"\x44" + rest))
GNSS = st.one_of(
    WORDS.map(_sentence),
    UBX.map(lambda payload: make_framer("ubx").encode(payload)),
    st.sampled_from([bytes.fromhex("d300133ed7d30202980edeef34b4bd62ac0941986f33360b98")]),
)

CASES = [
    Case("lines", "lines", {}, TEXTS, finds_next=False, end=1, longest=1024, sent_as=_as_it_is),
    Case("lines crlf", "lines", {"end": "crlf"}, TEXTS, finds_next=False, longest=1024),
    Case("lines check", "lines", {"end": "cr", "check": {**CRC_32, "form": "hex"}}, TEXTS, finds_next=False),
    Case("lines nmea", "lines", {"check": "nmea"}, TEXTS, finds_next=False, end=1, sent_as=_as_it_is),
    Case("cobs", "cobs", finds_next=False),
    Case("cobs check", "cobs", {"check": MODBUS_CRC, "reduced": True}, finds_next=False, sent_as=_xored),
    Case("slip", "slip", {"max_length": 512}, longest=512, sent_as=lambda framer, one: framer.encode(one)[1:-1]),
    Case("slip check", "slip", {"check": "CRC-16/X-25"}, sent_as=lambda framer, one: framer.encode(one)[1:-1]),
    Case("sync", "length_prefixed", {"sync": "aa 55", "check": CRC_32}, trap=b"\xaa\x55\xff"),
    Case(
        "sync wide",
        "length_prefixed",
        {"sync": "7e", "length_size": 2, "order": "little", "counts": "frame", "check": MODBUS_CRC, "end": "0d 0a"},
        trap=b"\x7e\x00\x0f",
    ),
    Case(
        "sync rest",
        "length_prefixed",
        {"sync": "a5", "length_at": 3, "counts": "rest", "check": {"sum": "sum16", "over": "frame"}, "payload": "body"},
        WORDS.map(lambda text: b"\x01\x02" + bytes([len(text) + 2]) + text),
        trap=b"\xa5\x01\x02\xf0",
    ),
    Case("no sync", "length_prefixed", {"check": {**CRC_32, "over": "frame"}}, trap=b"\xf0\xf0"),
    Case(
        "fixed",
        "fixed",
        {"sync": "42 4d", "size": 20, "check": {"crc": "CRC-32/ISO-HDLC", "over": "frame"}},
        st.binary(min_size=14, max_size=14),
        trap=b"\x42\x4d",
        longest=20,
    ),
    Case("stx", "start_end", {"start": "02", "end": "03"}, TEXTS, trap=b"\x02"),
    Case(
        "two bytes",
        "start_end",
        {"start": "3c 3c", "end": "3e 3e", "check": {**CRC_32, "form": "hex"}},
        WORDS,
        trap=b"<<",
        sent_as=_as_it_is,
    ),
    Case(
        "xor",
        "start_end",
        {"start": "02", "end": "03", "escape": {"byte": "10", "xor": "20"}, "check": MODBUS_CRC},
        trap=b"\x02",
        sent_as=_xored,
    ),
    Case(
        "flags",
        "start_end",
        {"start": "7e", "end": "7e", "escape": {"byte": "7d", "xor": "20"}, "check": MODBUS_CRC},
        sent_as=_xored,
    ),
    Case(
        "dle",
        "start_end",
        {"start": "10 02", "end": "10 03", "escape": {"byte": "10"}, "check": {**CRC_32, "over": "frame"}},
        trap=b"\x10\x02\x10\x10\x02",
    ),
    Case(
        "garmin",
        "start_end",
        {"start": "10", "end": "10 03", "escape": {"byte": "10"}, "check": {"sum": "lrc8"}},
        WORDS,
        trap=b"\x10",
    ),
    Case("sml", "sml", {}, trap=bytes.fromhex("1b1b1b1b01010101"), longest=8192),
    Case("idle gap", "idle_gap", {"check": CRC_32}, gap_s=1.0, sent_as=_as_it_is),
    Case("modbus", "modbus_rtu", {}, st.binary(min_size=2, max_size=60), gap_s=1.0, longest=256),
    Case("dsmr", "dsmr", {}, TELEGRAMS, trap=b"/ISk5", longest=16_384),
    Case("nmea", "nmea", {}, WORDS.map(_sentence), end=1, trap=b"$G", sent_as=_as_it_is),
    Case("ubx", "ubx", {}, UBX, trap=bytes.fromhex("b562 0107 ff1f"), longest=8192),
    Case("gnss", "gnss", {}, GNSS, end=1, trap=bytes.fromhex("b562 0107 ff1f d303ff"), longest=8192, sent_as=_as_it_is),
    Case("mbus", "mbus", {}, st.binary(min_size=3, max_size=60), trap=b"\x68\xf0\xf0\x68", longest=261),
    Case("wmbus a", "wmbus", {}, WMBUS, trap=b"\xff\x44", longest=300),
    Case("wmbus b", "wmbus", {"format": "b"}, WMBUS, trap=b"\xff\x44", longest=300),
]
NAMES = [case.name for case in CASES]


def case_named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def hear(framer: Framer, stream: Iterable[tuple[bytes, float]]) -> list[Frame]:
    """What comes of chunks, each read at its time; then nothing more comes for an hour."""
    frames: list[Frame] = []
    now_s = 0.0
    for chunk, now_s in stream:
        if framer.wakes_at_s is not None and framer.wakes_at_s <= now_s:
            frames += framer.tick(framer.wakes_at_s)
        frames += framer.feed_bytes(chunk, now_s)
    return frames + framer.tick(now_s + 3600)


def spaced(pieces: Sequence[bytes], gap_s: float) -> list[tuple[bytes, float]]:
    """Each piece at its time."""
    return [(piece, number * gap_s) for number, piece in enumerate(pieces)]


def cut(stream: bytes, cuts: Sequence[int]) -> list[tuple[bytes, float]]:
    """The stream in chunks; ``cuts`` are places modulo its length."""
    places = sorted({place % (len(stream) + 1) for place in cuts})
    return [(stream[a:b], 0.0) for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def payloads_of(frames: Iterable[Frame]) -> list[bytes]:
    """The payloads of intact frames."""
    return [frame.payload for frame in frames if not frame.fault]


def kept_bytes(framer: Framer) -> int:
    """What a framer has heard and not forgotten."""
    return sum(len(one) for one in vars(framer).values() if isinstance(one, bytearray))


def contains_in_order(whole: Sequence[bytes], part: Sequence[bytes]) -> bool:
    """Whether ``part`` is what is left of ``whole`` without some."""
    there = iter(whole)
    return all(any(one == other for other in there) for one in part)
