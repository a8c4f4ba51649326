"""Where in a file each character of a condition stands, so that a mistake in it has line, column and caret.

A condition is the value of a YAML scalar, which may be plain, quoted, folded or a block: the value is laid over the
file's own text, character by character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location

__all__ = ["Complaint", "PlacedText", "Span", "placed", "with_caret"]

_MAX_CARETS: Final = 60


class Span(NamedTuple):
    """A part of a text: offsets in characters, the end not included."""

    start: int
    end: int


class Complaint(NamedTuple):
    """Something wrong with a part of a text."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A text of a file; ``spots`` has line and column (from 1) of each character, and of the end."""

    text: str
    path: str
    spots: Sequence[tuple[int, int]]

    def where(self, offset: int) -> Location:
        """Where the character at ``offset`` stands."""
        return Location(self.path, *self.spots[min(max(offset, 0), len(self.text))])

    def problem(self, complaint: Complaint) -> Problem:
        """The complaint, with its place."""
        return Problem(self.where(complaint.span.start), complaint.message)


def placed(text: str, at: Location, content: str | None = None) -> PlacedText:
    """Return ``text`` with its places. ``at`` is where its scalar begins in ``content``, the whole file without BOM.

    Without ``content`` it is taken to stand there as it is.
    """
    if content is None:
        return PlacedText(text, at.path, _as_it_is(text, at))
    begin = _offset(content, at)
    return PlacedText(text, at.path, _laid_over(text, content, begin))


def _as_it_is(text: str, at: Location) -> list[tuple[int, int]]:
    line, column = at.line, at.column
    if "\n" not in text:
        return [(line, column + offset) for offset in range(len(text) + 1)]
    spots = [(line, column)]
    for one in text:
        line, column = (line + 1, 1) if one == "\n" else (line, column + 1)
        spots.append((line, column))
    return spots


def _offset(content: str, at: Location) -> int:
    lines = content.split("\n")
    return sum(len(line) + 1 for line in lines[: at.line - 1]) + at.column - 1


def _laid_over(text: str, content: str, begin: int) -> list[tuple[int, int]]:
    """For each character of ``text`` where it is found in ``content``; one that is not stands where the last was."""
    line = content.count("\n", 0, begin) + 1
    starts = [0, *(index + 1 for index, one in enumerate(content) if one == "\n")]

    def spot(offset: int) -> tuple[int, int]:
        nonlocal line
        while line < len(starts) and starts[line] <= offset:
            line += 1
        return line, offset - starts[line - 1] + 1

    here = begin
    quote = content[here : here + 1]
    if quote in ("'", '"'):
        here += 1
    elif quote in ("|", ">"):
        here = content.find("\n", here) + 1 or len(content)
    spots = []
    for one in text:
        if one.isspace():
            spots.append(spot(min(here, len(content))))
            here = _past_blanks(content, here)
            continue
        here = _past_blanks(content, here) if content[here : here + 1].isspace() else here
        if content[here : here + 1] == "\\" and one != "\\":  # an escape of double quotes, or a line that goes on
            here = _past_blanks(content, here + 1)
        elif content[here : here + 2] == one * 2 and ((quote == "'" and one == "'") or (quote == '"' and one == "\\")):
            here += 1
        spots.append(spot(min(here, len(content))))
        here += content[here : here + 1] == one
    spots.append(spot(min(here, len(content))))
    return spots


def _past_blanks(content: str, here: int) -> int:
    while content[here : here + 1].isspace():
        here += 1
    return here


def with_caret(problem: Problem, content: str, *, width: int = 1) -> str:
    """Return the problem's line, the line of the file that it is about, and a caret below the place.

    ``width`` is how many characters it is about.
    """
    lines = content.split("\n")
    if not 1 <= problem.where.line <= len(lines):
        return str(problem)
    line = lines[problem.where.line - 1].rstrip("\r")
    begin = problem.where.column - 1
    blanks = "".join("\t" if one == "\t" else " " for one in line[:begin])
    carets = "^" * max(1, min(width, len(line) - begin, _MAX_CARETS))
    return f"{problem}\n    {line}\n    {blanks}{carets}"
