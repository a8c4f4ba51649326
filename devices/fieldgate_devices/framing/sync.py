"""Find the bytes with which a frame begins."""

from __future__ import annotations

__all__ = ["find_start"]


def find_start(buffer: bytearray, sync: bytes, start: int) -> int:
    """Return where ``sync`` stands, or begins at the end of the buffer; the buffer's length where it does not."""
    found = buffer.find(sync, start)
    if found >= 0:
        return found
    end = len(buffer)
    for size in range(min(len(sync) - 1, end - start), 0, -1):
        if buffer.endswith(sync[:size]):
            return end - size
    return end
