"""The outbox core in a model of the world: devices, uplinks that fail, a disk, damage, crashes, clocks. No I/O.

The model keeps accounts of its own (`outbox_accounts`), as sets of event ids, and holds the outbox's numbers against
them after each step (`outbox_checks`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fieldgate.journal.eviction import apply_eviction, plan_room
from fieldgate.journal.gather import handed_in
from fieldgate.journal.outbox import WriteJob
from fieldgate.journal.records import JournalFull
from outbox_accounts import id_of
from outbox_checks import check
from outbox_peers import Peers


class World(Peers):
    """Everything around one outbox, and what happens to it step by step."""

    # -- the disk -------------------------------------------------------------------------------------------------

    def begin_write(self, *, everything: bool = False) -> None:
        if self.job is None:
            self.outbox.begin_turn()
            self._submit(self.outbox.begin_write(self.now_s, everything=everything))

    def _submit(self, job: WriteJob) -> None:
        self.job = job
        self.commit = self.commits.make(job)
        self.committing = {name: account.copy() for name, account in self.accounts.items()}

    def end_write(self, *, fails: bool = False) -> bool:
        if self.job is None or self.commit is None:
            return False
        (job, commit), self.job, self.commit = (self.job, self.commit), None, None
        self.disk.fails, self.disk.now_s = fails, self.now_s
        try:
            done = self.disk.commit(commit)
        except JournalFull as full:
            self.commits.not_taken(job, commit)
            if full.cause == "limit" and job.count:
                self.evict(over_events=job.count + 5)
            return False
        self.saved_accounts.update(self.committing)
        for name in commit.forget_uplinks:
            self.saved_accounts.pop(name, None)
        self.commits.taken(job, commit, done)
        self._book_parked()
        return True

    def evict(self, *, over_events: int) -> None:
        """What the keeper does when the journal is full."""
        plan = plan_room(
            self.disk,  # type: ignore[arg-type]
            demands=self.outbox.demands(),
            over_bytes=over_events * 100,
            may_drop_required=True,
        )
        self._give_up(plan)
        if self.job is None:
            self._submit(WriteJob())
            self.end_write()

    def hold_limits(self) -> None:
        plan = self.limits.plan(self.disk, demands=self.outbox.demands(), written_bytes=self.disk.next_no * 100)  # type: ignore[arg-type]
        if self.rng.random() < 0.5 and self.flying:  # while the journal was looked at, the world went on
            self.acknowledge(self.rng.choice(list(self.flying)), in_order=True)
        self._give_up(plan)

    def _give_up(self, plan: Any) -> None:
        for loss in plan.losses:
            self.commits.lost(loss)
        for eviction in plan.evictions:
            account = self.accounts[eviction.uplink]
            for own in account.pending:
                if self.event_of[own].lane != eviction.lane or own[1] > eviction.through_seq:
                    continue
                if own in account.damaged:
                    account.passed.add(own)
                else:
                    account.lost[own] = eviction.reason
        apply_eviction(plan, self.outbox)

    def read(self) -> None:
        for feed in self.outbox.feeds.values():
            self.reads.begin_for(feed)
        while self.writer.step():
            if self.rng.random() < 0.3:
                break

    def damage(self) -> None:
        """A block on disk goes bad."""
        whole = [block for block in self.disk.blocks if not block.is_damaged]
        if not whole:
            return
        block = self.rng.choice(whole)
        block.is_damaged = True
        for account in self.accounts.values():
            account.damaged |= {id_of(event) for event in block.events} & account.pending
        for account in (*self.saved_accounts.values(), *self.committing.values()):
            account.damaged |= {id_of(event) for event in block.events} & account.pending

    def replay(self, name: str) -> None:
        feed = self.feeds[name]
        for block in self.disk.blocks:
            if block.is_damaged or self.rng.random() < 0.5:
                continue
            handed = handed_in(block.info.marks, name)
            for event in block.events:
                if feed.is_past(event) and (name, id_of(event)) in self.sent:
                    was_handed = any(first <= event.seq <= last for first, last in handed)
                    is_stored = feed.route.is_live_first and not was_handed
                    feed.replay([msgspec.structs.replace(event)], is_stored=is_stored)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.now_ns += self.rng.choice([1, 10, 100]) * 1_000_000
        self.steps += 1
        rare = self.rng.random() * 100
        chances = self.chances
        names = list(self.flying)
        name = self.rng.choice(names) if names else ""
        happenings: list[tuple[float, Callable[[], None]]] = [
            (chances.crash, self.crash),
            (chances.reboot, self.reboot),
            (chances.evict, lambda: self.evict(over_events=self.rng.randint(1, 30))),
            (chances.damage, self.damage),
            (chances.limits, self.hold_limits),
            (chances.learn_time, self.learn_time),
            (chances.forget_time, self.forget_time),
        ]
        if name:
            happenings += [
                (chances.lose_connection, lambda: self.lose_connection(name)),
                (chances.park, lambda: self.acknowledge(name, in_order=self.rng.random() < 0.5, parks=True)),
                (chances.replay, lambda: self.replay(name)),
                (chances.retry, lambda: self.retry(name)),
                (chances.drop, lambda: self.drop(name)),
            ]
        for chance, happen in happenings:
            rare -= chance
            if rare < 0:
                happen()
                break
        else:
            self._usual(name)
        check(self)

    def _usual(self, name: str) -> None:
        actions = ["accept"] * 4 + ["write"] * 2 + ["wrote"] * 2 + ["turn"]
        if name:
            actions += ["take"] * 4 + ["ack"] * 4 + ["read"] * 2
        match self.rng.choice(actions):
            case "accept":
                self.accept()
            case "take":
                self.take(name)
            case "ack":
                self.acknowledge(name, in_order=self.rng.random() < 0.7)
            case "write":
                self.begin_write()
            case "wrote":
                self.end_write(fails=self.rng.random() * 100 < self.chances.write_fails)
            case "read":
                self.read()
            case _:
                self.outbox.begin_turn()

    def play(self, steps: int) -> World:
        for _ in range(steps):
            self.step()
        return self

    def drain(self) -> World:
        """Everything works again: let all of it arrive."""
        for _ in range(4):
            self._drain_once()
        self._note_acked()
        check(self)
        return self

    def _drain_once(self) -> None:
        self.now_ns += 10 * 10**9
        for name, feed in self.outbox.feeds.items():
            feed.is_down(False)
            for _ in range(2_000):
                self.read()
                while self.writer.step():
                    pass
                self.take(name)
                if not self.flying[name] and feed.is_caught_up and not feed.state.gaps and not feed.is_frozen:
                    break
                while self.flying[name]:
                    self.acknowledge(name, in_order=True)
                self.end_write()
                if feed.wants_save_now:
                    self.begin_write()
        for _ in range(100):
            self.end_write()
            self.now_ns += 10 * 10**9
            self.outbox.begin_turn()
            if not self.outbox.has_unwritten and not self.outbox.is_dirty:
                break
            self.begin_write(everything=True)
        self.outbox.begin_turn()
