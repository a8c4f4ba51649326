"""A problem that a check found, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from fieldgate_devices.files.document import Loc

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem at ``loc`` that rests on the values at ``reads`` (those at ``loc`` where nothing is given)."""

    loc: Loc
    message: str
    reads: tuple[Loc, ...] = ()

    def rests_on(self, broken: frozenset[Loc]) -> bool:
        """Whether a value that was wrong by itself took part, so that nothing can be said."""
        return any(_overlap(loc, bad) for loc in self.reads or (self.loc,) for bad in broken)


def _overlap(one: Loc, other: Loc) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
