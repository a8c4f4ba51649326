"""Read what the kernel counts: CPU, memory and flash of a process tree, the block device, the machine itself.

Linux only: everything comes from /proc and /sys. A figure that this machine does not offer is None, never a guess.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Usage",
    "connections_to",
    "describe_machine",
    "device_bytes_written",
    "load_clock_us",
    "process_tree",
    "rss_mb",
    "usage_of",
]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SECTOR_BYTES = 512  # the unit of /sys/…/stat, whatever the device's own sector size
LOAD_CLOCK_BASE_US = 10**15  # load.c: CLOCK_BASE_US


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree has used since it started."""

    cpu_s: float
    written_bytes: int

    def since(self, earlier: Usage) -> Usage:
        """Return what was used after ``earlier``."""
        return Usage(cpu_s=self.cpu_s - earlier.cpu_s, written_bytes=self.written_bytes - earlier.written_bytes)


def load_clock_us() -> int:
    """Return the time on the clock of ``load.c``."""
    return time.monotonic_ns() // 1000 + LOAD_CLOCK_BASE_US


def process_tree(root_pid: int) -> list[int]:
    """Return ``root_pid`` and all its descendants that are alive."""
    found, todo = [], [root_pid]
    while todo:
        pid = todo.pop()
        try:
            children = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.append(pid)
        todo += [int(child) for of_task in children for child in of_task]
    return found


def usage_of(root_pid: int) -> Usage:
    """Return CPU (user + system, all threads) and bytes sent towards storage by a process tree."""
    ticks = written = 0
    for pid in process_tree(root_pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        written += int(_field(f"/proc/{pid}/io", "write_bytes") or 0)
    return Usage(cpu_s=ticks / TICKS_PER_S, written_bytes=written)


def rss_mb(root_pid: int, *, peak: bool = False) -> float:
    """Return the resident memory of a process tree now, or the sum of its peaks; in 10^6 bytes."""
    name = "VmHWM" if peak else "VmRSS"
    kib = sum(int(_field(f"/proc/{pid}/status", name) or 0) for pid in process_tree(root_pid))
    return round(kib * 1024 / 1e6, 1)


def device_bytes_written(folder: Path) -> int | None:
    """Return the bytes ever written to the block device under ``folder``, by anyone; None if it has none.

    The file system is synced first, so that what was written before the call is counted.
    """
    number = folder.stat().st_dev
    counters = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    if not counters.exists():
        return None
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return int(counters.read_text().split()[6]) * SECTOR_BYTES


def connections_to(port: int) -> int:
    """Return how many established TCP connections (IPv4) there are to a local port."""
    remote, established = f":{port:04X}", "01"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(fields[2].endswith(remote) and fields[3] == established for fields in lines)


def describe_machine(*, work: Path, mosquitto: Path) -> dict[str, object]:
    """Return the facts that a reader needs to judge the figures."""
    said = subprocess.run([str(mosquitto), "-h"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\S+)", said)
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mosquitto": version[1] if version else "?",
        "file_system": _file_system(work),
        "load_average": os.getloadavg()[0],
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _file_system(folder: Path) -> str:
    """Return the type of the file system that ``folder`` is on."""
    number = folder.stat().st_dev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return "?"


def _field(path: str, name: str) -> str:
    """Return the value after ``name:`` in a /proc file, without its unit; empty when it is not there."""
    try:
        text = Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    match = re.search(rf"^{name}\s*:\s*(.*?)(?: kB)?$", text, re.MULTILINE)
    return match[1] if match else ""
