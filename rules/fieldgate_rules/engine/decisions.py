"""What rules decided, kept for explanations: facts and words, nothing rendered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.event import Event
from fieldgate_rules.condition import Facts
from fieldgate_rules.engine.event_fields import fields_of
from fieldgate_rules.engine.moment import Moment

__all__ = ["Acted", "Decision", "Gathered", "Kept", "Passed", "Stayed"]

_NOTHING: Final[Mapping[str, Any]] = {}


class Acted(msgspec.Struct, frozen=True):
    """What became of an action: ``stopped_by`` is the key that kept it from being done, empty where none did.

    ``age_s`` is how old it was where that is ``max_age``.
    """

    number: int
    kind: str
    id: str = ""
    stopped_by: str = ""
    text: str = ""
    age_s: float = 0.0


class Decision(msgspec.Struct, gc=False):
    """One. ``event`` is numbered later, None for a timer. ``outcome`` is one of

    fired, resolved, held, false, unknown, unchanged, waiting, broken, kept, throttled, used_up, hops, error, no_group,
    not_having, gathered (into a window), skipped, holds (nothing fires, but the event is altered).

    ``stopped_by`` is the key of the rule that stopped it, empty where it fired; ``why`` says what
    facts do not. ``stages`` is what each stage showed then.
    """

    group: str
    device: str
    event: Event | None
    boot_s: float
    wall_s: float | None
    facts: Facts | None
    outcome: str
    stopped_by: str = ""
    why: str = ""
    stages: Mapping[str, Any] = _NOTHING
    acted: tuple[Acted, ...] = ()


class Passed(msgspec.Struct, gc=False):
    """A decision that nothing came of, as the fast path keeps it: the condition was false, or unknown (None).

    ``facts`` is None where they are what ``event`` says, and nothing before it. A struct is made in an eighth of the
    time that a named tuple takes.
    """

    event: Event
    now: Moment
    truth: bool | None
    facts: Facts | None = None

    def decision(self) -> Decision:
        """The same in full."""
        now, event = self.now, self.event
        facts = self.facts or Facts(fields_of(event), event.address.device, now.boot_s, now.wall_s)
        outcome = "unknown" if self.truth is None else "false"
        return Decision("", facts.device, self.event, facts.boot_s, facts.wall_s, facts, outcome, "when")


class Gathered(msgspec.Struct, gc=False):
    """A decision that an event is in a window, or too late for it (``is_in_time``); as the window was then.

    ``events`` are those of panes that are open, ``due_s`` is when the next one ends, ``late`` how many came too late.
    """

    group: str
    event: Event | None
    facts: Facts
    is_in_time: bool
    events: int
    due_s: float | None
    late: int

    def decision(self) -> Decision:
        """The same in full."""
        facts = self.facts
        shown = {"window": {"events": self.events, "due_s": self.due_s, "late": self.late}}
        stopped = "window" if self.is_in_time else "window.late"
        return Decision(
            self.group, facts.device, self.event, facts.boot_s, facts.wall_s, facts, "gathered", stopped, "", shown
        )


class Stayed(msgspec.Struct, gc=False):
    """A decision that nothing came of because the rule holds already.

    ``is_until``: it holds until something (kept), else while its condition does (held). ``has_for``: with a `for`; the
    condition has held since ``since_s``, None: it does not hold.
    """

    group: str
    event: Event
    facts: Facts
    is_until: bool
    has_for: bool
    since_s: float | None

    def decision(self) -> Decision:
        """The same in full."""
        facts = self.facts
        outcome, stopped = ("kept", "until") if self.is_until else ("held", "fires")
        shown = {"for": {"since_s": self.since_s, "due_s": None}} if self.has_for else {}
        return Decision(
            self.group, facts.device, self.event, facts.boot_s, facts.wall_s, facts, outcome, stopped, "", shown
        )


Kept = Decision | Gathered | Passed | Stayed
"""A decision as it is kept; those that come with each event are made in full when somebody asks."""
