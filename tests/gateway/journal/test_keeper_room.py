"""The keeper without room: a full journal, a full disk, the limits of one uplink."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate.journal import keeper as keeper_module
from fieldgate.journal import outbox as outbox_module
from fieldgate.journal.uplink_state import Route
from fieldgate_devices.event import Lane
from keeper_rig import SMALL, started

# -- a full journal ---------------------------------------------------------------------------------------------------


async def test_a_full_journal_gives_up_the_oldest_and_goes_on(tmp_path: Path) -> None:
    """Bounded, counted, told: and nothing of it needs a person."""
    async with started(tmp_path, Route("up"), max_size_bytes=SMALL) as rig:
        await rig.flood(5_000, size_bytes=1_000)
        await rig.settled()
        full = rig.journal.size_bytes
        uplink = rig.uplinks["up"]
        uplink.come_up()
        lost = rig.outbox.feeds["up"].state.ledger["evicted"]
        await rig.until(lambda: len(uplink.seqs) == 5_000 - lost and uplink.told["evicted"] == lost)

        assert full <= SMALL
        assert 2_000 < lost < 5_000
        assert uplink.seqs == list(range(uplink.seqs[0], 5_001))
        assert rig.balance("up") == 0
        assert uplink.feed.state.pending == 0


async def test_low_is_given_up_before_normal_and_high_is_kept(tmp_path: Path) -> None:
    """An alarm survives a flood of telemetry."""
    async with started(tmp_path, Route("up"), max_size_bytes=SMALL) as rig:
        for _ in range(10):
            rig.accept(5, lane=Lane.HIGH, size_bytes=1_000)
            rig.accept(20, lane=Lane.NORMAL, size_bytes=1_000)
            await rig.flood(500, lane=Lane.LOW, size_bytes=1_000)
        await rig.settled()
        uplink = rig.uplinks["up"]
        uplink.come_up()
        await rig.until(lambda: uplink.feed.state.pending == 0 and not uplink.feed.state.gaps)

        lanes = [event.lane for event in uplink.events if event.address.type != "gap"]
        assert lanes.count(Lane.HIGH) == 50
        assert lanes.count(Lane.NORMAL) == 200
        assert lanes.count(Lane.LOW) < 5_000
        assert rig.balance("up") == 0


async def test_an_optional_uplink_loses_its_backlog_before_a_required_one_loses_anything(tmp_path: Path) -> None:
    """An uplink that is dead for a month loses its own backlog first."""
    async with started(tmp_path, Route("up"), Route("dead", is_required=False), max_size_bytes=SMALL) as rig:
        rig.uplinks["up"].come_up()
        await rig.flood(5_000, size_bytes=1_000)
        await rig.settled()
        await rig.until(lambda: len(rig.uplinks["up"].seqs) == 5_000)

        assert rig.outbox.feeds["up"].state.ledger == {}
        assert rig.outbox.feeds["dead"].state.ledger["evicted"] > 2_000
        assert (rig.balance("up"), rig.balance("dead")) == (0, 0)


async def test_reject_new_leaves_devices_waiting_until_the_uplink_has_made_room(tmp_path: Path) -> None:
    """Nothing that was acknowledged is given up; and it goes on by itself."""
    limits = {"drops_oldest": False}
    async with started(tmp_path, Route("up"), max_size_bytes=SMALL, limits=limits) as rig:
        for _ in range(60):
            rig.accept(50, size_bytes=1_000)
        await rig.until(lambda: rig.keeper.full_cause == "limit")
        waiting = rig.device.sent - rig.device.settled_count
        uplink = rig.uplinks["up"]
        uplink.come_up()
        await rig.settled()
        await rig.until(lambda: len(uplink.seqs) == 3_000)

        assert waiting > 500
        assert rig.outbox.feeds["up"].state.ledger == {}
        assert uplink.seqs == list(range(1, 3_001))


async def test_reject_new_looks_at_required_uplinks_only(tmp_path: Path) -> None:
    """A dead optional uplink must not stop the devices."""
    limits = {"drops_oldest": False}
    routes = Route("up"), Route("dead", is_required=False)
    async with started(tmp_path, *routes, max_size_bytes=SMALL, limits=limits) as rig:
        rig.uplinks["up"].come_up()
        await rig.flood(4_000, size_bytes=1_000)
        await rig.settled()

        assert rig.outbox.feeds["dead"].state.ledger["evicted"] > 1_000
        assert rig.outbox.feeds["up"].state.ledger == {}


async def test_what_is_only_kept_for_replay_goes_before_anything_that_is_wanted(tmp_path: Path) -> None:
    """History is a convenience, a backlog is a promise."""
    limits = {"keeps_history": True}
    async with started(tmp_path, Route("up"), max_size_bytes=SMALL, limits=limits, is_relay=False) as rig:
        uplink = rig.uplinks["up"]
        uplink.come_up()
        await rig.flood(1_000, size_bytes=1_000)
        await rig.settled()
        uplink.feed.is_down(True)
        await rig.flood(900, size_bytes=1_000, lane=Lane.LOW)
        await rig.settled()

        assert uplink.feed.state.ledger == {}
        assert rig.stored < 1_900


# -- a full disk ------------------------------------------------------------------------------------------------------


async def test_on_a_full_disk_nothing_is_acknowledged_and_sending_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC is no reason to stop forwarding, nor to need a person afterwards."""
    monkeypatch.setattr(keeper_module, "_RETRY_FULL_S", 0.05)
    async with started(tmp_path, Route("up"), hold_s=0.0) as rig:
        rig.refuses = lambda commit: "disk" if commit.blocks else None
        uplink = rig.uplinks["up"]
        uplink.answers = False
        uplink.come_up()
        rig.accept(100)
        await rig.until(lambda: rig.keeper.full_cause == "disk" and len(uplink.flying) == 1)
        at_full = rig.device.settled_count
        uplink.acknowledge()
        await rig.settled()
        rig.accept(100)
        uplink.answers = True
        await rig.settled()
        rig.refuses = lambda commit: None
        uplink.feed.is_down(True)
        rig.accept(100)
        await rig.settled()

        assert at_full == 0
        assert rig.keeper.full_cause is None
        assert rig.balance("up") == 0


async def test_a_full_disk_is_freed_by_what_an_uplink_has_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is removed goes in a commit without events: with them, it would be refused together with them."""
    monkeypatch.setattr(keeper_module, "_RETRY_FULL_S", 0.05)
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 10_000)
    async with started(tmp_path, Route("up")) as rig:
        await rig.flood(3_000)
        await rig.settled()
        rig.refuses = lambda commit: "disk" if commit.blocks and rig.stored else None
        rig.uplinks["up"].answers = False
        rig.uplinks["up"].come_up()
        rig.accept(50)
        await rig.until(lambda: rig.keeper.full_cause == "disk")
        rig.uplinks["up"].answers = True
        rig.uplinks["up"].acknowledge()
        await rig.settled()
        await rig.until(lambda: rig.stored == 0)

        assert rig.uplinks["up"].seqs == list(range(1, 3_051))


async def test_a_state_that_must_be_saved_first_is_saved_on_a_full_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uplink that waits for that would wait for a person to make room."""
    monkeypatch.setattr(keeper_module, "_RETRY_FULL_S", 0.05)
    async with started(tmp_path, Route("up"), is_synced=False) as rig:
        rig.refuses = lambda commit: "disk" if commit.blocks else None
        rig.accept(10)
        await rig.until(lambda: rig.keeper.full_cause == "disk")
        rig.uplinks["up"].come_up()

        await rig.until(lambda: len(rig.uplinks["up"].seqs) == 10)


async def test_on_a_full_disk_delivered_events_are_not_held_for_their_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the memory fills with what everybody has, and the devices are stopped for it."""
    monkeypatch.setattr(keeper_module, "_RETRY_FULL_S", 0.05)
    async with started(tmp_path, Route("up"), limits={"keeps_history": True}, hold_s=0.0) as rig:
        rig.refuses = lambda commit: "disk" if commit.blocks else None
        rig.uplinks["up"].answers = False
        rig.uplinks["up"].come_up()
        rig.accept(100)
        await rig.until(lambda: rig.keeper.full_cause == "disk")
        rig.uplinks["up"].answers = True
        rig.uplinks["up"].acknowledge()

        await rig.until(lambda: rig.outbox.unsettled_bytes == 0)


# -- limits of one uplink ---------------------------------------------------------------------------------------------


async def test_an_uplink_keeps_within_its_own_size_and_others_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An uplink that is dead for a month loses its own backlog, never another's events."""
    monkeypatch.setattr(keeper_module, "_LIMITS_EVERY_S", 0.05)
    routes = Route("up"), Route("small", max_size_bytes=100_000)
    async with started(tmp_path, *routes) as rig:
        await rig.flood(5_000, size_bytes=100)
        await rig.settled()
        await rig.until(lambda: rig.outbox.feeds["small"].state.ledger.get("evicted", 0) > 3_500)
        rig.uplinks["up"].come_up()
        await rig.until(lambda: len(rig.uplinks["up"].seqs) == 5_000)

        small = rig.outbox.feeds["small"].state
        assert 0 < small.pending < 1_500
        assert (rig.balance("up"), rig.balance("small")) == (0, 0)
        assert rig.outbox.feeds["up"].state.ledger == {}


async def test_an_uplink_gives_up_what_is_too_old_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dashboard wants no readings of yesterday."""
    monkeypatch.setattr(keeper_module, "_LIMITS_EVERY_S", 0.05)
    async with started(tmp_path, Route("up", max_age_s=1.0)) as rig:
        await rig.flood(500)
        await rig.settled()
        await rig.until(lambda: rig.outbox.feeds["up"].state.ledger == {"expired": 500})
        await rig.until(lambda: rig.stored == 0)

        assert rig.outbox.feeds["up"].state.pending == 0
        assert rig.balance("up") == 0


async def test_history_is_kept_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``keep: {size}`` bounds what a replay can reach, not what an uplink still wants."""
    monkeypatch.setattr(keeper_module, "_LIMITS_EVERY_S", 0.05)
    limits = {"keeps_history": True, "keep_size_bytes": 100_000}
    async with started(tmp_path, Route("up"), limits=limits, is_relay=False) as rig:
        rig.uplinks["up"].come_up()
        await rig.flood(5_000, size_bytes=100)
        await rig.settled()

        await rig.until(lambda: 0 < rig.stored < 1_500)
