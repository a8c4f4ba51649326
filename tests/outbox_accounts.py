"""The accounts that the model of the world keeps of each uplink, as sets of event ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldgate.journal.uplink_state import Route
from fieldgate_devices.event import Event

Id = tuple[int, int]


def id_of(event: Event) -> Id:
    return event.stamp.run, event.seq


def wants(route: Route, event: Event) -> bool:
    """Whether an uplink is to get an event, as the model has it."""
    extra = event.extra
    named, told = (None, ()) if extra is None else (extra.uplinks, extra.notify)
    is_meant = route.name in told if route.is_told_only else named is None or route.name in named
    return is_meant and (route.is_wanted is None or route.is_wanted(event))


def is_gap(event: Event) -> bool:
    return event.address.type == "gap"


@dataclass
class Account:
    """What one uplink was to get and what became of it. ``damaged`` are among what is pending until they are booked."""

    routed: set[Id] = field(default_factory=set)
    delivered: set[Id] = field(default_factory=set)
    lost: dict[Id, str] = field(default_factory=dict)
    damaged: set[Id] = field(default_factory=set)
    passed: set[Id] = field(default_factory=set)  # damaged, and the cursor is past them
    filter: str = ""
    unparked: int = 0  # told as parked, and delivered or dropped since

    def copy(self) -> Account:
        sets = set(self.routed), set(self.delivered), dict(self.lost), set(self.damaged), set(self.passed)
        return Account(*sets, self.filter, self.unparked)

    @property
    def pending(self) -> set[Id]:
        return self.routed - self.delivered - self.lost.keys()


@dataclass
class Chances:
    """Which rare things happen, and how often out of a hundred steps."""

    crash: float = 0.6
    lose_connection: float = 3
    write_fails: float = 20  # of a hundred writes
    park: float = 0
    evict: float = 0
    damage: float = 0
    limits: float = 0
    learn_time: float = 0
    forget_time: float = 0
    reboot: float = 0
    replay: float = 0
    retry: float = 0
    drop: float = 0
    route: float = 0  # of a hundred events
