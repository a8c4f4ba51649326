"""Turn events into block rows and back; every byte of a row is under a checksum.

A row is a head (numbers, seqs, marks) and a body (zstd of msgpack columns). ``crc`` covers the head, which holds
``body_crc`` and the ``crc`` of the block before it (``prev_crc``): that is the chain. A head can be trusted, counted
and booked even where its body is damaged. Rows name their lane and their place in it (``ordinal``, and what the
lane held before), so that a hole is seen, and counted exactly, by whoever reads across it. Core: no I/O.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import zstandard

from fieldgate.errors import FieldgateError
from fieldgate_devices.event import Address, Event, Extra, Stamp

__all__ = [
    "ROW_OVERHEAD_BYTES",
    "BlockDamaged",
    "Checked",
    "Row",
    "check",
    "decode_body",
    "decode_seqs",
    "encode_body",
    "encode_seqs",
    "head_crc",
    "new_compressor",
    "seal",
]

ROW_OVERHEAD_BYTES: Final = 80
_FORMAT: Final = b"\x01"
_LEVEL: Final = 1  # level 3 saves 1 % of the bytes and costs 8 % more CPU on 120-byte JSON
_MAX_BODY_BYTES: Final = 1 << 28
_MAX_COUNT: Final = 1 << 24
_HEAD: Final = struct.Struct("<qqIIqqqQqqqqqqII")


class BlockDamaged(FieldgateError):
    """A block's bytes are not what was written."""


class Row(NamedTuple):
    """One row of a block table, in the order of its columns, with its lane in front."""

    lane: int
    block_no: int
    crc: int
    prev_crc: int
    body_crc: int
    ordinal: int
    events_before: int
    bytes_before: int
    run: int
    first_seq: int
    last_seq: int
    top_seq: int
    event_count: int
    boot_ns: int
    heard_s: int
    seqs: bytes
    marks: bytes
    body: bytes

    @property
    def size_bytes(self) -> int:
        """What the row takes, near enough for limits."""
        return ROW_OVERHEAD_BYTES + len(self.seqs) + len(self.marks) + len(self.body)


class _Body(msgspec.Struct, array_like=True, gc=False):
    """The columns of a block. ``stamp_lengths``: how many consecutive events share each stamp."""

    addresses: list[Address]
    address_index: list[int]
    stamps: list[tuple[int, int, int]]
    stamp_lengths: list[int]
    content_ids: bytes
    data: list[bytes]
    not_json: list[int] | None = None
    raw: dict[int, bytes] | None = None
    expiry_s: dict[int, int] | None = None
    extra: dict[int, Extra] | None = None


_encode_msgpack = msgspec.msgpack.Encoder().encode
_decode_msgpack = msgspec.msgpack.Decoder(_Body).decode


def encode_body(events: Sequence[Event], *, run: int, compressor: zstandard.ZstdCompressor | None = None) -> bytes:
    """Return the body of a block of these events; their ``seq``, ``lane`` and run are not in it.

    Raises:
        ValueError: an event was accepted by another run, or a content id is not an unsigned 64-bit number.
    """
    known: dict[Address, int] = {}
    address_index: list[int] = []
    stamps: list[tuple[int, int, int]] = []
    stamp_lengths: list[int] = []
    last_stamp: Stamp | None = None
    shared = 0
    for event in events:  # one pass with local names: this loop is most of what encoding costs
        address = event.address
        index = known.get(address)
        if index is None:
            index = known[address] = len(known)
        address_index.append(index)
        stamp = event.stamp
        if stamp is not last_stamp:
            if stamp.run != run:
                raise ValueError(f"an event of run {stamp.run:016x} does not belong in a block of run {run:016x}")
            if shared:
                stamp_lengths.append(shared)
                shared = 0
            stamps.append((stamp.wall_ns, stamp.boot_ns, stamp.quality))
            last_stamp = stamp
        shared += 1
    stamp_lengths.append(shared)
    try:
        content_ids = struct.pack(f"<{len(events)}Q", *[event.content_id for event in events])
    except struct.error as error:
        raise ValueError(f"a content id is not an unsigned 64-bit number: {error}") from error
    not_json = [i for i, event in enumerate(events) if not event.is_json]
    raw = {i: event.raw for i, event in enumerate(events) if event.raw is not None}
    expiry_s = {i: event.expiry_s for i, event in enumerate(events) if event.expiry_s is not None}
    extra = {i: event.extra for i, event in enumerate(events) if event.extra is not None}
    body = _Body(
        addresses=list(known),
        address_index=address_index,
        stamps=stamps,
        stamp_lengths=stamp_lengths,
        content_ids=content_ids,
        data=[event.data for event in events],
        not_json=not_json or None,
        raw=raw or None,
        expiry_s=expiry_s or None,
        extra=extra or None,
    )
    return _FORMAT + (compressor or new_compressor()).compress(_encode_msgpack(body))


def new_compressor() -> zstandard.ZstdCompressor:
    """A compressor to be kept and reused by one thread: making one takes ten times as long as a small block."""
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=True)


def decode_body(
    body: bytes, *, run: int, lane: int, seqs: Sequence[int], decompressor: zstandard.ZstdDecompressor | None = None
) -> list[Event]:
    """Return the events of a block, in order.

    Raises:
        BlockDamaged: the body cannot be what `encode_body` made for that many events.
    """
    columns = _columns(body, decompressor or zstandard.ZstdDecompressor())
    count = len(seqs)
    stamps: list[Stamp] = []
    for (wall_ns, boot_ns, quality), shared in zip(columns.stamps, columns.stamp_lengths, strict=False):
        if len(stamps) + shared > count or shared < 1:
            raise BlockDamaged("a body's stamps do not fit its events")
        stamps += [Stamp(run, wall_ns, boot_ns, quality)] * shared
    if not (len(stamps) == len(columns.data) == len(columns.address_index) == count == len(columns.content_ids) // 8):
        raise BlockDamaged(f"a body holds {len(columns.data)} events where its head says {count}")
    content_ids = struct.unpack(f"<{count}Q", columns.content_ids)
    addresses = columns.addresses
    try:
        events = [
            Event(addresses[index], stamp, data, True, content_id, lane, seq)
            for index, stamp, data, content_id, seq in zip(
                columns.address_index, stamps, columns.data, content_ids, seqs, strict=True
            )
        ]
        for index in columns.not_json or ():
            events[index].is_json = False
        for index, raw in (columns.raw or {}).items():
            events[index].raw = raw
        for index, seconds in (columns.expiry_s or {}).items():
            events[index].expiry_s = seconds
        for index, extra in (columns.extra or {}).items():
            events[index].extra = extra
    except IndexError as error:
        raise BlockDamaged("a body refers to something it does not hold") from error
    return events


def _columns(body: bytes, decompressor: zstandard.ZstdDecompressor) -> _Body:
    if body[:1] != _FORMAT:
        raise BlockDamaged(f"a body has format {body[:1]!r}, known is {_FORMAT!r}")
    frame = memoryview(body)[1:]
    try:
        size_bytes = zstandard.frame_content_size(frame)
        if not 0 < size_bytes <= _MAX_BODY_BYTES:
            raise BlockDamaged(f"a body claims {size_bytes} bytes")
        return _decode_msgpack(decompressor.decompress(frame))
    except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError) as error:  # the last one is msgspec's too
        raise BlockDamaged(f"a body cannot be decoded: {error}") from error


def encode_seqs(seqs: Sequence[int]) -> bytes:
    """Pack ascending sequence numbers, given that the first and the last are kept elsewhere.

    Empty when they are gapless; else varints in turn: how many in a row, how many left out, how many in a row …

    Raises:
        ValueError: the numbers do not ascend, or there are none.
    """
    if not seqs:
        raise ValueError("a block needs at least one event")
    count = len(seqs)
    previous = seqs[0]
    if count == 1:
        return b""
    packed = bytearray()
    in_a_row = 1
    is_gapless = True
    for seq in seqs[1:]:
        step = seq - previous
        if step == 1:
            in_a_row += 1
        else:
            if step < 1:
                raise ValueError(f"sequence numbers must ascend within a block; {seq} follows {previous}")
            is_gapless = False
            _put_varint(packed, in_a_row)
            _put_varint(packed, step - 1)
            in_a_row = 1
        previous = seq
    if is_gapless:
        return b""
    _put_varint(packed, in_a_row)
    return bytes(packed)


def decode_seqs(packed: bytes, *, first_seq: int, last_seq: int, count: int) -> Sequence[int]:
    """Return what `encode_seqs` packed.

    Raises:
        BlockDamaged: the bytes do not give ``count`` numbers from ``first_seq`` to ``last_seq``.
    """
    if not 0 < count <= _MAX_COUNT or last_seq - first_seq + 1 < count:
        raise BlockDamaged(f"{count} sequence numbers cannot lie in {first_seq} to {last_seq}")
    if not packed:
        if last_seq - first_seq + 1 != count:
            raise BlockDamaged("the sequence numbers are missing")
        return range(first_seq, last_seq + 1)
    seqs: list[int] = []
    next_seq = first_seq
    is_run = True
    for value in _varints(packed):
        if is_run:
            if len(seqs) + value > count:
                raise BlockDamaged("more sequence numbers than events")
            seqs.extend(range(next_seq, next_seq + value))
        next_seq += value
        is_run = not is_run
    if len(seqs) != count or seqs[-1] != last_seq:
        raise BlockDamaged(f"{len(seqs)} sequence numbers where the head says {count} up to {last_seq}")
    return seqs


def _put_varint(packed: bytearray, value: int) -> None:
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)


def _varints(packed: bytes) -> list[int]:
    values: list[int] = []
    value = shift = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift > 63:
                raise BlockDamaged("a sequence number is too long")
        else:
            values.append(value)
            value = shift = 0
    if shift:
        raise BlockDamaged("the sequence numbers are cut short")
    return values


def head_crc(row: Row) -> int:
    """The checksum that ``row.crc`` must equal: over everything in the row but ``crc`` and the body's bytes.

    Raises:
        BlockDamaged: a number is out of the range that a row can have.
    """
    try:
        head = _HEAD.pack(
            row.lane,
            row.block_no,
            row.prev_crc,
            row.body_crc,
            row.ordinal,
            row.events_before,
            row.bytes_before,
            row.run,
            row.first_seq,
            row.last_seq,
            row.top_seq,
            row.event_count,
            row.boot_ns,
            row.heard_s,
            len(row.seqs),
            len(row.marks),
        )
    except struct.error as error:
        raise BlockDamaged(f"a block's head is out of range: {error}") from error
    return zlib.crc32(row.marks, zlib.crc32(row.seqs, zlib.crc32(head)))


def seal(row: Row) -> Row:
    """Return the row with its checksums filled in."""
    row = row._replace(body_crc=zlib.crc32(row.body))
    return row._replace(crc=head_crc(row))


class Checked(NamedTuple):
    """A row whose head is sound; ``is_whole`` says whether its body is as well."""

    row: Row
    is_whole: bool


def check(lane: int, values: Sequence[object], *, has_body: bool = True) -> Checked | None:
    """Return the row that these column values make, or None where they are not what was written.

    ``run`` comes as the signed number that SQLite keeps. Without ``has_body`` the body was not read.
    """
    numbers, blobs = values[:-3], values[-3:]
    if not (all(type(number) is int for number in numbers) and all(type(blob) is bytes for blob in blobs)):
        return None
    row = Row(lane, *values)  # type: ignore[arg-type]  # just checked
    if row.run < 0:
        row = row._replace(run=row.run + (1 << 64))
    try:
        if head_crc(row) != row.crc:
            return None
    except BlockDamaged:
        return None
    return Checked(row, not has_body or zlib.crc32(row.body) == row.body_crc)
