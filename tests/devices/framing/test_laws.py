"""The laws of all framings: one suite, run against each of them.

Any bytes, in any chunks: nothing is raised, what is kept is bounded, the same frames come of the same bytes, no frame
is made up that its check would have caught, and behind noise the next frames are found.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fieldgate_devices.framing import framing_names
from framing_kit import CASES, NAMES, Case, case_named
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

CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)
SAME_CASE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=15,
    phases=[Phase.explicit, Phase.generate],  # to make a failure smaller would take minutes
)
WITHOUT_CHECK = {"lines", "lines crlf", "cobs", "slip", "stx"}
FEW_BITS = {"lines nmea"}  # its check is eight bits, and what it does not cover can become part of it


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_named(request.param)


@st.composite
def noises(draw: st.DrawFn, case: Case) -> bytes:
    """Random bytes, beginnings that promise much, halves of frames, frames with a changed byte."""
    framer = case.framer()
    parts: list[bytes] = []
    for kind in draw(st.lists(st.sampled_from(["bytes", "trap", "half", "spoilt"]), max_size=5)):
        frame = bytearray(framer.encode(draw(case.payloads)))
        place = draw(st.integers(0, len(frame) - 1))
        if kind == "bytes":
            parts.append(draw(st.binary(max_size=40)))
        elif kind == "trap":
            parts.append(case.trap * draw(st.integers(1, 4)))
        elif kind == "half":
            parts.append(bytes(frame[:place]))
        else:
            frame[place] ^= draw(st.integers(1, 255))
            parts.append(bytes(frame))
    return b"".join(parts)


@st.composite
def streams(draw: st.DrawFn, case: Case) -> bytes:
    """Frames and noise, one after the other."""
    parts = st.one_of(noises(case), case.payloads.map(lambda payload: sent(case, [payload])))
    return b"".join(draw(st.lists(parts, max_size=5)))


def test_every_framing_is_held_to_the_laws() -> None:
    assert {case.framing for case in CASES} == set(framing_names())


@SAME_CASE
@given(data=st.data())
def test_what_is_sent_is_heard_and_nothing_else(case: Case, data: Any) -> None:
    check_round_trip(case, data.draw(st.lists(case.payloads, max_size=5)))


@SAME_CASE
@given(data=st.data(), cuts=CUTS)
def test_any_chunks_give_the_same_frames(case: Case, data: Any, cuts: list[int]) -> None:
    check_chunks(case, data.draw(streams(case)), cuts)


@SAME_CASE
@given(data=st.data())
def test_no_frame_is_made_up_and_no_byte_is_told_twice(case: Case, data: Any) -> None:
    stream = data.draw(streams(case))

    check_no_invention(case, stream)
    check_accounts(case, stream)


@SAME_CASE
@given(data=st.data())
def test_frames_behind_noise_are_found(case: Case, data: Any) -> None:
    payloads = data.draw(st.lists(case.payloads, min_size=1, max_size=3))
    check_resynchronises(case, data.draw(noises(case)), payloads)


@SAME_CASE
@given(data=st.data(), place=st.integers(0, 1 << 16), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(case: Case, data: Any, place: int, change: int) -> None:
    if case.name in WITHOUT_CHECK | FEW_BITS:
        return
    check_spoilt_byte(case, data.draw(case.payloads), place, change)


@SAME_CASE
@given(data=st.data(), size=st.integers(0, 1 << 16))
def test_a_frame_that_is_never_finished_is_given_up(case: Case, data: Any, size: int) -> None:
    check_half_frame(case, data.draw(case.payloads), size)


@pytest.mark.parametrize("piece", ["trap", "zeros", "ones", "frame without its end"])
def test_what_is_kept_is_bounded(case: Case, piece: str) -> None:
    frame = case.framer().encode(b"$GPTXT,1*00") if case.framing in {"lines", "slip", "cobs"} else b"\x68"
    one = {"trap": case.trap or b"x", "zeros": b"\0", "ones": b"\xff", "frame without its end": frame[:-2] or b"h"}[
        piece
    ]
    stream = one * (3 * case.longest // len(one) + 1)

    check_bound(case, [stream[place : place + 1000] for place in range(0, len(stream), 1000)])
