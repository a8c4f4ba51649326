"""Do what the outbox decides: group commits, reads for the uplinks, removal, room when the disk is full.

One turn of the loop serves everything that happened since the last one. At most one commit is under way; while it
is, the next one gathers. A failure of the journal ends `run`: nothing may be acknowledged any more (P8).

Full: what uplinks have delivered is removed in a commit of its own, which a ballast makes possible on a disk without
any space; so an uplink that drains frees the journal by itself. Until then nothing is acknowledged that is not
delivered, and what is in memory goes on being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from fieldgate import clock
from fieldgate.errors import JournalError
from fieldgate.journal.commits import Commits
from fieldgate.journal.eviction import EvictionPlan, UplinkLimits, apply_eviction, plan_history, plan_room
from fieldgate.journal.journal import Journal
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.reads import Reads
from fieldgate.journal.records import BootRecord, Commit, Committed, JournalFull, Loss
from fieldgate.journal.writer import Writer
from fieldgate_devices.event import LANES, Lane

__all__ = ["Keeper", "KeeperLimits"]

T = TypeVar("T")

log = structlog.get_logger("fieldgate")

_SAVE_EVERY_S = 1.0  # what a drain may repeat after a crash
_RETRY_FULL_S = 1.0
_LIMITS_EVERY_S = 2.0


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

    def __init__(self, outbox: Outbox, writer: Writer, limits: KeeperLimits) -> None:
        self.outbox = outbox
        self.after_turn: Callable[[], None] = lambda: None
        self.on_stored: Callable[[WriteJob], None] | None = None  # told of each commit; set where somebody wants it
        self.full_cause: str | None = None
        self.commits = 0
        self.turns = 0
        self.written_events = 0
        self.written_bytes = 0
        self._writer = writer
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()
        self._reads = Reads(writer, lost=self.book_loss, failed=self._fail, done=self.turn)
        self._uplink_limits = UplinkLimits()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = 0.0
        self._is_busy = False  # with a commit, or with making room for one
        self._works = 0  # how often it was
        self._is_stopping = False
        self._idle = asyncio.Event()
        self._saved_at_s = clock.boot_s()
        self._retry_at_s = 0.0
        if limits.keeps_history:
            outbox.history_to = [0 for _ in LANES]
        self._commits = Commits(outbox)

    @property
    def failure(self) -> BaseException | None:
        """Why the journal has failed, if it has."""
        return self._failed.exception() if self._failed.done() else None

    async def call(self, work: Callable[[Journal], T]) -> T:
        """Run ``work`` on the journal in its thread."""
        return await self._writer.call(work)

    def ping(self, heard: Callable[[bool], None]) -> None:
        """Have the journal's thread come by: then ``heard`` is called with whether commits go on.

        They do not if one that was under way now is not over then. Nothing is called while the thread hangs, nor once
        the journal is closed.
        """
        under_way = self._works if self._is_busy else None

        def came_by(_answer: Future[None]) -> None:
            heard(not self._is_busy or self._works != under_way)

        self._writer.submit(_nothing, came_by)

    def wake(self) -> None:
        """Have a turn soon."""
        self._loop.call_soon(self.turn)

    async def run(self) -> None:
        """Serve until cancelled; raises the journal's error once it has failed."""
        async with asyncio.TaskGroup() as tasks:
            limits = tasks.create_task(self._watch_limits(), name="journal:limits")
            try:
                await asyncio.wait([limits, self._failed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                limits.cancel()
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        """Write everything that is unsettled, save every state; `close` must follow.

        What a full journal does not take stays unacknowledged.
        """
        self._is_stopping = True
        self._retry_at_s = 0.0
        self.outbox.close()
        saves_left = 2  # what is acknowledged meanwhile is worth one more commit, a drain is not finished first
        while not self._failed.done() and not self._retry_at_s:
            self._idle.clear()
            if not self._is_busy:
                if not self.outbox.has_unwritten:
                    if not saves_left or not self.outbox.is_dirty:
                        break
                    saves_left -= 1
                self._begin_commit(everything=True)
            await self._idle.wait()
        self.outbox.begin_turn()

    async def close(self) -> None:
        """Close the journal; again does no harm."""
        if self._timer is not None:
            self._timer.cancel()
        await self._writer.close()

    # -- one turn -------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Settle, let the uplinks take what is ready, read ahead, and commit if it is time."""
        outbox = self.outbox
        outbox.begin_turn()
        self.after_turn()
        self.turns += 1
        if self._is_stopping or self._failed.done():
            return
        for feed in outbox.feeds.values():
            self._reads.begin_for(feed)
        if self._is_busy:
            return
        now_s = clock.boot_s()
        due_s = outbox.commit_due_s(now_s)
        if outbox.is_dirty:
            save_s = now_s if outbox.wants_save_now else self._saved_at_s + _SAVE_EVERY_S
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
        job = self.outbox.begin_write(clock.boot_s(), everything=everything)
        if job.count or self.outbox.is_dirty:
            self._begin_work()
            self._submit_commit(job, self._commits.make(job))
        else:
            self._idle.set()

    def _begin_work(self) -> None:
        self._is_busy = True
        self._works += 1

    def _submit_commit(self, job: WriteJob, commit: Commit) -> None:
        def committed(future: Future[Committed]) -> None:
            self._committed(job, commit, future)

        self._writer.submit(lambda journal: journal.commit(commit), committed)

    def _committed(self, job: WriteJob, commit: Commit, future: Future[Committed]) -> None:
        self._is_busy = False
        error = future.exception()
        if isinstance(error, JournalFull):
            self._was_not_taken(job, commit, error)
        elif error is not None:
            self._fail(error)
        else:
            self._was_taken(job, commit, future.result())
        self._idle.set()
        self.turn()

    def _was_taken(self, job: WriteJob, commit: Commit, done: Committed) -> None:
        self._saved_at_s = clock.boot_s()
        self.commits += 1
        self.written_events += job.count
        self.written_bytes += sum(done.sizes_bytes)
        log.debug(
            "journal.committed", events=job.count, bytes=sum(done.sizes_bytes), removed_blocks=done.removed_blocks
        )
        self._commits.taken(job, commit, done)
        if self.on_stored is not None:
            self.on_stored(job)
        _say_lost(commit, done)
        if self.full_cause is None:
            return
        if job.count or not self.outbox.has_unwritten:
            self.full_cause = None
            self._retry_at_s = 0.0
            self.outbox.journal_is_stuck(False)
            log.info("journal.has_room", size_limit_bytes=self._limits.max_size_bytes)
        elif not done.removed_blocks:
            self._wait_for_room()

    def _was_not_taken(self, job: WriteJob, commit: Commit, error: JournalFull) -> None:
        self._commits.not_taken(job, commit)
        if self.full_cause is None:
            log.warning("journal.is_full", cause=error.cause, detail=str(error))
        self.full_cause = error.cause
        if not job.count:
            self._wait_for_room()
        elif error.cause == "limit":
            plan = partial(
                plan_room,
                demands=self.outbox.demands(),
                over_bytes=job.size_bytes + self._limits.max_size_bytes // 50,
                may_drop_required=self._limits.drops_oldest,
            )
            self._begin_work()
            self._writer.submit(plan, self._room_planned)
        else:
            self._keep_house()

    def time_became_known(self, boot: BootRecord) -> None:
        """Note the clock offset of this OS boot and let every uplink correct what it was not sent yet."""
        self._commits.time_became_known(boot)
        self.turn()

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            if not isinstance(error, JournalError):
                error = JournalError(f"the journal's thread failed: {error!r}")
            self._failed.set_exception(error)
        self._idle.set()

    # -- no room --------------------------------------------------------------------------------------------------

    def _room_planned(self, future: Future[EvictionPlan]) -> None:
        self._is_busy = False
        error = future.exception()
        if error is not None:
            self._fail(error)
        else:
            plan = future.result()
            self._give_up(plan)
            self._forget_history(plan.free_through)
            self._keep_house()
        self._idle.set()
        self.turn()

    def _keep_house(self) -> None:
        """Remove what nobody needs and save every state, without writing events: that takes hardly any space."""
        if self.outbox.is_dirty or self._commits.removals():
            self._begin_work()
            self._submit_commit(WriteJob(), self._commits.make(WriteJob()))
        else:
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        self._retry_at_s = clock.boot_s() + _RETRY_FULL_S
        self.outbox.journal_is_stuck(True)

    def _give_up(self, plan: EvictionPlan) -> None:
        for loss in plan.losses:
            self.book_loss(loss)
        apply_eviction(plan, self.outbox)

    def _forget_history(self, through: dict[int, int]) -> None:
        for lane, seq in through.items():
            self.outbox.history_to[lane] = max(self.outbox.history_to[lane], seq)

    async def _watch_limits(self) -> None:
        """Hold each uplink to its own ``max_size`` and ``max_age``, and the history to its own."""
        limits = self._limits
        is_more = False
        while not self._is_stopping:
            await asyncio.sleep(0.0 if is_more else _LIMITS_EVERY_S)
            is_more = False
            if limits.keeps_history:
                history = partial(plan_history, max_age_s=limits.keep_age_s, max_size_bytes=limits.keep_size_bytes)
                self._forget_history(await self.call(history))
            demands = self.outbox.demands()
            if any(one.max_size_bytes is not None or one.max_age_s is not None for one in demands):
                check = partial(self._uplink_limits.plan, demands=demands, written_bytes=self.written_bytes)
                plan = await self.call(check)
                self._give_up(plan)
                is_more = plan.is_partial
            if self._commits.removals() and not self._is_busy and not self._is_stopping:
                self._keep_house()

    def book_loss(self, loss: Loss) -> None:
        """Enter what damage took from every uplink that still wanted it."""
        self._commits.lost(loss)
        _say_damaged(loss)


def _nothing(_journal: Journal) -> None:
    pass


def _say_damaged(loss: Loss) -> None:
    log.error(
        "journal.lost_events",
        reason=loss.reason,
        lane=Lane(loss.lane).name.lower(),
        events=loss.count,
        first=loss.first_seq,
        last=loss.last_seq,
    )


def _say_lost(commit: Commit, done: Committed) -> None:
    """One line for all that is alike in one commit."""
    for entry in commit.ledger:
        log.warning(
            "uplink.lost_events",
            uplink=entry.uplink,
            reason=entry.reason,
            lane=Lane(entry.lane).name.lower(),
            events=entry.count,
            first=entry.first_seq,
            last=entry.last_seq,
        )
    for loss in done.losses:
        _say_damaged(loss)
