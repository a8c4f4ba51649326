"""The histories that the model of the outbox plays: which uplinks, which rare things, how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from fieldgate.journal import outbox as outbox_module
from fieldgate.journal import write_queue
from fieldgate.journal.uplink_state import Route
from fieldgate_devices.event import Event
from outbox_accounts import Chances
from outbox_world import World


def is_odd(event: Event) -> bool:
    return event.address.device in {"d0", "d1"}


A, B = Route("a"), Route("b")
LIVE = Route("a", is_live_first=True)
PART = Route("a", is_wanted=is_odd, filter="odd")
OPTIONAL = Route("b", is_required=False)


@dataclass
class Scenario:
    """``phases`` are the uplinks as they are configured one after the other."""

    phases: Sequence[Sequence[Route]]
    chances: Chances = field(default_factory=Chances)
    more: dict[str, Any] = field(default_factory=dict)
    steps: int = 300

    def play(self, seed: int) -> World:
        world = World(self.phases[0], seed=seed, is_relay=bool(seed % 2), chances=self.chances, **self.more)
        world.play(self.steps)
        for routes in self.phases[1:]:
            if world.rng.random() < 0.5:
                world.begin_write(everything=True)
                world.end_write()
            world.crash(routes)
            world.play(self.steps)
        return world.drain()


PAGER = Route("c", is_told_only=True, filter="told", is_required=False)
TIME = {"is_synced": False}
CLOCKS = Chances(learn_time=0.5, forget_time=0.2, reboot=0.5, crash=1)
SCENARIOS = {
    "one uplink": Scenario([[A]]),
    "two uplinks": Scenario([[A, OPTIONAL]]),
    "crashes": Scenario([[A, B]], Chances(crash=3)),
    "a filter": Scenario([[PART, B]]),
    "live first": Scenario([[LIVE, B]]),
    "parked": Scenario([[A, OPTIONAL]], Chances(park=5)),
    "parked, tried again": Scenario([[A, OPTIONAL]], Chances(park=8, retry=5, drop=1)),
    "parked, tried again, live first": Scenario([[LIVE, PART]], Chances(park=8, retry=5, drop=1, evict=1, damage=1)),
    "evicted": Scenario([[PART, B]], Chances(park=2, evict=3)),
    "evicted, live first": Scenario([[LIVE, B]], Chances(park=2, evict=3)),
    "a full journal": Scenario([[PART, B]], Chances(lose_connection=8), {"max_events": 60}),
    "limits": Scenario(
        [[Route("a", max_size_bytes=2_000), Route("b", is_live_first=True, max_age_s=5)]], Chances(limits=3)
    ),
    "damage": Scenario([[A, OPTIONAL]], Chances(damage=2, park=1, evict=1)),
    "damage, filter, live first": Scenario(
        [[PART, Route("b", is_live_first=True)]], Chances(damage=2, park=1, evict=1)
    ),
    "an unset clock": Scenario([[A, OPTIONAL]], CLOCKS, TIME),
    "an unset clock, live first": Scenario([[LIVE, B]], CLOCKS, TIME),
    "history and replay": Scenario(
        [[LIVE, B]], Chances(replay=1, learn_time=0.5, reboot=0.3, crash=1), {"keeps_history": True, **TIME}
    ),
    "nobody, then one": Scenario([[], [A]], steps=150),
    "nobody, then two": Scenario([[], [PART, Route("b", is_live_first=True)]], Chances(evict=2, park=2), steps=150),
    "nobody, full": Scenario([[], [PART, B]], Chances(evict=2, park=2), {"max_events": 60}, steps=150),
    "another uplink": Scenario(
        [[A], [A, Route("b", is_wanted=is_odd, filter="odd")], [Route("b", is_wanted=is_odd, filter="odd")]],
        Chances(evict=2, park=2),
        steps=150,
    ),
    "another uplink, history": Scenario(
        [[A], [A, Route("b", is_wanted=is_odd, filter="odd")]],
        Chances(evict=2, park=2, replay=1),
        {"keeps_history": True},
        steps=150,
    ),
    "another filter": Scenario([[A, B], [PART, B], [A, B]], Chances(park=2), steps=150),
    "from now on": Scenario([[A], [A, Route("b", starts_at_oldest=False)]], Chances(evict=2, park=2), steps=150),
    "away and back": Scenario([[A], [], [A]], steps=150),
    "away and back, an unset clock": Scenario([[A], [], [A, Route("c", is_live_first=True)]], CLOCKS, TIME, steps=150),
    "routed": Scenario([[A, B]], Chances(route=40, crash=2)),
    "routed, filter, live first": Scenario(
        [[PART, Route("b", is_live_first=True)]], Chances(route=30, park=2, evict=2)
    ),
    "routed and told": Scenario([[A, PAGER]], Chances(route=30, crash=2, park=3, retry=3)),
    "told only": Scenario([[PAGER]], Chances(route=30, crash=2)),
    "routed, damage": Scenario([[A, B, PAGER]], Chances(route=20, damage=5, lose_connection=15, crash=2)),
    "routed, history and replay": Scenario([[LIVE, B]], Chances(route=30, replay=2), {"keeps_history": True}),
    "routed, to nobody, then two": Scenario([[], [A, PAGER]], Chances(route=30, evict=1), steps=150),
    "routed, away and back": Scenario([[A, B], [B], [A, B, PAGER]], Chances(route=30), steps=150),
    "everything": Scenario(
        [[Route("a", is_wanted=is_odd, filter="odd", max_size_bytes=3_000), Route("b", is_live_first=True),
          Route("c", is_required=False, max_age_s=8)]],
        Chances(park=1, evict=1, damage=0.5, limits=1, learn_time=0.5, forget_time=0.2, reboot=0.3, replay=1, route=10),
        {"keeps_history": True, **TIME},
    ),
}  # fmt: skip


def leave_memory_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches leave the memory soon, so that every play also reads from disk; commits are small."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 12_000)
    monkeypatch.setattr(write_queue, "_JOB_EVENTS", 20)
