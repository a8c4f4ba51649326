"""Writes log lines in a thread of its own, so that a reader that stands still never holds up the gateway.

A pipe to a stopped process, a terminal under Ctrl-S and a card that takes seconds to write all block whoever writes.
Here that is the thread; callers leave their lines in a bounded queue, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from fieldgate.threads import leave_signals_to_main

__all__ = ["LogWriter"]

_CHUNK_BYTES: Final = 4096  # what a pipe takes without blocking once it is writable
_POLL_MS: Final = 1000


class LogWriter:
    """A text file as far as a logger needs one. ``on_dropped`` is told, in the thread, how many lines were dropped."""

    def __init__(self, fd: int, *, max_waiting_bytes: int = 256 << 10) -> None:
        self.on_dropped: Callable[[int], None] = lambda lines: None
        self._fd = fd
        self._max_waiting_bytes = max_waiting_bytes
        self._lock = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._is_closing = False
        self._is_writing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)  # a stuck write must not keep us
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a line; never blocks."""
        line = text.encode(errors="backslashreplace")
        with self._lock:
            if self._waiting_bytes + len(line) > self._max_waiting_bytes:
                self._dropped += 1
            else:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
                self._lock.notify_all()
        return len(text)

    def flush(self) -> None:
        """Lines leave by themselves."""

    def close(self, *, deadline_s: float) -> None:
        """Write what waits, for ``deadline_s`` at most, and end the thread."""
        with self._lock:
            self._lock.wait_for(lambda: not self._waiting and not self._is_writing, timeout=deadline_s)
            self._is_closing = True
            self._lock.notify_all()
        self._thread.join(timeout=0 if self._is_writing else deadline_s)

    def _run(self) -> None:
        leave_signals_to_main()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                text = b"".join(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0
                dropped, self._dropped = self._dropped, 0
                self._is_writing = True
            self._write_all(text)
            if dropped:
                self.on_dropped(dropped)
            with self._lock:
                self._is_writing = False
                self._lock.notify_all()

    def _write_all(self, text: bytes) -> None:
        rest = memoryview(text)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest[:_CHUNK_BYTES]) :]
            except BlockingIOError:  # somebody made the descriptor that we share non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll(_POLL_MS)
            except OSError:  # the reader has gone or the disk is full: nobody is left to tell
                return
