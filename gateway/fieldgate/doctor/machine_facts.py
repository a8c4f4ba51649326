"""What memory, open files and processor time the gateway's process may have. Reads /proc and /sys only."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MachineFacts", "read_machine"]


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Of the process ``pid``: the running gateway, or the one that looks. None: there is no bound, or it is not told.

    ``memory_limit_bytes`` is the tightest of the control groups above it, ``oom_kills`` how often the kernel killed
    something there for want of memory; ``cpus`` is how many processors' time it may use.
    """

    pid: int
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    memory_limit_bytes: int | None
    memory_used_bytes: int | None
    oom_kills: int
    cpus: float | None
    open_files_limit: int | None
    open_files: int | None


def read_machine(pid: int, root: Path = Path("/")) -> MachineFacts:
    """Read all of it; ``root`` is where /proc and /sys are."""
    process = root / f"proc/{pid}"
    memory = _memory(root)
    groups = _groups(process, root)
    limits = [limit for group in groups if (limit := _number(group / "memory.max")) is not None]
    return MachineFacts(
        pid=pid,
        memory_total_bytes=memory.get("MemTotal"),
        memory_available_bytes=memory.get("MemAvailable"),
        memory_limit_bytes=min(limits, default=None),
        memory_used_bytes=_number(groups[0] / "memory.current") if groups and limits else None,
        oom_kills=_oom_kills(groups[0]) if groups else 0,
        cpus=min((share for group in groups if (share := _cpus(group)) is not None), default=None),
        open_files_limit=_open_files_limit(process),
        open_files=_open_files(process),
    )


def _memory(root: Path) -> dict[str, int]:
    with suppress(OSError):
        text = (root / "proc/meminfo").read_text(encoding="ascii")
        return {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    return {}


def _groups(process: Path, root: Path) -> list[Path]:
    """The control groups (version 2) of the process, the innermost first."""
    with suppress(OSError):
        for line in (process / "cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                top = root / "sys/fs/cgroup"
                inner = top / line[3:].lstrip("/")
                return [one for one in (inner, *inner.parents) if one == top or top in one.parents]
    return []


def _number(path: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))  # "max" is no number: no bound
    return None


def _cpus(group: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    return None


def _oom_kills(group: Path) -> int:
    with suppress(OSError):
        text = (group / "memory.events").read_text(encoding="ascii")
        return sum(int(count) for count in re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE))
    return 0


def _open_files_limit(process: Path) -> int | None:
    with suppress(OSError, ValueError):
        for line in (process / "limits").read_text(encoding="ascii").splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return None


def _open_files(process: Path) -> int | None:
    with suppress(OSError):
        return sum(1 for _ in (process / "fd").iterdir())
    return None
