"""An outbox, its keeper and a real journal in one loop, with devices and uplinks that do as they are told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fieldgate import clock
from fieldgate.forward.uplink import Shipment
from fieldgate.journal.journal import Journal
from fieldgate.journal.keeper import Keeper, KeeperLimits
from fieldgate.journal.outbox import Outbox
from fieldgate.journal.records import Commit, Committed, JournalFull
from fieldgate.journal.uplink_state import Route, decode_states, highest_seq
from fieldgate.journal.writer import Writer
from fieldgate_devices.event import LANES, Address, Event, Lane, Stamp, TimeQuality
from journal_kit import open_journal

BOOT = "boot-a"
SMALL = 2 << 20


class Device:
    """A settler that counts."""

    def __init__(self) -> None:
        self.sent = 0
        self.settled_count = 0
        self.flushes = 0

    def settled(self, first: int, count: int) -> None:
        self.settled_count += count

    def flush(self) -> None:
        self.flushes += 1


class Uplink:
    """Takes what its window allows whenever it is kicked; acknowledges at once while ``answers``."""

    def __init__(self, rig: Rig, name: str, *, window: int = 1_000) -> None:
        self.feed = rig.outbox.feeds[name]
        self.window = window
        self.answers = True
        self.flying: list[Shipment] = []
        self.events: list[Event] = []

    def kick(self) -> None:
        if self.feed.down:
            return
        for _ in range(100):
            room = self.window - sum(one.stop - one.start for one in self.flying)
            taken = self.feed.take(room) if room > 0 else []
            if not taken:
                return
            self.flying += taken
            if self.answers:
                self.acknowledge()

    def acknowledge(self) -> None:
        flying, self.flying = self.flying, []
        for one in flying:
            self.events += one.events[one.start : one.stop]
            self.feed.delivered(one.batch, one.start, one.stop)

    def come_up(self) -> None:
        self.feed.is_down(False)

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events if event.address.type != "gap"]

    @property
    def told(self) -> Counter[str]:
        told: Counter[str] = Counter()
        for event in self.events:
            if event.address.type == "gap":
                import json

                gap = json.loads(event.data)
                told[gap["reason"]] += gap["count"]
        return told


class Rig:
    """One run of a gateway without its network. ``commits`` are those that the journal took."""

    def __init__(
        self,
        folder: Path,
        *routes: Route,
        run: int = 1,
        max_size_bytes: int = 64 << 20,
        is_relay: bool = True,
        hold_s: float = 0.05,
        commit_delay_s: float = 0.02,
        is_synced: bool = True,
        limits: dict[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.is_synced = is_synced
        self.journal = open_journal(folder, run=run, max_size_bytes=max_size_bytes, os_boot=BOOT)
        self.commits: list[Commit] = []
        self.under_way = 0
        self.most_under_way = 0
        self.refuses: Callable[[Commit], str | None] = lambda commit: None
        self._take = self.journal.commit
        self.journal.commit = self._commit  # type: ignore[method-assign]  # to watch it and to refuse
        loop = asyncio.get_running_loop()
        keeps_history = bool(limits and limits.get("keeps_history"))
        states = decode_states(self.journal.opened.uplink_states)
        self.outbox = Outbox(
            routes,
            gateway="g",
            is_relay=is_relay,
            keeps_history=keeps_history,
            hold_s=hold_s,
            commit_delay_s=commit_delay_s,
            next_seq=max(self.journal.opened.next_seq, highest_seq(states) + 1),
            stored_to=[lane.last_seq or 0 for lane in self.journal.stats().lanes],
            states=states,
            os_boot=BOOT,
            stored_boot=BOOT,
            job_bytes=max_size_bytes // 16,
            attention=lambda: loop.call_soon(self.keeper.turn),
            now_stamp=self.stamp,
        )
        self.keeper = Keeper(
            self.outbox, Writer(self.journal, loop), KeeperLimits(max_size_bytes=max_size_bytes, **(limits or {}))
        )
        for loss in self.journal.opened.losses:
            self.keeper.book_loss(loss)
        self.uplinks = {route.name: Uplink(self, route.name) for route in routes}
        self.keeper.after_turn = self._kick
        self.device = Device()
        self.random = random.Random(1)

    async def stop(self) -> None:
        await self.keeper.stop()
        await self.keeper.close()

    def stamp(self) -> Stamp:
        quality = TimeQuality.SYNCED if self.is_synced else TimeQuality.UNSYNCED
        return Stamp(self.run, clock.wall_ns(), clock.boot_ns(), quality)

    def _commit(self, commit: Commit) -> Committed:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if cause := self.refuses(commit):
                raise JournalFull(cause, "the test says so")  # type: ignore[arg-type]
            committed = self._take(commit)
        finally:
            self.under_way -= 1
        self.commits.append(commit)
        return committed

    def _kick(self) -> None:
        for uplink in self.uplinks.values():
            uplink.kick()

    def accept(self, count: int, *, lane: int = Lane.NORMAL, size_bytes: int = 60, device: str = "d") -> None:
        """One read of ``count`` events that do not compress."""
        stamp = self.stamp()
        address = Address(device, "message", f"t/{device}")
        events = [Event(address, stamp, self.random.randbytes(size_bytes), False, 0, lane) for _ in range(count)]
        self.outbox.accept(events, self.device, self.device.sent, now_s=clock.boot_s(), size_bytes=count * size_bytes)
        self.device.sent += count

    async def flood(self, count: int, **more: Any) -> None:
        """Accept ``count`` events in reads of 50, as fast as memory allows."""
        for _ in range(count // 50):
            while not self.outbox.is_open():
                await asyncio.sleep(0.001)
            self.accept(50, **more)
            await asyncio.sleep(0)

    async def until(self, condition: Callable[[], Any], *, within_s: float = 20.0) -> None:
        """Let the loop run until ``condition`` holds."""
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.002)

    async def settled(self, *, within_s: float = 20.0) -> None:
        await self.until(lambda: self.device.settled_count == self.device.sent, within_s=within_s)

    def balance(self, name: str) -> int:
        """By how much the accounts of an uplink fail."""
        feed = self.outbox.feeds[name]
        state = feed.state
        pending = state.pending + self.outbox.pending_in_memory(feed)
        assert state.pending >= 0
        return state.routed - state.delivered - pending - sum(state.ledger.values())

    @property
    def written(self) -> int:
        """How many events the journal took."""
        return sum(len(block.events) for commit in self.commits for block in commit.blocks)

    @property
    def stored(self) -> int:
        return sum(lane.events for lane in self.journal.stats().lanes)


def lanes_of(journal: Journal) -> list[int]:
    return [journal.stats().lanes[lane].events for lane in LANES]


@asynccontextmanager
async def started(folder: Path, *routes: Route, **more: Any) -> AsyncIterator[Rig]:
    """A rig whose keeper runs; it is stopped at the end unless the test did."""
    rig = Rig(folder, *routes, **more)
    running = asyncio.get_running_loop().create_task(rig.keeper.run())
    try:
        yield rig
    finally:
        await rig.keeper.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
