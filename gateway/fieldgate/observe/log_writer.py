"""Writes log lines in a thread of its own, so that a reader that stands still never holds up the gateway.

A pipe to a stopped process, a terminal under Ctrl-S and a card that takes seconds to write all block whoever writes.
Here that is the thread; callers leave their lines in a bounded queue, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fieldgate.threads import leave_signals_to_main

__all__ = ["LogWriter", "Sink"]


class Sink(Protocol):
    """Where lines end."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Take all of them, in order; may block, and never raises: nobody is left to tell."""


class LogWriter:
    """A text file as far as a logger needs one. ``on_dropped`` is told, in the thread, how many lines were dropped."""

    def __init__(self, sink: Sink, *, max_waiting_bytes: int = 256 << 10) -> None:
        self.on_dropped: Callable[[int], None] = lambda lines: None
        self._sink = sink
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
        self.put(text.encode(errors="backslashreplace"))
        return len(text)

    def put(self, line: bytes) -> None:
        """Take a line, or an entry, as its sink wants it; never blocks."""
        with self._lock:
            if self._waiting_bytes + len(line) > self._max_waiting_bytes:
                self._dropped += 1
            else:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
                self._lock.notify_all()

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
                lines = list(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0
                dropped, self._dropped = self._dropped, 0
                self._is_writing = True
            self._sink.write(lines)
            if dropped:
                self.on_dropped(dropped)
            with self._lock:
                self._is_writing = False
                self._lock.notify_all()
