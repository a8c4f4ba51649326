"""What would hold up the loop while somebody logs in: hashing passwords and reading files, in one named thread.

One thing at a time. Addresses take turns, so whoever asks for much waits for itself and not others for it; what waits
is bounded, and one address has half of that at most. Answers come back as calls on the loop, and not at all once the
thread is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from fieldgate.threads import leave_signals_to_main

__all__ = ["AccessThread"]

_MAX_WAITING: Final = 256  # about 10 s of passwords on a fast machine: who waits longer has given up
_MAX_OF_ONE: Final = _MAX_WAITING // 2

T = TypeVar("T")
_Job = tuple[Callable[[], Any], Callable[[Any], None], Callable[[], bool]]


def _always() -> bool:
    return True


class AccessThread:
    """Runs work in a thread named after its listener; `close` joins it."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting = 0
        self._loop = loop
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix=f"access:{name}", initializer=leave_signals_to_main
        )
        self._queues: dict[str, deque[_Job]] = {}  # by address; whose turn it is comes first
        self._is_busy = False
        self._is_closed = False

    def is_full(self, address: str) -> bool:
        """Whether as much waits, in all or for this address, as may; nothing may any more once it is closed."""
        return self._is_closed or self.waiting >= _MAX_WAITING or len(self._queues.get(address, ())) >= _MAX_OF_ONE

    def submit(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        *,
        address: str = "",
        is_wanted: Callable[[], bool] = _always,
    ) -> None:
        """Run ``work``, which must not raise, then ``done`` with what it returned on the loop.

        Neither happens if ``is_wanted`` says no when its turn comes, nor once the thread is closed.
        """
        if self._is_closed:
            return
        self._queues.setdefault(address, deque()).append((work, done, is_wanted))
        self.waiting += 1
        if not self._is_busy:
            self._start_next()

    def close(self) -> None:
        """Drop what waits and join the thread; what it is doing takes a moment at most."""
        self._is_closed = True
        self._queues.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start_next(self) -> None:
        while self._queues:
            address = next(iter(self._queues))
            queue = self._queues.pop(address)
            work, done, is_wanted = queue.popleft()
            if queue:
                self._queues[address] = queue  # behind all others
            self.waiting -= 1
            if is_wanted():
                self._is_busy = True
                self._pool.submit(work).add_done_callback(partial(self._back, done))
                return

    def _back(self, done: Callable[[Any], None], future: Future[Any]) -> None:
        """Runs in the thread."""
        if not future.cancelled() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish, done, future)

    def _finish(self, done: Callable[[Any], None], future: Future[Any]) -> None:
        if self._is_closed:
            return
        try:
            done(future.result())
        finally:  # the next one is to know of it
            self._is_busy = False
            self._start_next()
