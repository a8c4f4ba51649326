"""What disks do to files."""

from __future__ import annotations

import random

__all__ = ["spoil"]


def spoil(content: bytearray, rng: random.Random, *, how: int) -> None:
    """Damage a file's content: 0 cuts it short, 1 overwrites a page, 2 takes its beginning away, 3 flips bits."""
    match how:
        case 0:
            del content[rng.randrange(len(content)) :]
        case 1:
            at = rng.randrange(len(content))
            content[at : at + 4096] = rng.randbytes(min(4096, len(content) - at))
        case 2:
            content[: rng.randrange(1, 200)] = b""
        case 3:
            for _ in range(20):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
