"""What must hold in the model of the world: P1 and P4 against its own accounts, and in the end that all has arrived."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fieldgate.journal.feed import UplinkFeed
from outbox_accounts import Account, Id, id_of, wants

if TYPE_CHECKING:
    from outbox_process import Process


def check_safe(world: Process, own: Id) -> None:
    """P1: what is settled is on disk or done with for every uplink that it is routed to."""
    event = world.event_of[own]
    on_disk = any(id_of(stored) == own for stored in world.disk.stored())
    wanting = [
        name for name, feed in world.feeds.items() if wants(feed.route, event) and own in world.accounts[name].pending
    ]
    assert on_disk or not wanting, f"{own} was settled but is not safe"


def check(world: Process) -> None:
    """P4, against the model's own accounts."""
    for name, feed in world.feeds.items():
        check_account(world, name, feed)


def check_account(world: Process, name: str, feed: UplinkFeed) -> None:
    account, state = world.accounts[name], feed.state
    uncounted = _uncounted(world, account, feed)
    in_memory = world.outbox.pending_in_memory(feed)
    told = dict(state.ledger)
    corrupt = told.pop("corrupt", 0)
    pending = len(account.pending) - len(uncounted)
    assert state.routed == len(account.routed) - len(uncounted), f"{name!r} routed"
    assert state.delivered == len(account.delivered), f"{name!r} delivered"
    assert told == Counter(account.lost.values()), f"{name!r} ledger"
    assert state.pending + in_memory + corrupt == pending, f"{name!r} pending"
    kept = {(head.run, head.seq) for head in world.outbox.parking.of(name)}
    assert kept == {own for own, reason in account.lost.items() if reason == "parked"}, f"{name!r} parked"
    assert 0 <= corrupt <= len(account.damaged)
    assert state.pending >= 0
    assert state.routed == state.delivered + state.pending + in_memory + corrupt + sum(told.values())


def _uncounted(world: Process, account: Account, feed: UplinkFeed) -> set[Id]:
    """What a new uplink has not counted yet; an inherited number must not be in memory."""
    found = set()
    for own in account.pending:
        lane = feed.state.lanes[world.event_of[own].lane]
        if any(first <= own[1] <= last for first, last in lane.uncounted):
            found.add(own)
    return found


def check_all(world: Process) -> None:
    """After `drain`: everything acknowledged has arrived or is accounted for, and told."""
    for route in world.routes:
        name, account, state = route.name, world.accounts[route.name], world.feeds[route.name].state
        arrived = world.arrived[name]
        wanted = {own for own in world.acked if wants(route, world.event_of[own])}
        gone = account.lost.keys() | account.damaged
        assert all(wants(route, world.event_of[own]) for own in arrived)
        assert world.due[name] - gone <= wanted
        missing = world.due[name] - arrived - gone
        assert not missing, f"{name} never got {sorted(missing)[:5]}"
        assert state.pending == 0, f"{name} still counts {state.pending} as pending"
        assert account.pending <= account.damaged
        assert not state.unsure
        assert state.ledger.get("corrupt", 0) == len(account.pending & account.damaged)
        told: Counter[str] = Counter()
        for gap in world.told[name].values():
            told[gap["reason"]] += gap["count"]
        told["parked"] -= account.unparked
        lost = Counter(state.ledger)
        lost["parked"] += 0
        del lost["dropped"]
        assert told == lost, f"{name} was told {told}, not {state.ledger}"
        assert state.gaps == []
