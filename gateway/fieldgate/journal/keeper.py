"""Do what the outbox decides: group commits, reads for the uplinks, removal, room when the disk is full.

One turn of the loop serves everything that happened since the last one. At most one commit is under way; while it
is, the next one gathers. A failure of the journal ends `run`: nothing may be acknowledged any more (P8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from fieldgate import clock
from fieldgate.errors import JournalError
from fieldgate.journal.eviction import EvictionPlan, apply_eviction, plan_history, plan_room, plan_uplink_limits
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gaps import Hole
from fieldgate.journal.journal import Journal
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.policy import BLOCK_EVENTS
from fieldgate.journal.records import (
    BootRecord,
    Commit,
    Committed,
    JournalFull,
    LedgerEntry,
    Loss,
    NewBlock,
    ReadHint,
    ReadResult,
    Removal,
)
from fieldgate.journal.stream import Stream
from fieldgate.journal.times import corrected
from fieldgate.journal.uplink_state import encode_states
from fieldgate.journal.window import Batch
from fieldgate.journal.writer import Writer
from fieldgate_devices.event import LANES, Event

__all__ = ["Keeper", "KeeperLimits"]

T = TypeVar("T")

log = structlog.get_logger("fieldgate")

_SAVE_EVERY_S = 1.0  # what a drain may repeat after a crash
_RETRY_FULL_S = 1.0
_LIMITS_EVERY_S = 5.0
_READ_BYTES = 512 << 10
_BLOCK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class KeeperLimits:
    """Sizes in bytes, times in seconds of boot time. ``keep_*`` bound the history (`journal.keep`)."""

    max_size_bytes: int
    drops_oldest: bool = True
    keeps_history: bool = False
    keep_age_s: float | None = None
    keep_size_bytes: int | None = None


class Keeper:
    """Owns the writer thread on behalf of the outbox."""

    def __init__(self, outbox: Outbox, writer: Writer, limits: KeeperLimits, *, gateway: str) -> None:
        self.outbox = outbox
        self.after_turn: Callable[[], None] = lambda: None
        self.forget: list[str] = []  # states of uplinks that are not configured any more
        self.full_cause: str | None = None
        self.commits = 0
        self.written_events = 0
        self.last_commit_s = 0.0
        self._writer = writer
        self._limits = limits
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self._is_committing = False
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._saved_at_s = clock.boot_s()
        self._retry_at_s = 0.0
        self._removed_to = [0] * len(LANES)
        self._history_to = [0 if limits.keeps_history else 1 << 62] * len(LANES)
        self._hints: dict[tuple[str, int], ReadHint | None] = {}
        self._ledger: list[LedgerEntry] = []
        self._losses: list[Loss] = []
        self._boots: list[BootRecord] = []
        self._saving: list[UplinkFeed] = []

    @property
    def failure(self) -> BaseException | None:
        """Why the journal has failed, if it has."""
        return self._failed.exception() if self._failed.done() else None

    async def call(self, work: Callable[[Journal], T]) -> T:
        """Run ``work`` on the journal in its thread."""
        return await self._writer.call(work)

    async def run(self) -> None:
        """Serve until cancelled; raises the journal's error once it has failed."""
        limits = self._loop.create_task(self._watch_limits(), name="journal:limits")
        try:
            await asyncio.shield(self._failed)
        finally:
            limits.cancel()

    async def stop(self) -> None:
        """Write everything that is unsettled, save every state, close the journal."""
        self._is_stopping = True
        try:
            while (
                self.outbox.has_unwritten or self.outbox.is_dirty or self._is_committing
            ) and not self._failed.done():
                self._idle.clear()
                if not self._is_committing:
                    self._begin_commit(everything=True)
                await self._idle.wait()
                if self.full_cause is not None:
                    break
            self.outbox.begin_turn()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._writer.close()

    # -- one turn -------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Settle, let the uplinks take what is ready, read ahead, and commit if it is time."""
        outbox = self.outbox
        outbox.begin_turn()
        self.after_turn()
        for feed in outbox.feeds.values():
            for stream in feed.streams:
                if stream.wants_read:
                    self._begin_read(feed, stream)
        if self._is_committing or self._is_stopping or self._failed.done():
            return
        now_s = clock.boot_s()
        due_s = outbox.commit_due_s(now_s)
        if outbox.is_dirty:
            is_urgent = any(feed.is_frozen for feed in outbox.all_feeds())
            save_s = now_s if is_urgent else self._saved_at_s + _SAVE_EVERY_S
            due_s = save_s if due_s is None else min(due_s, save_s)
        if due_s is None:
            return
        due_s = max(due_s, self._retry_at_s)
        if due_s <= now_s:
            self._begin_commit()
        else:
            self._wake_at(due_s, now_s)

    def _wake_at(self, due_s: float, now_s: float) -> None:
        if self._timer is not None:
            if self._wakes_at_s <= due_s:
                return
            self._timer.cancel()
        self._wakes_at_s = due_s
        self._timer = self._loop.call_later(max(0.0, due_s - now_s), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.turn()

    # -- commits ----------------------------------------------------------------------------------------------------

    def _begin_commit(self, *, everything: bool = False) -> None:
        outbox = self.outbox
        job = outbox.begin_write(clock.boot_s(), everything=everything)
        if not job.count and not outbox.is_dirty and not everything:
            return
        states = encode_states(outbox.states()) if job.count or outbox.is_dirty or everything else {}
        commit = Commit(
            now_boot_ns=clock.boot_ns(),
            blocks=_blocks_of(job, outbox),
            uplink_states=states,
            ledger=tuple(self._ledger),
            losses=tuple(self._losses),
            remove=self._removals(),
            boots=tuple(self._boots),
            forget_uplinks=tuple(self.forget),
        )
        self._ledger, self._losses, self._boots = [], [], []
        self._saving = [feed for feed in outbox.all_feeds() if feed.is_frozen]
        self._is_committing = True
        self._submit_commit(job, commit)

    def _submit_commit(self, job: WriteJob, commit: Commit) -> None:
        def committed(future: Future[Committed]) -> None:
            self._committed(job, commit, future)

        self._writer.submit(lambda journal: journal.commit(commit), committed)

    def _committed(self, job: WriteJob, commit: Commit, future: Future[Committed]) -> None:
        self._is_committing = False
        error = future.exception()
        if isinstance(error, JournalFull):
            self._is_full(job, commit, error)
        elif error is not None:
            self._fail(error)
        else:
            done = future.result()
            self.last_commit_s = self._saved_at_s = clock.boot_s()
            self.commits += 1
            self.written_events += job.count
            for removal in commit.remove:
                self._removed_to[removal.lane] = self.outbox.lanes[removal.lane].removed_to = removal.last_seq
            if self.full_cause is not None:
                self.full_cause = None
                log.info("journal.has_room", size_limit_bytes=self._limits.max_size_bytes)
            self.forget = [name for name in self.forget if name not in commit.forget_uplinks]
            self._thaw()
            self.outbox.written(job)
            for loss in done.losses:
                self.book_loss(loss)
        self._idle.set()
        self.turn()

    def _thaw(self) -> None:
        for feed in self._saving:
            feed.is_frozen = False
        self._saving = []

    def time_became_known(self, boot: BootRecord) -> None:
        """Note the clock offset of this OS boot and let every uplink correct what it was not sent yet."""
        self._boots.append(boot)
        self.outbox.time_became_known(boot.offset_ns or 0)
        self.turn()

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            if not isinstance(error, JournalError):
                error = JournalError(f"the journal's thread failed: {error!r}")
            self._failed.set_exception(error)
        self._idle.set()

    def _removals(self) -> tuple[Removal, ...]:
        removals = []
        for lane in LANES:
            through = self.outbox.removable_to(lane)
            log_of_lane = self.outbox.lanes[lane]
            through = min(through, log_of_lane.stored_to, self._history_to[lane])
            if through > self._removed_to[lane]:
                removals.append(Removal(lane, through))
        return tuple(removals)

    # -- no room --------------------------------------------------------------------------------------------------

    def _is_full(self, job: WriteJob, commit: Commit, error: JournalFull) -> None:
        self.outbox.write_failed(job)
        for feed in self.outbox.feeds.values():
            feed.is_dirty = True
        self._ledger[:0] = commit.ledger
        self._losses[:0] = commit.losses
        self._boots[:0] = commit.boots
        self._thaw()
        if self.full_cause is None:
            log.warning("journal.is_full", cause=error.cause, detail=str(error))
        self.full_cause = error.cause
        if error.cause == "limit" and self._limits.drops_oldest:
            needed = sum(event_size for event_size in _sizes_of(job)) + self._limits.max_size_bytes // 50
            plan = partial(plan_room, demands=self.outbox.demands(), over_bytes=needed)
            self._is_committing = True
            self._writer.submit(plan, self._room_planned)
        else:
            self._retry_at_s = clock.boot_s() + _RETRY_FULL_S

    def _room_planned(self, future: Future[EvictionPlan]) -> None:
        self._is_committing = False
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        plan = future.result()
        self._evict(plan)
        self._forget_history(plan.free_through)
        removals = self._removals()
        if not removals:
            self._retry_at_s = clock.boot_s() + _RETRY_FULL_S
            self.turn()
            return
        commit = Commit(
            now_boot_ns=clock.boot_ns(),
            uplink_states=encode_states(self.outbox.states()),
            ledger=tuple(self._ledger),
            remove=removals,
        )
        self._ledger = []
        self._is_committing = True
        self._writer.submit(lambda journal: journal.commit(commit), partial(self._room_made, commit))

    def _room_made(self, commit: Commit, future: Future[Committed]) -> None:
        error = future.exception()
        if isinstance(error, JournalFull):
            self._ledger[:0] = commit.ledger
            self._is_committing = False
            self._retry_at_s = clock.boot_s() + _RETRY_FULL_S
            self.turn()
        else:
            self._committed(WriteJob(), commit, future)

    def _evict(self, plan: EvictionPlan) -> None:
        for feed, hole in apply_eviction(plan, self.outbox):
            self._ledger.append(_entry(feed.name, hole))
            log.warning(
                "uplink.lost_events",
                uplink=feed.name,
                reason=hole.reason,
                lane=hole.lane,
                events=hole.count,
                first=hole.first_seq,
                last=hole.last_seq,
            )

    def _forget_history(self, through: dict[int, int]) -> None:
        for lane, seq in through.items():
            self._history_to[lane] = max(self._history_to[lane], seq)

    async def _watch_limits(self) -> None:
        """Hold each uplink to its own ``max_size`` and ``max_age``, and the history to its own."""
        while True:
            await asyncio.sleep(_LIMITS_EVERY_S)
            if self._limits.keeps_history:
                limits = self._limits
                plan = partial(plan_history, max_age_s=limits.keep_age_s, max_size_bytes=limits.keep_size_bytes)
                self._writer.submit(plan, self._history_planned)
            demands = [demand for demand in self.outbox.demands() if demand.max_size_bytes or demand.max_age_s]
            if demands and any(log_of_lane.stored_to for log_of_lane in self.outbox.lanes):
                self._writer.submit(partial(plan_uplink_limits, demands=demands), self._limits_planned)

    def _history_planned(self, future: Future[dict[int, int]]) -> None:
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        self._forget_history(future.result())
        if self._removals() and not self._is_committing and not self._is_stopping:
            self._begin_commit(everything=True)

    def _limits_planned(self, future: Future[EvictionPlan]) -> None:
        error = future.exception()
        if error is not None:
            self._fail(error)
        else:
            self._evict(future.result())
            self.turn()

    # -- reads -----------------------------------------------------------------------------------------------------

    def _begin_read(self, feed: UplinkFeed, stream: Stream) -> None:
        stream.is_reading = True
        after_seq, lane = stream.ready_to, stream.lane
        hint = self._hints.get((feed.name, lane))
        if hint is not None and hint.last_seq > after_seq:
            hint = None

        def read(journal: Journal) -> ReadResult:
            return journal.read(lane, after_seq, max_bytes=_READ_BYTES, hint=hint)

        self._writer.submit(read, partial(self._have_read, feed, stream, stream.generation))

    def _have_read(self, feed: UplinkFeed, stream: Stream, generation: int, future: Future[ReadResult]) -> None:
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        result = future.result()
        for loss in result.losses:
            self.book_loss(loss)
        if stream.generation != generation:
            self.turn()
            return
        self._hints[feed.name, stream.lane] = result.hint
        for block in result.blocks:
            events = block.events
            if feed.state.corrections:
                events = [corrected(event, feed.state.corrections) for event in events]
            sent_to = _sent_to(block.info.marks, feed.name)
            wanted = stream.chunk_read(
                events, through_seq=block.info.last_seq, is_wanted=feed.route.is_wanted, sent_to=sent_to
            )
            feed.state.count_read(stream.lane, wanted, through_seq=stream.ready_to)
        lost_to = max((loss.last_seq for loss in result.losses), default=0)
        stream.chunk_read((), through_seq=lost_to if result.more else 1 << 62, is_wanted=None)
        feed.state.count_read(stream.lane, (), through_seq=stream.ready_to)
        self.turn()

    def book_loss(self, loss: Loss) -> None:
        """Enter what damage took from every uplink that still wanted it."""
        for feed in self.outbox.all_feeds():
            floor = feed.streams[loss.lane].floor
            if floor >= loss.last_seq:
                continue
            count = loss.count if floor < loss.first_seq else min(loss.count, loss.last_seq - floor)
            hole = Hole(loss.lane, "corrupt", count, loss.run or 0, max(loss.first_seq, floor + 1), loss.last_seq)
            feed.add_loss(hole)
            self._ledger.append(_entry(feed.name, hole))
        self._losses.append(loss)
        log.error(
            "journal.lost_events",
            reason=loss.reason,
            lane=loss.lane,
            events=loss.count,
            first=loss.first_seq,
            last=loss.last_seq,
        )


def _entry(uplink: str, hole: Hole) -> LedgerEntry:
    return LedgerEntry(
        uplink=uplink,
        lane=hole.lane,
        reason=hole.reason,
        run=hole.run,
        first_seq=hole.first_seq,
        last_seq=hole.last_seq,
        count=hole.count,
        wall_ns=clock.wall_ns(),
        boot_ns=clock.boot_ns(),
    )


def _blocks_of(job: WriteJob, outbox: Outbox) -> tuple[NewBlock, ...]:
    """Gather each lane's events into blocks of a size that a reader likes."""
    markers = [feed for feed in outbox.all_feeds() if feed.route.is_live_first]
    blocks = []
    for lane, entries in sorted(job.lanes.items()):
        batches: list[Batch] = []
        events: list[Event] = []
        size_bytes = 0
        for batch, wanted in entries:
            batches.append(batch)
            events.extend(wanted)
            size_bytes += batch.size_bytes
            if len(events) >= 5 * BLOCK_EVENTS or size_bytes >= _BLOCK_BYTES:
                blocks.append(NewBlock(lane, events[0].stamp.run, events, _marks(batches, markers)))
                batches, events, size_bytes = [], [], 0
        if events:
            blocks.append(NewBlock(lane, events[0].stamp.run, events, _marks(batches, markers)))
    return tuple(blocks)


def _marks(batches: list[Batch], markers: list[UplinkFeed]) -> bytes:
    """Note up to which sequence number each marking uplink was handed these events before now."""
    sent_to: dict[str, int] = {}
    for feed in markers:
        for batch in batches:
            count = (batch.handed_out_at_write or {}).get(feed.bit_number, 0)
            if count:
                sent_to[feed.name] = batch.events[count - 1].seq
    return msgspec.msgpack.encode(sent_to) if sent_to else b""


def _sent_to(marks: bytes, uplink: str) -> int:
    return msgspec.msgpack.decode(marks, type=dict[str, int]).get(uplink, 0) if marks else 0


def _sizes_of(job: WriteJob) -> list[int]:
    return [batch.size_bytes for entries in job.lanes.values() for batch, _ in entries]
