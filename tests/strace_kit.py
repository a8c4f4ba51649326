"""strace for tests: records what a process does to its files, or lets chosen system calls fail or take long."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from power_replay import TRACED

__all__ = ["inject", "needs_strace", "record"]


@functools.cache
def _why_not() -> str:
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    done = subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {done.stderr.strip()}" if done.returncode else ""


needs_strace = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


def record(log: Path, *command: str | Path) -> None:
    """Run a Python script to its end and write all that it does to files into ``log``."""
    trace = ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={TRACED}", "-o", str(log)]
    subprocess.run([*trace, sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, check=True, timeout=60)


def inject(call: str, what: str) -> tuple[str, ...]:
    """A command to run another under, in which ``call`` is tampered with: ``error=EIO:when=5``, ``delay_enter=…``.

    Calls are counted per thread. The process that is started is the other one, with its pid and its exit code.
    """
    trace = ("-e", f"trace={call}", "-e", f"inject={call}:{what}")
    return ("strace", "-D", "-f", "--seccomp-bpf", "-qq", *trace, "-o", "/dev/null")
