"""Which part of a condition made it what it was: the smallest clause, in words."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate_rules.condition import Clause
from fieldgate_rules.condition.explain import shown

__all__ = ["because", "culprits", "leaves"]


def culprits(clause: Clause) -> tuple[Clause, ...]:
    """Return the smallest clauses that made ``clause`` false or unknown; itself where it has none.

    Of an ``and`` those that were false, of an ``or`` all of them; of what is unknown those that lacked something.
    """
    if clause.value is None:
        found = [one for one in clause.parts if one.value is None and one.parts]
    elif clause.value is False:
        found = [one for one in clause.parts if one.value is False]
    else:
        found = []
    if not found:
        return (clause,)
    return tuple(smallest for one in found for smallest in culprits(one))


def leaves(clause: Clause) -> Iterator[Clause]:
    """The names in a clause with their values, each once."""
    seen = set()
    for one in _leaves(clause):
        if one.text not in seen:
            seen.add(one.text)
            yield one


def _leaves(clause: Clause) -> Iterator[Clause]:
    for part in clause.parts:
        if part.parts:
            yield from _leaves(part)
        else:
            yield part


def because(clause: Clause) -> str:
    """Say what a clause was and of which values: ``temperature > 80 is false: temperature is 71``."""
    said = f"{clause.text} is {shown(clause.value)}"
    if clause.why:
        return f"{said}: {clause.why}"
    values = ", ".join(f"{one.text} is {shown(one.value)}" for one in leaves(clause) if one.text != clause.text)
    return f"{said}: {values}" if values else said
