"""Replace a small private file so that a reader or a power cut sees the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from fieldgate.errors import FieldgateError

__all__ = ["FileNotReplaced", "change_file"]

_NEW_MODE: Final = 0o600
_NOT_FOR_OTHERS: Final = 0o770


class FileNotReplaced(FieldgateError):
    """The file is as it was."""


def change_file(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Put what ``change`` makes of the content (of nothing, if there is no file) in its place, and onto the disk.

    Changes wait for each other. A new file has mode 0600; an old one keeps owner, group and mode, but others lose
    what they may.

    Raises:
        FileNotReplaced: something on the way failed. What ``change`` raises passes through.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    try:
        with _locked(path.parent) as folder:
            old = path.stat() if path.exists() else None
            _replace(path, change(path.read_bytes() if old is not None else b""), old)
            os.fsync(folder)
    except OSError as error:
        raise FileNotReplaced(f"{path}: cannot be changed: {(error.strerror or str(error)).lower()}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _replace(path: Path, content: bytes, old: os.stat_result | None) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NEW_MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            if old is not None:
                if (old.st_uid, old.st_gid) != (os.getuid(), os.getgid()):
                    os.fchown(fd, old.st_uid, old.st_gid)  # the gateway's user must still be able to read it
                os.fchmod(fd, stat.S_IMODE(old.st_mode) & _NOT_FOR_OTHERS)
            else:
                os.fchmod(fd, _NEW_MODE)
            file.write(content)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except BaseException:  # Ctrl-C too leaves no half file with passwords in it
        fresh.unlink(missing_ok=True)
        raise
