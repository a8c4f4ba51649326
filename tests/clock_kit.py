"""libfaketime: the wall clock of a process, moved while it runs; CLOCK_BOOTTIME and CLOCK_MONOTONIC go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

__all__ = ["FakeTime", "needs_faketime"]

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class FakeTime:
    """The wall clock of the processes that get `env`; moved while they run."""

    def __init__(self, folder: Path, now: str) -> None:
        self._file = folder / "wall-clock"
        self.set(now)
        self.env = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
        }

    def set(self, now: str) -> None:
        """``@1970-01-01 00:01:00`` is that time from now on, ``+0`` the true one, ``-3600`` an hour less."""
        part = self._file.with_suffix(".part")
        part.write_text(now + "\n")
        part.rename(self._file)


def _fakes_only_the_wall_clock() -> bool:
    if not LIBRARIES:
        return False
    folder = Path("/tmp")
    program = "import time; print(time.time() < 1000, time.clock_gettime(time.CLOCK_BOOTTIME))"
    env = {**os.environ, "LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME": "@1970-01-01 00:00:10", "TZ": "UTC"}
    env["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, cwd=folder, check=False
    )
    fake, _, boot_s = done.stdout.strip().partition(" ")
    return fake == "True" and abs(float(boot_s) - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


needs_faketime = pytest.mark.skipif(
    not _fakes_only_the_wall_clock(),
    reason="needs libfaketime (apt-get install libfaketime) that leaves CLOCK_BOOTTIME",
)
