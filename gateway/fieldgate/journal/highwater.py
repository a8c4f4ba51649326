"""A 4 KiB file that remembers how far the journal had come, whatever happens to the database beside it.

SQLite believes a write-ahead log that was cut, flipped or deleted, and a database from yesterday. This file does not
forget: two slots, each under a checksum, written in turn, so that a write torn by a power cut leaves the other.
It is behind the journal by at most what was written since its last `save`, never ahead: save after the commit.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.journal.files import sync_folder

__all__ = ["HighWater", "HighWaterFile", "LaneMark"]

_MAGIC: Final = b"FGHW"
_HEAD: Final = struct.Struct("<4sHI")
_SLOT_BYTES: Final = 2048
_FILE_BYTES: Final = 2 * _SLOT_BYTES


class LaneMark(msgspec.Struct, array_like=True, frozen=True):
    """How much one lane had been given, and how much of that had been removed again from its old end."""

    ordinal: int = 0
    events: int = 0
    top_seq: int = 0
    floor_ordinal: int = 0
    floor_events: int = 0
    floor_seq: int = 0


class HighWater(msgspec.Struct, array_like=True, frozen=True):
    """The state of the journal at one moment. ``counter`` rises with each save."""

    counter: int
    epoch: int
    epoch_id: int
    lineage: int
    block_no: int
    crc: int
    max_seq: int
    journal_s: int
    lanes: tuple[LaneMark, LaneMark, LaneMark]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(HighWater).decode


class HighWaterFile:
    """The file, open for writing. Raises OSError as the file system does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _open(path)
        found = [slot for slot in map(_parse, self._slots()) if slot is not None]
        self.last: HighWater | None = max(found, key=lambda slot: slot.counter, default=None)

    def _slots(self) -> tuple[bytes, bytes]:
        both = os.pread(self._fd, _FILE_BYTES, 0)
        return both[:_SLOT_BYTES], both[_SLOT_BYTES:]

    def save(self, mark: HighWater) -> None:
        """Write ``mark`` (its counter is set here) over the older slot and wait until it is on the disk."""
        counter = self.last.counter + 1 if self.last is not None else 1
        mark = msgspec.structs.replace(mark, counter=counter)
        text = _encode(mark)
        slot = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text
        if len(slot) > _SLOT_BYTES:
            raise ValueError(f"a high-water mark of {len(slot)} bytes does not fit its slot")
        if not self._path.exists():  # someone deleted it under us
            os.close(self._fd)
            self._fd = _open(self._path)
        os.pwrite(self._fd, slot.ljust(_SLOT_BYTES, b"\0"), counter % 2 * _SLOT_BYTES)
        os.fdatasync(self._fd)
        self.last = mark

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def _open(path: Path) -> int:
    is_new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if is_new:  # all of it now, so that no later save needs space
        os.pwrite(fd, bytes(_FILE_BYTES), 0)
        os.fsync(fd)
        sync_folder(path.parent)
    return fd


def _parse(slot: bytes) -> HighWater | None:
    if len(slot) < _HEAD.size:
        return None
    magic, length, crc = _HEAD.unpack_from(slot)
    text = slot[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or len(text) != length or zlib.crc32(text) != crc:
        return None
    try:
        return _decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
