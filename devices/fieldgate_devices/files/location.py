"""Where in a file something stands."""

from __future__ import annotations

import msgspec

__all__ = ["Location"]


class Location(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place in a file; line and column count from 1. A file of rules has some hundred thousand of them."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"
