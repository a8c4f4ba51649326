"""Texts of a file and where each of their characters stands, without going through the file for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from fieldgate_devices.files.location import Location
from fieldgate_rules.condition import PlacedText, placed

__all__ = ["SourceFile"]

_LINES = 128  # what a text of 1,024 characters may be spread over, blank lines among them


class _OneLine(Sequence[tuple[int, int]]):
    """Places in one line, made when they are asked for: rules have a hundred characters each, and are many."""

    __slots__ = ("_column", "_count", "_line")

    def __init__(self, line: int, column: int, count: int) -> None:
        self._line, self._column, self._count = line, column, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[int, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, int] | Sequence[tuple[int, int]]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            assert step == 1
            return _OneLine(self._line, self._column + start, max(0, stop - start))
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._line, self._column + index % self._count


class SourceFile:
    """The text of one file."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path = path
        self._lines = content.decode("utf-8-sig", errors="replace").split("\n")

    def placed(self, text: str, at: Location) -> PlacedText:
        """Return ``text``, the value of the scalar that begins at ``at``, with its places."""
        line, column = self._lines[at.line - 1], at.column - 1
        if "\n" not in text:
            if line.startswith(text, column):
                return PlacedText(text, self.path, _OneLine(at.line, at.column, len(text) + 1))
            quote = line[column : column + 1]
            if quote in ("'", '"') and line.startswith(f"{text}{quote}", column + 1):
                return PlacedText(text, self.path, _OneLine(at.line, at.column + 1, len(text) + 1))
        above = at.line - 1
        around = "\n".join(self._lines[above : above + _LINES])
        near = placed(text, Location(self.path, 1, at.column), around)
        return PlacedText(text, self.path, [(line + above, column) for line, column in near.spots])
