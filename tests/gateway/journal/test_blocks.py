"""A block comes back exactly as it was, or is known to be damaged; nothing in between."""

from __future__ import annotations

import zlib

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.journal.blocks import (
    BlockDamaged,
    Row,
    check,
    decode_body,
    decode_seqs,
    encode_body,
    encode_seqs,
    seal,
)
from fieldgate.journal.holes import Gone, Hole, find_hole
from fieldgate_devices.event import Address, Event, Stamp
from journal_kit import RUN, make_events

addresses = st.builds(Address, st.text(max_size=20), st.text(max_size=8), st.text(max_size=30))
stamps = st.builds(
    Stamp, st.just(RUN), st.integers(0, 2**62), st.integers(0, 2**62), st.sampled_from([0, 1, 2])
)  # fmt: skip
seq_lists = st.lists(st.integers(1, 2**40), min_size=1, max_size=40, unique=True).map(sorted)


@st.composite
def blocks_of_events(draw: st.DrawFn) -> list[Event]:
    seqs = draw(seq_lists)
    known_addresses = draw(st.lists(addresses, min_size=1, max_size=3))
    known_stamps = draw(st.lists(stamps, min_size=1, max_size=3))
    return [
        Event(
            draw(st.sampled_from(known_addresses)),
            draw(st.sampled_from(known_stamps)),
            draw(st.binary(max_size=50)),
            draw(st.booleans()),
            draw(st.integers(0, 2**64 - 1)),
            1,
            seq,
            draw(st.none() | st.binary(max_size=20)),
            draw(st.none() | st.integers(0, 2**32 - 1)),
        )
        for seq in seqs
    ]


@given(blocks_of_events())
@settings(max_examples=150, deadline=None)
def test_every_block_of_events_comes_back_as_it_was(events: list[Event]) -> None:
    """P2: same id, same data."""
    seqs = [event.seq for event in events]

    packed, body = encode_seqs(seqs), encode_body(events, run=RUN)

    again = decode_seqs(packed, first_seq=seqs[0], last_seq=seqs[-1], count=len(seqs))
    assert list(again) == seqs
    assert decode_body(body, run=RUN, lane=1, seqs=again) == events


@given(seq_lists, st.integers(0, 30))
def test_sequence_numbers_cut_anywhere_are_known_to_be_damaged(seqs: list[int], cut: int) -> None:
    """A wrong number would give an event another event's id."""
    packed = encode_seqs(seqs)
    if cut >= len(packed):
        return

    with pytest.raises(BlockDamaged):
        decode_seqs(packed[:cut], first_seq=seqs[0], last_seq=seqs[-1], count=len(seqs))


def test_gapless_numbers_take_no_bytes_and_holes_take_two() -> None:
    """Most blocks are gapless; those of `relay` have holes where events were delivered in time."""
    assert encode_seqs(range(1000, 1200)) == b""
    assert len(encode_seqs([*range(100), *range(110, 200)])) == 3


@pytest.mark.parametrize("seqs", [[], [2, 1], [5, 5]])
def test_numbers_that_do_not_ascend_are_refused(seqs: list[int]) -> None:
    """The caller's mistake must not reach the disk."""
    with pytest.raises(ValueError):
        encode_seqs(seqs)


def test_a_body_cut_or_flipped_anywhere_never_gives_events_silently_or_another_error() -> None:
    """The checksum finds it first; this is for bytes that got past it, or were never ours."""
    events = make_events(range(1, 30))
    body = encode_body(events, run=RUN)

    for cut in range(len(body)):
        with pytest.raises(BlockDamaged):
            decode_body(body[:cut], run=RUN, lane=1, seqs=range(1, 30))
    for position in range(len(body)):
        damaged = bytearray(body)
        damaged[position] ^= 0x10
        try:
            decode_body(bytes(damaged), run=RUN, lane=1, seqs=range(1, 30))
        except BlockDamaged:
            continue


@pytest.mark.parametrize("columns", [
    [[], [], [], [], b"", []],
    [[["d", "t", "x"]], [1], [[1, 2, 0]], [1], b"\0" * 8, [b"x"]],
    [[["d", "t", "x"]], [0], [[1, 2, 0]], [0], b"\0" * 8, [b"x"]],
    [[["d", "t", "x"]], [0], [[1, 2, 0]], [2], b"\0" * 8, [b"x"]],
    [[["d", "t", "x"]], [0], [[1, 2, 0]], [1], b"\0" * 7, [b"x"]],
    [[["d", "t", "x"]], [0], [[1, 2, 0]], [1], b"\0" * 8, [b"x"], [7]],
    "nothing",
])  # fmt: skip
def test_a_body_that_contradicts_itself_is_damaged(columns: object) -> None:
    """Lengths and references are checked before they are used."""
    body = b"\x01" + zstandard.compress(msgspec.msgpack.encode(columns))

    with pytest.raises(BlockDamaged):
        decode_body(body, run=RUN, lane=1, seqs=[1])


@given(blocks_of_events())
@settings(max_examples=50, deadline=None)
def test_a_block_of_an_older_version_is_read_without_what_it_did_not_know(events: list[Event]) -> None:
    """Columns are only ever appended: whoever upgrades with a backlog keeps it."""
    seqs = [event.seq for event in events]
    columns = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(encode_body(events, run=RUN)[1:]))
    old = b"\x01" + zstandard.compress(msgspec.msgpack.encode(columns[:8]))

    read = decode_body(old, run=RUN, lane=1, seqs=seqs)

    assert read == [msgspec.structs.replace(event, expiry_s=None) for event in events]


def test_a_small_body_cannot_claim_gigabytes() -> None:
    """A foreign file must not take the memory of the gateway."""
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 24))
    with pytest.raises(BlockDamaged):
        decode_body(b"\x01" + bomb, run=RUN, lane=1, seqs=[1])


def test_events_of_another_run_or_with_a_bad_hash_are_refused() -> None:
    """The run is kept once per block, the hash in eight bytes."""
    events = make_events([1])
    with pytest.raises(ValueError, match="does not belong"):
        encode_body(events, run=RUN + 1)
    events[0].content_id = -1
    with pytest.raises(ValueError, match="64-bit"):
        encode_body(events, run=RUN)


def test_every_bit_of_a_row_is_under_a_checksum() -> None:
    """SQLite has none of its own in the data file."""
    row = seal(Row(1, 7, 0, 9, 0, 3, 20, 3000, RUN, 5, 9, 9, 4, 10**12, 1000, b"\x02\x01\x02", b"m", b"\x01body"))
    signed = row.run - (1 << 64)
    values = [*row[1:8], signed, *row[9:]]
    assert check(1, values) == (row, True)
    assert check(0, values) is None

    for column, value in enumerate(values):
        damaged = list(values)
        if isinstance(value, bytes):
            for position in range(len(value)):
                damaged[column] = value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
                checked = check(1, damaged)
                assert checked is None if column < 16 else checked is not None and not checked.is_whole
        else:
            for bit in range(40):
                damaged[column] = value ^ (1 << bit)
                assert check(1, damaged) is None, (column, bit)
            for other in ("text", None, 1.5, 1 << 70, -5):
                damaged[column] = other
                assert check(1, damaged) is None
    assert zlib.crc32(row.body) == row.body_crc


def test_a_hole_is_what_is_missing_and_not_known() -> None:
    """P4: what was removed or booked must not be counted again."""

    def hole(*gone: Gone) -> Hole | None:
        return find_hole(after_ordinal=10, events_until=100, next_ordinal=16, events_before=150, gone=gone)

    assert hole() == (11, 15, 50)
    assert hole(Gone(11, 12, 20)) == (13, 15, 30)
    assert hole(Gone(12, 13, 20)) == (11, 15, 30)
    assert hole(Gone(14, 15, 20), Gone(11, 13, 30)) is None
    assert hole(Gone(1, 5, 20), Gone(16, 20, 30)) == (11, 15, 50)
    assert find_hole(after_ordinal=10, events_until=100, next_ordinal=11, events_before=100, gone=()) is None
