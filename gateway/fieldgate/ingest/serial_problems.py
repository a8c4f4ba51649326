"""What is wrong with a serial port, in words that a person can act on."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from fieldgate.errors import FieldgateError

__all__ = [
    "PortProblem",
    "SerialDown",
    "SerialError",
    "lock_holder",
    "lost_problem",
    "open_problem",
    "this_user",
    "unfit_problem",
]

_GONE: Final = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADF})
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR, errno.ELOOP})
_KINDS: Final = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISREG, "is a plain file"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISFIFO, "is a pipe"),
    (stat.S_ISBLK, "is a disk"),
)


class SerialError(FieldgateError):
    """Nothing, or not all of it, was written to a serial port."""


class SerialDown(SerialError):
    """The port is not open; what was to be written is not kept for later."""


class PortProblem(FieldgateError):
    """A port cannot be opened, or not be used any more.

    ``kind``: the device is not there; a person must mend it; anything else that may pass by itself.
    """

    def __init__(self, text: str, *, kind: Literal["absent", "refused", "failed"] = "failed") -> None:
        super().__init__(text)
        self.kind = kind


def unfit_problem(path: str) -> PortProblem | None:
    """Say what ``path`` is if it can be no serial port; None where only opening it tells, or it is not there."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return None
    for is_kind, words in _KINDS:
        if is_kind(mode):
            return PortProblem(f"{path} {words}, no serial port", kind="refused")
    return None


def open_problem(path: str, error: OSError) -> PortProblem:
    """Say why a device could not be opened or set up."""
    code = error.errno
    if code in _NOT_THERE:
        return PortProblem(f"{path} is not there: is the device plugged in?", kind="absent")
    if code in (errno.EACCES, errno.EPERM):
        return PortProblem(_denied(path, code), kind="refused")
    if code in (errno.EWOULDBLOCK, errno.EBUSY):
        return PortProblem(f"{path} is busy: {_who(path)} has it locked")
    if code == errno.ENOTTY:
        return PortProblem(f"{path} is no serial port", kind="refused")
    if code in _GONE:
        return PortProblem(f"{path} does not answer: the kernel has the device and cannot use it ({_words(error)})")
    return PortProblem(f"{path} cannot be opened: {_words(error)}")


def lost_problem(where: str, error: OSError | None) -> PortProblem:
    """Say why an open port is over; ``error`` is None when it hung up without one."""
    if error is None or error.errno in _GONE:
        return PortProblem(f"{where} is gone: unplugged?")
    return PortProblem(f"{where} failed: {_words(error)}")


def lock_holder(path: str) -> tuple[int, str] | None:
    """Return process id and name of who holds the lock on ``path``; None if that cannot be found out."""
    try:
        node = Path(path).stat()
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    wanted = f"{os.major(node.st_dev):02x}:{os.minor(node.st_dev):02x}:{node.st_ino}"
    for line in locks.splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, place, *_] if place == wanted and int(pid) > 0:
                return int(pid), _name_of(int(pid))
    return None


def _who(path: str) -> str:
    holder = lock_holder(path) or next(_openers(path), None)
    if holder is None:
        return "another program"
    pid, name = holder
    return f"process {pid}{f' ({name})' if name else ''}"


def _openers(path: str) -> Iterator[tuple[int, str]]:
    """Who has the device open, as far as this user may see it."""
    device = os.path.realpath(path)
    for folder in Path("/proc").glob("[0-9]*/fd"):
        pid = int(folder.parent.name)
        with suppress(OSError):
            if pid != os.getpid() and any(str(one.readlink()) == device for one in folder.iterdir()):
                yield pid, _name_of(pid)


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _denied(path: str, code: int) -> str:
    try:
        node = Path(path).stat()
    except OSError as error:
        return f"{path}: permission denied on the way to it ({_words(error)})"
    user, group = this_user(), _group(node.st_gid)
    mode = f"{stat.S_IMODE(node.st_mode):04o}"
    if code == errno.EPERM:
        return f"{path}: not permitted to this service: its unit needs a DeviceAllow= for this kind of device"
    if node.st_mode & 0o060 != 0o060 or node.st_gid == 0:
        return (
            f"{path}: permission denied: only its owner may use it (group {group!r}, mode {mode}); "
            'a udev rule with GROUP="dialout", MODE="0660" opens it to a group'
        )
    if _is_member(user, group):
        return f"{path}: permission denied: {user} is in group {group!r} since this process began; restart the gateway"
    return (
        f"{path}: permission denied: it belongs to group {group!r}, and {user} is not in it; "
        f"'sudo usermod -aG {group} {user}', then restart the gateway"
    )


def this_user() -> str:
    """The name this process runs under; its number where it has none, as in many containers."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _is_member(user: str, group: str) -> bool:
    try:
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
