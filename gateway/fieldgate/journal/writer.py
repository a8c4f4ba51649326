"""The journal's thread: everything that touches the disk happens here, one thing at a time, in order.

The loop never waits for the disk; what it asked for comes back as a call on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fieldgate.errors import JournalError
from fieldgate.journal.journal import Journal
from fieldgate.threads import leave_signals_to_main

__all__ = ["Writer"]

T = TypeVar("T")


class Writer:
    """Runs work on ``journal`` in one named thread; `close` joins it."""

    def __init__(self, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal", initializer=leave_signals_to_main)
        self._is_closed = False

    def submit(self, work: Callable[[Journal], T], done: Callable[[Future[T]], None]) -> None:
        """Run ``work`` in the thread, then ``done`` with its finished future on the loop; nothing once closed."""
        if self._is_closed:
            return

        def back(future: Future[T]) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(done, future)

        self._pool.submit(self._do, work).add_done_callback(back)

    async def call(self, work: Callable[[Journal], T]) -> T:
        """Run ``work`` in the thread and return what it returns.

        Raises:
            JournalError: the journal is closed.
        """
        if self._is_closed:
            raise JournalError("the journal is closed: the gateway stops")
        return await asyncio.wrap_future(self._pool.submit(self._do, work), loop=self._loop)

    async def close(self) -> None:
        """Finish what was submitted, close the journal and join the thread."""
        if self._is_closed:
            return
        self._is_closed = True
        await asyncio.wrap_future(self._pool.submit(self._do, Journal.close), loop=self._loop)
        self._pool.shutdown(wait=True)

    def _do(self, work: Callable[[Journal], T]) -> T:
        """Runs in the thread."""
        return work(self._journal)
