"""What breaks a law is noticed: for each of them a framer that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fieldgate_devices.framing import Frame, Framer, make_framer
from fieldgate_devices.framing.checks import Sum
from fieldgate_devices.framing.length_prefixed import LengthPrefixedFramer, LengthPrefixedOptions
from fieldgate_devices.framing.lines import LinesFramer, LinesOptions
from fieldgate_devices.framing.scanner import Broken, Verdict
from framing_kit import CASES, CRC_32, Case, case_named
from framing_laws import (
    check_accounts,
    check_bound,
    check_chunks,
    check_half_frame,
    check_no_invention,
    check_resynchronises,
    check_round_trip,
    check_spoilt_byte,
    sent,
)

SYNC = LengthPrefixedOptions.model_validate({"sync": "aa 55", "check": CRC_32})
WIDE = LengthPrefixedOptions.model_validate(
    {"sync": "7e", "length_size": 2, "check": {"sum": "fletcher8"}, "max_length": 1 << 16}
)


class _Forgets(LinesFramer):
    """Begins anew with every chunk."""

    def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
        self.reset()
        return super().feed_bytes(chunk, now_s)


class _NeverGivesUp(LinesFramer):
    def tick(self, now_s: float) -> list[Frame]:
        return []


class _TakesTwice(LinesFramer):
    def frame_of(self, piece: bytes) -> Frame | None:
        self.skipped_bytes += len(piece)
        return super().frame_of(piece)


class _BelievesLengths(LengthPrefixedFramer):
    """Goes on behind what has failed, however much that promised to be."""

    _until = 0

    def find(self, buffer: bytearray, start: int) -> int:
        return super().find(buffer, max(start, min(len(buffer), self._until - self.origin)))

    def _judge(self, buffer: bytearray, at: int) -> Verdict:
        verdict = super()._judge(buffer, at)
        if isinstance(verdict, Broken):
            self._until = self.origin + at + verdict.size
        return verdict


class _SumsAnew(LengthPrefixedFramer):
    """Computes each check from its beginning."""

    def sum_over(self, kind: Sum, start: int, end: int) -> int:
        return kind.grown(kind.empty, bytes(self._buffer[start:end]))


def mutant(name: str, make: Callable[[], Framer]) -> Case:
    return replace(case_named(name), make=make)


def fails(check: Callable[..., None], *given: Any) -> None:
    with pytest.raises(AssertionError):
        check(*given)


def test_a_framer_that_forgets_breaks_the_law_of_chunks() -> None:
    fails(check_chunks, mutant("lines", lambda: _Forgets(LinesOptions())), b"12.5\n", [2])


def test_a_framer_without_its_check_breaks_the_laws_of_noise() -> None:
    unchecked = mutant("sync", lambda: make_framer("length_prefixed", {"sync": "aa 55"}))
    checked = case_named("sync")
    stream = sent(checked, [b"12.5", b"13.5"]).replace(b"12", b"92")
    frame = checked.framer().encode(b"12.5")

    class Claims(LengthPrefixedFramer):
        """Would send a check, and looks at none."""

        def encode(self, payload: bytes) -> bytes:
            return checked.framer().encode(payload)

        def feed_bytes(self, chunk: bytes, now_s: float) -> list[Frame]:
            return [Frame(frame.payload[:4], "") for frame in super().feed_bytes(chunk, now_s)]

    claims = mutant("sync", lambda: Claims(SYNC))
    fails(check_no_invention, claims, stream)
    fails(check_spoilt_byte, claims, b"12.5", len(frame) - 5, 1)
    fails(check_spoilt_byte, unchecked, b"12.5", 4, 1)


def test_a_framer_that_believes_every_length_breaks_the_law_of_resynchronising() -> None:
    believes = mutant("sync", lambda: _BelievesLengths(SYNC))

    check_round_trip(believes, [b"1", b"2"])
    fails(check_resynchronises, believes, b"\xaa\x55\x10", [b"1" * 10, b"2" * 10])
    check_resynchronises(case_named("sync"), b"\xaa\x55\x10", [b"1" * 10, b"2" * 10])


def test_a_framer_that_keeps_all_breaks_the_law_of_bounds() -> None:
    fails(check_bound, mutant("lines", lambda: LinesFramer(LinesOptions(max_length=1 << 20))), [b"x" * 1000] * 4)


def test_a_framer_that_counts_twice_breaks_the_law_of_accounts() -> None:
    counts = mutant("lines crlf", lambda: _TakesTwice(LinesOptions(end="crlf")))

    fails(check_accounts, counts, b"1\r\n" * 3)
    fails(check_round_trip, counts, [b"1"])


def test_a_framer_that_never_gives_up_breaks_the_law_of_half_frames() -> None:
    fails(check_half_frame, mutant("lines", lambda: _NeverGivesUp(LinesOptions())), b"12.5", 3)


def work_of(framer: LengthPrefixedFramer, stream: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes go through sums, and how many places are looked at."""
    assert framer._check is not None
    summed = framer._check.sum
    grown, judge = summed.grown, framer._judge
    work = 0

    def count_grown(value: int, more: bytes) -> int:
        nonlocal work
        work += len(more)
        return grown(value, more)

    def count_judge(buffer: bytearray, at: int) -> Verdict:
        nonlocal work
        work += 1
        return judge(buffer, at)

    monkeypatch.setattr(summed, "grown", count_grown)
    monkeypatch.setattr(framer, "_judge", count_judge)
    for place in range(0, len(stream), 1000):
        framer.feed_bytes(stream[place : place + 1000], 0.0)
    framer.tick(3600.0)
    return work


def test_hostile_lengths_cost_what_their_bytes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third byte begins a frame of 4 KiB: each is looked at, and none is summed up from its beginning."""
    stream = b"\x7e\x10\x00" * 20_000

    linear = work_of(LengthPrefixedFramer(WIDE), stream, monkeypatch)
    square = work_of(_SumsAnew(WIDE), stream[:9_000], monkeypatch)

    assert linear < 64 * len(stream)
    assert square > 400 * 9_000


@pytest.mark.parametrize("case", [case for case in CASES if case.trap], ids=lambda case: case.name)
def test_no_place_is_looked_at_more_often_than_there_are_bytes_and_chunks(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    framer: Any = case.framer()
    looks = 0
    look = framer.look

    def count(buffer: bytearray, at: int) -> Verdict:
        nonlocal looks
        looks += 1
        verdict: Verdict = look(buffer, at)
        return verdict

    monkeypatch.setattr(framer, "look", count)
    stream = case.trap * (60_000 // len(case.trap))
    chunks = 0
    for place in range(0, len(stream), 100):
        framer.feed_bytes(stream[place : place + 100], 0.0)
        chunks += 1
    framer.tick(3600.0)

    assert looks <= len(stream) + chunks


DLE = {"start": "10 02", "end": "10 03", "escape": {"byte": "10"}, "check": CRC_32, "max_length": 1 << 16}


def opened_bytes(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes are unescaped and checked."""
    framer: Any = make_framer("start_end", DLE)
    opened = 0
    open_ = framer.open

    def count(buffer: bytearray, at: int, end: int) -> Verdict:
        nonlocal opened
        opened += end - at
        verdict: Verdict = open_(buffer, at, end)
        return verdict

    monkeypatch.setattr(framer, "open", count)
    framer.feed_bytes(stream, 0.0)
    return opened


def test_hostile_escapes_cost_what_their_bytes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each third byte of what is escaped looks like a start once the frame has failed."""
    stream = b"\x10\x02" + b"\x10\x10\x02" * 2_000 + b"\x10\x03"

    assert opened_bytes(stream, monkeypatch) < 20 * len(stream)
    monkeypatch.setattr("fieldgate_devices.framing.enclosed._MAX_TRIES", 1 << 30)
    assert opened_bytes(stream, monkeypatch) > 400 * len(stream)
