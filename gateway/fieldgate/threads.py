"""What every thread of the gateway has in common: signals are the main thread's affair."""

from __future__ import annotations

import signal

__all__ = ["leave_signals_to_main"]


def leave_signals_to_main() -> None:
    """Block all signals in the calling thread; the first thing that a thread does.

    A signal is handled in the main thread, but any thread may be interrupted by it: the main thread, which waits in the
    loop, would not notice before the next timer.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
