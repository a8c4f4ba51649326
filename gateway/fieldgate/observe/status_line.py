"""How the gateway is, in one line for a person: what ``systemctl status`` shows.

Laws of this file: plain values in, a text out. What a person must mend comes first, because the line may be cut off at
the right; the rate is rounded, so that the line does not change for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["LineFacts", "UplinkFacts", "status_line"]

_MAX_PROBLEM: Final = 300
_STATES: Final = {"connected": "", "ready": "", "connecting": "connecting", "backoff": "down", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class UplinkFacts:
    """``pending`` counts events that it still has to get; ``reason`` says why it is in its state."""

    name: str
    state: str
    reason: str
    pending: int


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What the line is made of; the newest, or gravest, problem comes first."""

    events_per_s: float
    clients: int
    uplinks: Sequence[UplinkFacts] = ()
    problems: Sequence[str] = ()


def status_line(facts: LineFacts) -> str:
    """Return the line."""
    parts = []
    if facts.problems:
        parts.append(_problem(facts.problems))
    parts.append(f"{rounded(facts.events_per_s)} events/s from {_counted(facts.clients, 'client')}")
    parts += [_uplink(one) for one in facts.uplinks] or ["no uplink"]
    return "; ".join(parts)


def rounded(rate: float) -> str:
    """Two digits: nobody needs more, and more would change all the time."""
    if rate <= 0:
        return "0"
    return f"{float(f'{rate:.2g}'):,.10g}"


def _problem(problems: Sequence[str]) -> str:
    first = problems[0].strip().split("\n", 1)[0]
    if len(first) > _MAX_PROBLEM:
        first = first[:_MAX_PROBLEM] + "…"
    more = f" (and {len(problems) - 1} more: fieldgate status)" if len(problems) > 1 else ""
    return f"PROBLEM: {first}{more}"


def _uplink(uplink: UplinkFacts) -> str:
    """``cloud: nothing waits``, ``cloud down (no route to host): 1,200 wait``."""
    trouble = _STATES.get(uplink.state, uplink.state)
    if trouble and uplink.reason and trouble != uplink.reason:
        trouble += f" ({uplink.reason})"
    name = f"{uplink.name} {trouble}" if trouble else uplink.name
    waiting = f"{_counted(uplink.pending, 'event')} wait{'s' if uplink.pending == 1 else ''}"
    return f"{name}: {waiting if uplink.pending else 'nothing waits'}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
