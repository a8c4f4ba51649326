"""The keeper with a real journal: group commit, damage, the clock, the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fieldgate.errors import JournalError
from fieldgate.journal import outbox as outbox_module
from fieldgate.journal.keeper import Keeper
from fieldgate.journal.records import BootRecord, Commit
from fieldgate.journal.uplink_state import Route
from fieldgate_devices.event import Event, Lane, TimeQuality
from journal_kit import open_journal
from keeper_rig import BOOT, SMALL, Rig, started

# -- group commit -----------------------------------------------------------------------------------------------------


async def test_what_an_uplink_takes_in_time_is_never_written(tmp_path: Path) -> None:
    """Relay: the flash is not touched while the uplink answers."""
    async with started(tmp_path, Route("up")) as rig:
        rig.uplinks["up"].come_up()
        await rig.flood(2_000)
        await rig.settled()

        assert rig.written == 0


async def test_one_commit_is_under_way_while_the_next_one_gathers(tmp_path: Path) -> None:
    """A commit per event would wear the flash; two at once would not be in order."""
    async with started(tmp_path, Route("up")) as rig:
        await rig.flood(5_000)
        await rig.settled()

        assert rig.most_under_way == 1
        assert rig.written == 5_000
        assert len(rig.commits) < 60


async def test_a_device_that_waits_gets_its_commit_at_once(tmp_path: Path) -> None:
    """A device that sends one at a time must not get one through per commit delay."""
    async with started(tmp_path, Route("up"), commit_delay_s=60.0) as rig:
        rig.accept(1)
        rig.outbox.stalled()

        await rig.settled()


async def test_a_device_that_went_on_waiting_gets_the_next_commit_at_once_too(tmp_path: Path) -> None:
    """What was accepted before it stalled may be younger than ``hold`` at the first commit."""
    async with started(tmp_path, Route("up"), hold_s=0.5, commit_delay_s=60.0) as rig:
        uplink = rig.uplinks["up"]
        uplink.come_up()
        uplink.answers = False
        rig.accept(1)
        await asyncio.sleep(0.1)  # so that the second is younger, which is what this is about
        rig.accept(1)
        rig.outbox.stalled()

        await rig.settled()

        assert len(rig.commits) == 2


async def test_a_dead_uplink_that_is_not_required_does_not_slow_the_devices(tmp_path: Path) -> None:
    """What it does not take is written anyway: waiting for ``hold`` would only hold up the device."""
    async with started(tmp_path, Route("up"), Route("dead", is_required=False), hold_s=60.0) as rig:
        rig.uplinks["up"].come_up()
        rig.accept(200)

        await rig.settled()


# -- damage -----------------------------------------------------------------------------------------------------------


async def test_a_damaged_block_is_booked_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a bad sector took is known by number, and everything around it arrives."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 10_000)
    async with started(tmp_path, Route("up"), Route("other")) as rig:
        for _ in range(10):
            rig.accept(200, size_bytes=3_000)  # a read brings one block, and no more than five are read ahead
            await rig.settled()
        await rig.keeper.call(lambda journal: _damage(journal, block_no=8))
        for uplink in rig.uplinks.values():
            uplink.come_up()
        await rig.until(
            lambda: all(uplink.told["corrupt"] == 200 and len(uplink.seqs) == 1_800 for uplink in rig.uplinks.values())
        )

        for name, uplink in rig.uplinks.items():
            assert rig.balance(name) == 0
            assert uplink.feed.state.ledger == {"corrupt": 200}
            assert uplink.feed.state.pending == 0


def _damage(journal: Any, *, block_no: int) -> None:
    connection = journal._active.file.connection
    connection.execute("UPDATE block_normal SET body = zeroblob(length(body)) WHERE block_no = ?", (block_no,))


async def test_the_journals_failure_ends_the_keeper(tmp_path: Path) -> None:
    """P8: what cannot be written must not be acknowledged, and the process must end."""
    rig = Rig(tmp_path, Route("up"))
    running = asyncio.get_running_loop().create_task(rig.keeper.run())

    def broken(commit: Commit) -> None:
        raise JournalError("the device failed")

    rig.refuses = broken  # type: ignore[assignment]
    rig.accept(10)

    with pytest.raises(JournalError, match="the device failed"):
        async with asyncio.timeout(20):
            await running
    await rig.stop()
    assert rig.device.settled_count == 0
    assert isinstance(rig.keeper.failure, JournalError)


# -- the clock --------------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_before_it_is_saved_that_something_may_have_been_sent(tmp_path: Path) -> None:
    """P2 and P6: after a crash nobody else could know which times must stay as they are."""
    async with started(tmp_path, Route("up"), is_synced=False) as rig:
        uplink = rig.uplinks["up"]
        uplink.come_up()
        rig.accept(10)
        uplink.kick()
        before = list(uplink.events)
        await rig.until(lambda: len(uplink.events) == 10)

        assert before == []
        assert rig.commits[0].uplink_states


async def test_what_is_stored_is_corrected_when_the_time_is_known(tmp_path: Path) -> None:
    """P6: with the time at hand, stored events need not stay marked."""
    async with started(tmp_path, Route("up"), is_synced=False) as rig:
        rig.accept(100)
        await rig.settled()
        rig.is_synced = True
        rig.keeper.time_became_known(BootRecord(BOOT, 5 * 10**18, TimeQuality.SYNCED))
        uplink = rig.uplinks["up"]
        uplink.come_up()
        await rig.until(lambda: len(uplink.events) == 100)

        assert all(_is_corrected(event) for event in uplink.events)
        assert [one.os_boot for commit in rig.commits for one in commit.boots] == [BOOT]


def _is_corrected(event: Event) -> bool:
    return event.stamp.quality == TimeQuality.SYNCED and event.stamp.wall_ns == event.stamp.boot_ns + 5 * 10**18


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_stop_writes_and_settles_everything(tmp_path: Path) -> None:
    """SIGTERM loses nothing, not even what no device would send again."""
    rig = Rig(tmp_path, Route("up"), hold_s=60.0)
    rig.uplinks["up"].answers = False
    rig.uplinks["up"].come_up()
    for _ in range(100):
        rig.accept(50)

    async with asyncio.timeout(20):
        await rig.stop()

    assert rig.device.settled_count == 5_000
    assert open_journal(tmp_path).stats().lanes[Lane.NORMAL].events == 5_000


async def test_stop_writes_everything_into_a_full_journal(tmp_path: Path) -> None:
    """What is new is worth more than what is old, to the last moment."""
    rig = Rig(tmp_path, Route("up"), max_size_bytes=SMALL)
    await rig.flood(2_000, size_bytes=1_000)
    await rig.settled()
    for _ in range(10):
        rig.accept(50, size_bytes=1_000)

    async with asyncio.timeout(20):
        await rig.stop()

    assert rig.device.settled_count == 2_500


async def test_stop_does_not_wait_for_room_that_nobody_makes(tmp_path: Path) -> None:
    """What is not safe stays unacknowledged; the process ends in time."""
    rig = Rig(tmp_path, Route("up"))
    rig.refuses = lambda commit: "disk" if commit.blocks else None
    rig.accept(50)

    async with asyncio.timeout(20):
        await rig.stop()

    assert rig.device.settled_count == 0


async def test_stop_does_not_finish_a_drain_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An uplink that acknowledges all the time has something to save all the time."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 10_000)
    rig = Rig(tmp_path, Route("up"))
    await rig.flood(20_000)
    await rig.settled()
    uplink = rig.uplinks["up"]
    uplink.window = 10
    uplink.come_up()
    await rig.until(lambda: len(uplink.seqs) > 100)

    async with asyncio.timeout(20):
        await rig.stop()

    assert len(uplink.seqs) < 20_000
    again = Rig(tmp_path, Route("up"), run=2)
    assert again.balance("up") == 0
    assert again.outbox.feeds["up"].state.delivered == len(uplink.seqs)
    await again.stop()


async def test_a_ping_says_that_commits_go_on_and_not_where_one_never_ends(tmp_path: Path) -> None:
    """The watchdog asks: a thread that comes by is not enough where a commit stays under way for ever."""
    heard: list[bool] = []
    rig = Rig(tmp_path, Route("up"), is_relay=False)
    rig.keeper.ping(heard.append)
    await rig.until(lambda: heard == [True])  # idle: nothing to commit for hours
    rig.accept(50)
    await rig.until(lambda: rig.keeper._is_busy)
    rig.keeper.ping(heard.append)
    await rig.until(lambda: heard == [True, True])  # behind the commit

    rig.keeper._begin_work()  # one whose end is never told: a defect of ours
    rig.keeper.ping(heard.append)
    await rig.until(lambda: heard == [True, True, False])

    rig.keeper._is_busy = False
    await rig.stop()


async def test_what_comes_after_the_end_does_nothing(tmp_path: Path) -> None:
    """An acknowledgement that arrives while the connection is being closed must not ask a closed journal."""
    rig = Rig(tmp_path, Route("up"))
    await rig.flood(1_000)
    await rig.settled()
    uplink = rig.uplinks["up"]
    uplink.answers = False
    uplink.come_up()
    uplink.kick()
    await rig.stop()

    uplink.acknowledge()
    rig.keeper.turn()

    with pytest.raises(JournalError, match="closed"):
        await rig.keeper.call(lambda journal: None)


async def test_a_second_stop_is_no_harm(tmp_path: Path) -> None:
    """The supervisor may come by twice."""
    rig = Rig(tmp_path)
    rig.accept(10)
    await rig.stop()
    await rig.stop()

    assert isinstance(rig.keeper, Keeper)
    assert rig.device.settled_count == 10
