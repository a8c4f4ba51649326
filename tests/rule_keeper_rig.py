"""The keeper of the rules' state on a virtual clock, with a real file: hours in a second, and what goes to flash."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from fieldgate.journal import rule_keeper
from fieldgate.journal.rule_file import RuleFile, rule_path
from fieldgate.journal.rule_keeper import RuleKeeper, RuleRecords
from fieldgate.journal.writer import Writer

__all__ = ["FRAME_BYTES", "KeeperSite"]

_WAL_HEADER_BYTES = 32
FRAME_BYTES = 4096 + 24
"""A page in SQLite's log: the least that a commit writes."""


class VirtualLoop:
    """Of an event loop what the keeper uses, on a clock that jumps; also the clock, and a writer without a thread."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._soon: list[Callable[[], None]] = []
        self._later: list[tuple[float, int, _Timer]] = []
        self._count = 0

    def boot_s(self) -> float:
        return self.now_s

    def call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)

    def call_later(self, delay_s: float, call: Callable[[], None]) -> _Timer:
        self._count += 1
        timer = _Timer(call)
        heapq.heappush(self._later, (self.now_s + delay_s, self._count, timer))
        return timer

    def submit(self, work: Callable[[Any], None], done: Callable[[Future[None]], None]) -> None:
        future: Future[None] = Future()
        future.set_result(work(None))
        self.call_soon(lambda: done(future))

    def run_until(self, end_s: float) -> None:
        while True:
            while self._soon:
                self._soon.pop(0)()
            if not self._later or self._later[0][0] > end_s:
                self.now_s = end_s
                return
            self.now_s, _, timer = heapq.heappop(self._later)
            timer.call()


class _Timer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def cancel(self) -> None:
        self.call = lambda: None


class KeeperSite:
    """A keeper with a real file on a virtual clock; `passes` lets time pass, with what happens each 100 ms."""

    def __init__(self, folder: Path, records: RuleRecords, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = loop = VirtualLoop()
        monkeypatch.setattr(rule_keeper.clock, "boot_s", loop.boot_s)
        self.file = RuleFile(folder)
        self.keeper = RuleKeeper(
            self.file, cast("Writer", loop), cast("asyncio.AbstractEventLoop", loop), commit_delay_s=0.05
        )
        self.records = records
        self.keeper.watch(self.records)

    def passes(self, seconds: float, happens: Callable[[int], None] = lambda _: None) -> None:
        begin_s = self.loop.now_s
        for step in range(int(seconds * 10)):
            happens(step)
            if self.records.urgent:
                self.keeper.attention()
            if step % 10 == 0:  # as `run` does
                self.loop.call_soon(self.keeper._turn)
            self.loop.run_until(begin_s + (step + 1) / 10)

    @property
    def flash_bytes(self) -> int:
        """What was written: the log has not been moved into the database yet."""
        frames = (
            rule_path(self.file.path.parent).with_name("rules.db-wal").stat().st_size - _WAL_HEADER_BYTES
        ) // FRAME_BYTES
        assert frames < 1000
        return frames * FRAME_BYTES
