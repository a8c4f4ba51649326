"""Read an expression that is not written as it should be for what it was meant to be: so that one slip hides no other.

What comes out of it is only looked at for more that is wrong. It is never run: what was meant is a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fieldgate_rules.condition.bounds import MAX_CHARACTERS
from fieldgate_rules.condition.place import Complaint, Span
from fieldgate_rules.condition.syntax import BadSyntax, Parsed, parse

__all__ = ["Reading", "read_as_meant"]

_MAX_MENDED: Final = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """``parsed`` is the tree, of what was meant where there are ``complaints``; None where nobody can tell.

    ``places`` are for each character of its text the offset in what was written; empty: they are the same.
    """

    parsed: Parsed | None
    complaints: list[Complaint]
    places: tuple[int, ...] = ()
    mended: tuple[Span, ...] = ()

    def of_written(self, complaints: list[Complaint]) -> list[Complaint]:
        """Complaints about the tree as ones about what was written, without those that touch what was mended."""
        if not self.places:
            return complaints
        moved = [Complaint(_moved(at, self.places), said) for at, said in complaints]
        return [one for one in moved if not _touches(one.span, self.mended)]


def read_as_meant(text: str) -> Reading:
    """Return what ``text`` says, or was meant to say; all that is wrong with how it is written is in `complaints`."""
    complaints: list[Complaint] = []
    mended: list[Span] = []
    line, places = text, tuple(range(len(text) + 1))
    while True:
        try:
            parsed = parse(line)
        except BadSyntax as error:
            at = error.complaint.span
            span = _moved(at, places) if mended else at
            if mended and (error.meant is None or _touches(span, mended)):  # perhaps it is the guess that is wrong
                return Reading(None, complaints)
            complaints.append(Complaint(span, error.complaint.message))
            if error.meant is None or len(mended) >= _MAX_MENDED:
                return Reading(None, complaints)
            line = line[: at.start] + error.meant + line[at.end :]
            inside = (span.start,) * (len(error.meant) - 1) + (span.end - 1,)
            places = places[: at.start] + inside + places[at.end :]
            mended.append(span)
            if len(line) > MAX_CHARACTERS:
                return Reading(None, complaints)
        else:
            return Reading(parsed, complaints, places if mended else (), tuple(mended))


def _moved(span: Span, places: tuple[int, ...]) -> Span:
    last = len(places) - 1
    start, end = places[min(span.start, last)], places[min(max(span.end - 1, span.start), last)] + 1
    return Span(start, max(end, start + 1))


def _touches(span: Span, others: list[Span] | tuple[Span, ...]) -> bool:
    return any(span.start < other.end and other.start < span.end for other in others)
