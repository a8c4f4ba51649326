"""A journal in memory for the model of the outbox: blocks, states, a limit, damage. Keeps only what was committed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from fieldgate.journal.records import (
    BlockInfo,
    Commit,
    Committed,
    JournalFull,
    JournalStats,
    LaneStats,
    LedgerEntry,
    Loss,
    ParkedEvent,
    ParkedHead,
    ReadHint,
    ReadResult,
    RetryMark,
    StoredBlock,
    Unparked,
)
from fieldgate_devices.event import LANES, Event

EVENT_BYTES = 100


@dataclass
class Block:
    info: BlockInfo
    events: list[Event]
    is_damaged: bool = False


@dataclass
class MemoryJournal:
    """Answers what `fieldgate.journal.journal.Journal` answers, as far as the outbox asks."""

    max_events: int = 1 << 30
    blocks: list[Block] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    booked: set[int] = field(default_factory=set)  # block numbers of losses
    told: dict[int, int] = field(default_factory=dict)
    boots: set[str] = field(default_factory=set)  # whose clock is known
    parked: dict[tuple[str, int, int], ParkedEvent] = field(default_factory=dict)
    now_s: float = 0.0
    fails: bool = False
    next_no: int = 1
    commits: int = 0

    def start(self) -> list[Loss]:
        """A new process: what was told and not booked is told again."""
        self.fails = False
        self.told = {}
        losses = [_loss(block) for block in self.blocks if block.is_damaged and block.info.block_no not in self.booked]
        self.told = {loss.block_no or 0: 0 for loss in losses}
        return losses

    def commit(self, commit: Commit) -> Committed:
        if self.fails and commit.blocks:
            raise JournalFull("disk", "no space")
        kept = [
            block
            for block in self.blocks
            if not any(one.lane == block.info.lane and block.info.last_seq <= one.last_seq for one in commit.remove)
        ]
        count = sum(len(block.events) for block in kept) + sum(len(block.events) for block in commit.blocks)
        if commit.blocks and count > self.max_events:
            raise JournalFull("limit", "the limit")
        removed = len(self.blocks) - len(kept)
        self.blocks = kept
        for new in commit.blocks:
            assert [event.seq for event in new.events] == sorted({event.seq for event in new.events})
            assert {event.lane for event in new.events} == {new.lane}
            first, last = new.events[0].seq, new.events[-1].seq
            older = [block.info.last_seq for block in self.blocks if block.info.lane == new.lane]
            assert not older or first > max(older), "a lane is written in order"
            size_bytes = EVENT_BYTES * len(new.events)
            info = BlockInfo(
                self.next_no, new.lane, new.run, first, last, len(new.events), size_bytes, int(self.now_s), 0,
                new.marks, self.next_no, 1,
            )  # fmt: skip
            self.blocks.append(Block(info, [_copy(event) for event in new.events]))
            self.next_no += 1
        self.states.update(commit.uplink_states)
        for name in commit.forget_uplinks:
            self.states.pop(name, None)
            self.parked = {key: one for key, one in self.parked.items() if one.uplink != name}
        self._change_parked(commit)
        self.ledger += commit.ledger
        self.boots |= {boot.os_boot for boot in commit.boots}
        self.booked |= {loss.block_no or 0 for loss in commit.losses}
        self.commits += 1
        overdue = [no for no, at in self.told.items() if no not in self.booked and self.commits - at >= 4]
        for no in overdue:
            self.told[no] = self.commits
        losses = tuple(_loss(block) for block in self.blocks if block.info.block_no in overdue)
        return Committed((), tuple(EVENT_BYTES * len(block.events) for block in commit.blocks), (), removed, losses)

    def _change_parked(self, commit: Commit) -> None:
        for change in commit.parking:
            match change:
                case ParkedEvent(uplink, _, event):
                    self.parked[uplink, event.stamp.run, event.seq] = replace(change, event=_copy(event))
                case RetryMark(uplink, run, seq):
                    self.parked[uplink, run, seq] = replace(self.parked[uplink, run, seq], is_retrying=True)
                case Unparked(uplink, _, run, seq):
                    del self.parked[uplink, run, seq]

    def parked_heads(self) -> list[ParkedHead]:
        return [
            ParkedHead(one.uplink, one.event.lane, one.event.stamp.run, one.event.seq, 100, one.is_retrying)
            for one in self.parked.values()
        ]

    def read(self, lane: int, after_seq: int, *, max_bytes: int, hint: ReadHint | None = None) -> ReadResult:
        del hint
        blocks: list[StoredBlock] = []
        losses: list[Loss] = []
        found = [block for block in self.blocks if block.info.lane == lane and block.info.last_seq > after_seq]
        for index, block in enumerate(found):
            number = block.info.block_no
            if not block.is_damaged:
                blocks.append(StoredBlock(block.info, [_copy(event) for event in block.events]))
            elif number not in self.told and number not in self.booked:
                self.told[number] = self.commits
                losses.append(_loss(block))
            if len(blocks) == 2 or sum(len(one.events) * EVENT_BYTES for one in blocks) >= max_bytes:
                return ReadResult(blocks, losses, None, more=index < len(found) - 1)
        return ReadResult(blocks, losses, None, more=False)

    def oldest_blocks(self, lane: int, limit: int, *, after_no: int = 0) -> list[BlockInfo]:
        found = [block.info for block in self.blocks if block.info.lane == lane and block.info.block_no > after_no]
        return found[:limit]

    def stats(self) -> JournalStats:
        lanes = []
        for lane in LANES:
            infos = [block.info for block in self.blocks if block.info.lane == lane]
            size_bytes = sum(info.size_bytes for info in infos)
            last = infos[-1].last_seq if infos else None
            lanes.append(LaneStats(lane, len(infos), sum(i.count for i in infos), size_bytes, None, last, None))
        return JournalStats(1, 0, 0, 0, 0, 0, self.next_no, tuple(lanes))

    def journal_s(self, boot_ns: int) -> int:
        del boot_ns
        return int(self.now_s)

    def stored(self) -> list[Event]:
        """Every event that is on disk, damaged or not."""
        return [event for block in self.blocks for event in block.events]


class SlowWriter:
    """Does what it is given later, in order, as the journal's thread does; each `step` does one thing."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._work: list[tuple[Callable[[Any], Any], Callable[[Future[Any]], None]]] = []

    def submit(self, work: Callable[[Any], Any], done: Callable[[Future[Any]], None]) -> None:
        self._work.append((work, done))

    def step(self) -> bool:
        """Do the oldest piece of work; answers whether there was one."""
        if not self._work:
            return False
        work, done = self._work.pop(0)
        future: Future[Any] = Future()
        future.set_result(work(self._journal))
        done(future)
        return True


def _loss(block: Block) -> Loss:
    info = block.info
    return Loss(
        1, info.lane, info.ordinal, info.ordinal, info.first_seq, info.last_seq, info.count, "corrupt", info.run,
        info.block_no,
    )  # fmt: skip


def _copy(event: Event) -> Event:
    return msgspec.structs.replace(event)


def events_of(blocks: Sequence[Block]) -> list[Event]:
    return [event for block in blocks for event in block.events]
