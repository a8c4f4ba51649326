"""What is to be known of the folder that holds the journal. Reads, and writes one probe that it deletes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fieldgate.doctor.mounts import Mount, mount_of
from fieldgate.doctor.sync_speed import SyncTimes, measure_syncs
from fieldgate.doctor.wear import DiskWear, read_wear

__all__ = ["StorageFacts", "read_storage"]


@dataclass(frozen=True, slots=True)
class StorageFacts:
    """``there`` is the folder, or what of it exists; ``error`` is the errno of writing there, 0 if that works."""

    folder: Path
    there: Path
    error: int
    mode: int
    owner: int
    mount: Mount | None
    free_bytes: int
    total_bytes: int
    free_files: int | None
    used_bytes: int
    set_aside: tuple[str, ...]
    syncs: SyncTimes | None
    wear: tuple[DiskWear, ...]
    filesystem_errors: int | None

    @property
    def is_made(self) -> bool:
        """Whether the folder exists."""
        return self.there == self.folder


def read_storage(
    folder: Path, *, tell: Callable[[str], None] = lambda _text: None, system: Path = Path("/sys")
) -> StorageFacts:
    """Look at ``folder`` and measure it.

    Raises:
        OSError: not even what exists of it can be looked at.
    """
    there = _existing(folder)
    status, space, mount = there.stat(), os.statvfs(there), mount_of(there)
    syncs, error = None, 0
    try:
        syncs = measure_syncs(there, tell=tell)
    except OSError as failure:
        error = failure.errno or 0
    files = _files(folder)
    return StorageFacts(
        folder=folder,
        there=there,
        error=error,
        mode=stat.S_IMODE(status.st_mode),
        owner=status.st_uid,
        mount=mount,
        free_bytes=space.f_bavail * space.f_frsize,
        total_bytes=space.f_blocks * space.f_frsize,
        free_files=space.f_favail if space.f_files else None,  # btrfs and others have no bound
        used_bytes=sum(size for _, size in files),
        set_aside=tuple(sorted(name for name, _ in files if ".damaged-" in name and not name.endswith("-wal"))),
        syncs=syncs,
        wear=tuple(read_wear(mount.device, system=system)) if mount is not None else (),
        filesystem_errors=_filesystem_errors(mount, system),
    )


def _existing(folder: Path) -> Path:
    for path in (folder, *folder.parents):
        with suppress(OSError):
            if path.is_dir():
                return path
    return Path("/")


def _files(folder: Path) -> list[tuple[str, int]]:
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((path.name, status.st_size))
    return found


def _filesystem_errors(mount: Mount | None, system: Path) -> int | None:
    """How often ext4 has found itself damaged since it was last checked."""
    if mount is None or not mount.kind.startswith("ext"):
        return None
    with suppress(OSError, ValueError):
        name = Path(os.path.realpath(system / "dev/block" / mount.device)).name
        return int((system / "fs/ext4" / name / "errors_count").read_text(encoding="ascii"))
    return None
