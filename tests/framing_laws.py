"""The laws of framings as checks, so that tests can hold framers and mutants against them."""

from __future__ import annotations

from collections.abc import Sequence

from framing_kit import Case, contains_in_order, cut, hear, kept_bytes, payloads_of, spaced


def sent(case: Case, payloads: Sequence[bytes]) -> bytes:
    """The payloads as one stream."""
    framer = case.framer()
    return b"".join(framer.encode(payload) for payload in payloads)


def check_round_trip(case: Case, payloads: Sequence[bytes]) -> None:
    """What is sent is heard, in order, and nothing else is."""
    framer = case.framer()
    heard = hear(framer, spaced([framer.encode(payload) for payload in payloads], case.gap_s))

    assert [(frame.payload, frame.fault) for frame in heard] == [(payload, "") for payload in payloads]
    assert framer.skipped_bytes == 0
    assert framer.wakes_at_s is None
    assert framer.reset() == 0


def check_chunks(case: Case, stream: bytes, cuts: Sequence[int]) -> None:
    """The same bytes give the same frames, whatever their chunks."""
    whole, split, single = case.framer(), case.framer(), case.framer()

    expected = hear(whole, [(stream, 0.0)])

    assert hear(split, cut(stream, cuts)) == expected
    assert hear(single, [(stream[place : place + 1], 0.0) for place in range(len(stream))]) == expected
    assert whole.skipped_bytes == split.skipped_bytes == single.skipped_bytes


def check_accounts(case: Case, stream: bytes) -> None:
    """No byte is told or counted twice, and what is told of a broken frame is what came."""
    framer = case.framer()
    frames = hear(framer, [(stream, 0.0)])
    broken = sum(len(frame.payload) for frame in frames if frame.fault)
    intact = sum(len(case.sent_as(framer, payload)) for payload in payloads_of(frames))

    assert all(frame.payload and frame.detail for frame in frames if frame.fault)
    assert all(frame.payload in stream for frame in frames if frame.fault)
    assert broken + intact + framer.skipped_bytes <= len(stream)


def check_bound(case: Case, chunks: Sequence[bytes]) -> None:
    """Whatever comes, no more is kept than the longest frame twice."""
    framer = case.framer()
    for chunk in chunks:
        frames = framer.feed_bytes(chunk, 0.0)
        assert kept_bytes(framer) <= 2 * case.longest + 64
        assert all(len(frame.payload) <= case.longest for frame in frames)


def check_no_invention(case: Case, stream: bytes) -> None:
    """What is heard was sent: the frame that would carry it stands in the stream."""
    framer = case.framer()
    for payload in payloads_of(hear(framer, [(stream, 0.0)])):
        assert case.sent_as(framer, payload) in stream, f"{payload!r} was never sent"


def check_resynchronises(case: Case, noise: bytes, payloads: Sequence[bytes]) -> None:
    """Behind noise, frames are found: the next one, or the one after it."""
    framer = case.framer()
    pieces = [noise, *(framer.encode(payload) for payload in payloads)]
    heard = payloads_of(hear(framer, spaced(pieces, case.gap_s)))

    expected = payloads if case.finds_next else payloads[1:]
    assert contains_in_order(heard, expected), f"{expected!r} was sent behind {noise!r}, and {heard!r} heard"


def check_spoilt_byte(case: Case, payload: bytes, place: int, change: int) -> None:
    """A frame of which one byte was changed on the way is not heard as intact, nor is another in its place."""
    framer = case.framer()
    frame = bytearray(framer.encode(payload))
    frame[place % len(frame)] ^= change
    heard = payloads_of(hear(framer, spaced([bytes(frame)], case.gap_s)))

    assert [one for one in heard if one != payload] == []


def check_half_frame(case: Case, payload: bytes, size: int) -> None:
    """A frame that is never finished is told or counted once nothing more comes; then nothing is kept."""
    framer = case.framer()
    frame = framer.encode(payload)
    half = frame[: size % (len(frame) - case.end)]
    frames = framer.feed_bytes(half, 10.0)
    if (wakes_at_s := framer.wakes_at_s) is not None:
        assert wakes_at_s > 10.0
        assert framer.tick(wakes_at_s - 0.001) == []
        frames += framer.tick(wakes_at_s)

    assert payloads_of(frames) == []
    assert framer.wakes_at_s is None
    assert kept_bytes(framer) == 0
    assert len(half) - 2 <= sum(len(one.payload) for one in frames) + framer.skipped_bytes <= len(half)
