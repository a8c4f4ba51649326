"""The journal's folder: its lock, its names, what is set aside, and the ballast for a full disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from pathlib import Path
from typing import Final

from fieldgate.journal.records import JournalBusy, JournalFull, JournalRefused

__all__ = [
    "STAGE",
    "Ballast",
    "Folder",
    "data_files",
    "delete_file",
    "lock_holder",
    "open_mode",
    "share_lock",
    "sync_folder",
]

STAGE: Final = "backup.part"
"""The folder in which what is stored is copied for a backup; it means nothing afterwards."""

_NAME: Final = re.compile(r"journal-(\d{6,})\.db")
_ASIDE: Final = re.compile(r"journal-(\d{6,})\.db\.damaged-(\d+)")
_KEPT_ASIDE: Final = 2
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")


def sync_folder(folder: Path) -> None:
    """Make names that were just created, renamed or deleted in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def delete_file(path: Path) -> None:
    """Delete a database file with what SQLite keeps beside it."""
    for name in (path, *(path.with_name(path.name + suffix) for suffix in _SIDE_FILES)):
        name.unlink(missing_ok=True)


def open_mode(path: Path, *, is_read_only: bool) -> str:
    """How SQLite is to open a file. Read only means that not even its log is moved or its locks are taken."""
    if not is_read_only:
        return "mode=rw"
    wal = path.with_name(path.name + "-wal")
    has_wal = wal.exists() and wal.stat().st_size > 0
    return "mode=ro&vfs=unix-none" if has_wal else "mode=ro&immutable=1"


def data_files(folder: Path) -> tuple[list[tuple[int, Path]], list[tuple[int, Path]]]:
    """Data files by ascending epoch, and those that were set aside, the oldest first; changes nothing."""
    names = list(folder.iterdir())
    databases = [(int(match[1]), path) for path in names if (match := _NAME.fullmatch(path.name))]
    aside = [(int(match[1]), int(match[2]), path) for path in names if (match := _ASIDE.fullmatch(path.name))]
    return sorted(databases), [(epoch, path) for epoch, _, path in sorted(aside)]


class Folder:
    """The folder, locked for this process until `close`.

    Raises:
        JournalBusy: another process holds the lock.
        JournalRefused: the folder cannot be made, read or written with this user's rights.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_closed = False
        self._lock = _take_lock(path)
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            self.close()
            raise _refusal(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def ensure(self) -> None:
        """Make the folder and take the lock again if someone deleted them under us."""
        with contextlib.suppress(OSError):
            there, here = (self.path / "lock").stat(), os.fstat(self._lock)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return
        lock = _take_lock(self.path)
        os.close(self._lock)
        self._lock = lock

    def close(self) -> None:
        """Release the lock."""
        if not self.is_closed:
            self.is_closed = True
            os.close(self._lock)

    def database(self, epoch: int) -> Path:
        """The path of the data file of that epoch."""
        return self.path / f"journal-{epoch:06d}.db"

    def databases(self) -> list[tuple[int, Path]]:
        """Data files by ascending epoch; what a start that was cut short left half done is undone or finished."""
        found: list[tuple[int, Path]] = []
        for path in sorted(self.path.iterdir()):
            self._finish_setting_aside(path)
        for path in self.path.iterdir():
            if match := _NAME.fullmatch(path.name):
                found.append((int(match[1]), path))
            elif path.name.startswith("new-journal"):
                path.unlink(missing_ok=True)
        return sorted(found)

    def set_aside_files(self) -> list[tuple[int, Path]]:
        """Files that were set aside, with their epochs, the oldest first."""
        matches = ((_ASIDE.fullmatch(path.name), path) for path in self.path.iterdir())
        found = sorted((int(match[1]), int(match[2]), path) for match, path in matches if match)
        return [(epoch, path) for epoch, _, path in found]

    def prune_set_aside(self, draining: set[Path], *, max_bytes: int) -> None:
        """Of the files that hold nothing any more keep the newest two for inspection, within ``max_bytes``."""
        kept_bytes = 0
        kept = 0
        for _, path in reversed(self.set_aside_files()):
            if path in draining:
                continue
            size_bytes = path.stat().st_size
            if kept < _KEPT_ASIDE and kept_bytes + size_bytes <= max_bytes:
                kept += 1
                kept_bytes += size_bytes
            else:
                delete_file(path)
        sync_folder(self.path)

    def set_aside(self, path: Path) -> Path:
        """Rename a data file, with its write-ahead log, so that it is never opened as a journal again."""
        number = 1
        while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        wal = path.with_name(path.name + "-wal")
        if wal.exists():
            wal.rename(target.with_name(target.name + "-wal"))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        path.rename(target)
        sync_folder(self.path)
        return target

    def _finish_setting_aside(self, wal: Path) -> None:
        """Cut in the middle, `set_aside` leaves a log with its new name beside a data file with its old one."""
        target = wal.with_name(wal.name.removesuffix("-wal"))
        match = _ASIDE.fullmatch(target.name)
        if match is None or target == wal or target.exists():
            return
        path = self.database(int(match[1]))
        if path.exists():
            path.rename(target)
            sync_folder(self.path)


class Ballast:
    """A preallocated file, given up when the disk is full so that a removal can still be written."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self.is_held = path.exists() and path.stat().st_size >= size_bytes

    def release(self) -> bool:
        """Give the space back; answers whether there was any."""
        was_held = self.is_held or self._path.exists()
        self._path.unlink(missing_ok=True)
        self.is_held = False
        return was_held

    def restore(self) -> None:
        """Take the space again if there is enough; otherwise nothing happens."""
        if self.is_held:
            return
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size_bytes)
            finally:
                os.close(fd)
        except OSError:
            self._path.unlink(missing_ok=True)
            return
        self.is_held = True


def _make_folder(path: Path) -> None:
    """Make the folder, so that it is there after a power cut."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in made:
        with contextlib.suppress(PermissionError):  # a folder that takes entries need not show them
            sync_folder(folder.parent)


def _open_lock(folder: Path) -> int:
    """Open the lock file; one that root makes is its folder's owner's, who is to take the lock after."""
    path, flags = folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError):
        lock = os.open(path, flags | os.O_EXCL, 0o600)
        if os.geteuid() == 0:
            around = folder.stat()
            os.fchown(lock, around.st_uid, around.st_gid)
        return lock
    return os.open(path, flags)


def _take_lock(path: Path) -> int:
    try:
        _make_folder(path)
        lock = _open_lock(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise JournalFull("disk", f"{path}: no space left for the journal") from error
        raise _refusal(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = lock_holder(lock)
        os.close(lock)
        raise JournalBusy(path, holder) from error
    with contextlib.suppress(OSError):  # a full disk must not keep the gateway from starting
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def lock_holder(lock: int) -> int | None:
    """The process that noted itself in the lock file, if it still runs: who only reads notes nothing."""
    noted = os.pread(lock, 32, 0).strip()
    return int(noted) if noted.isdigit() and Path(f"/proc/{int(noted)}").exists() else None


def share_lock(folder: Path) -> int | None:
    """Keep a gateway from starting while its files are read; its own lock file is enough, and is not made here.

    Raises:
        JournalBusy: a gateway runs.
    """
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = lock_holder(lock)
        os.close(lock)
        raise JournalBusy(folder, holder) from error
    return lock


def _refusal(path: Path, error: OSError) -> JournalRefused:
    at = f" ({error.filename})" if isinstance(error.filename, str) and error.filename != str(path) else ""
    return JournalRefused(
        f"{path}: the journal folder cannot be used: {error.strerror or error}{at}; check journal.path and its owner"
    )
