"""On which file system a folder lies, and on which device that is. Reads /proc and /sys only."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Mount", "disks_of", "mount_of"]

_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_DEPTH: Final = 8  # of device-mapper on md on device-mapper …


@dataclass(frozen=True, slots=True)
class Mount:
    """``options`` are those of the mount and of the file system together; ``device`` is MAJOR:MINOR."""

    point: str
    kind: str
    device: str
    source: str
    options: frozenset[str]


def mount_of(folder: Path, *, table: Path = Path("/proc/self/mountinfo")) -> Mount | None:
    """Return the mount on which the (existing) ``folder`` lies; None where the system does not tell."""
    status = folder.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    real = os.path.realpath(folder)
    found: Mount | None = None
    for mount in _mounts(table):
        is_above = real == mount.point or real.startswith(mount.point.rstrip("/") + "/")
        # btrfs and overlay give files another device than the table tells: the longest path decides, the last one wins
        if is_above and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    if found is None or found.kind in {"btrfs", "overlay"} or found.device == device:
        return found
    return next((one for one in reversed(_mounts(table)) if one.device == device), found)


def _mounts(table: Path) -> list[Mount]:
    mounts = []
    with suppress(OSError):
        for line in table.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            head, tail = before.split(" "), after.split(" ")
            if len(head) >= 6 and len(tail) >= 3:
                options = frozenset([*head[5].split(","), *tail[2].split(",")])
                mounts.append(Mount(_plain(head[4]), tail[0], head[2], _plain(tail[1]), options))
    return mounts


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def disks_of(device: str, *, system: Path = Path("/sys")) -> list[Path]:
    """Return the folders in /sys of the whole disks behind MAJOR:MINOR: below partitions, encryption, LVM and RAID."""
    start = system / "dev/block" / device
    return sorted(set(_below(Path(os.path.realpath(start)), _DEPTH))) if start.exists() else []


def _below(folder: Path, depth: int) -> list[Path]:
    lower = list((folder / "slaves").glob("*")) if depth else []
    if lower:
        return [disk for one in lower for disk in _below(Path(os.path.realpath(one)), depth - 1)]
    return [folder.parent] if (folder / "partition").exists() else [folder]
