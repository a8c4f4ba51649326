"""Hold a process to a share of one core with a cgroup (v1 or v2): the nearest thing to a small device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import NotPossibleHere

__all__ = ["cpu_limited"]

PERIOD_US = 100_000
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@contextmanager
def cpu_limited(pid: int, *, share: float) -> Iterator[None]:
    """Give ``pid`` and what it starts at most ``share`` of one core for the length of a ``with`` block.

    Raises:
        NotPossibleHere: this machine lets us make no such cgroup.
    """
    is_v1 = (V1 / "cpu.cfs_quota_us").exists() or (V1 / "cgroup.procs").exists()
    parent = V1 if is_v1 else V2
    group = parent / f"fieldgate-bench-{os.getpid()}"
    quota_us = int(share * PERIOD_US)
    try:
        group.mkdir()
    except OSError as error:
        raise NotPossibleHere(f"no cgroup can be made under {parent}: {error.strerror}") from error
    try:
        try:
            if is_v1:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise NotPossibleHere(f"{group} takes no CPU limit: {error.strerror}") from error
        yield
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            (parent / "cgroup.procs").write_text(member)
        group.rmdir()
