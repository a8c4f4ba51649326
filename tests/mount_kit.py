"""File systems of a test's own: small, full, read-only, or with a power cut. As root.

Mounts live in a mount namespace of the test where the machine lets us have one, so that they vanish with it even when
the test is killed; else they are unmounted at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Disk", "mounted", "needs_root", "private_mounts", "shut_down"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")

_SHUTDOWN: Final = 0x8004587D  # FS_IOC_SHUTDOWN, which xfs calls XFS_IOC_GOINGDOWN
_NO_LOG_FLUSH: Final = 2
_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000
_MS_REC_PRIVATE: Final = 0x4000 | 0x40000
_MAKE: Final = {"ext4": (("mkfs.ext4", "-qF"), 48 << 20), "xfs": (("mkfs.xfs", "-qf"), 300 << 20)}


@contextmanager
def private_mounts() -> Iterator[None]:
    """Give this thread, and what it starts inside, a mount namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    before, folder = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY), Path.cwd()
    try:
        if libc.unshare(_CLONE_NEWNS) != 0:
            yield
            return
        try:
            if libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None) != 0:
                raise OSError(ctypes.get_errno(), "mounts cannot be made private")
            yield
        finally:
            libc.unshare(_CLONE_FS)  # threads begun meanwhile share it, and setns refuses then
            if libc.setns(before, _CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "cannot go back to the mounts as they were")
            os.chdir(folder)
    finally:
        os.close(before)


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")


@contextmanager
def mounted(kind: str, target: Path, *, options: str) -> Iterator[Path]:
    """A file system that needs no device, made at ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    _mount("-t", kind, "-o", options, "none", target)
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", target], check=False, capture_output=True)


def shut_down(path: Path) -> None:
    """From now on nothing reaches the device of the file system at ``path`` any more, as if the power was gone."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("<I", _NO_LOG_FLUSH))
    finally:
        os.close(fd)


class Disk:
    """A file system in an image file, whose power can be cut."""

    def __init__(self, folder: Path, kind: str, *, options: str = "loop") -> None:
        command, size_bytes = _MAKE[kind]
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        self.image, self.path = folder / f"{kind}.image", folder / kind
        self._options = options if options == "loop" else f"loop,{options}"
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(size_bytes)
        subprocess.run([*command, self.image], check=True)
        self.turn_on()

    def turn_on(self) -> None:
        _mount("-o", self._options, self.image, self.path)

    def cut(self) -> None:
        """From now on nothing reaches the image any more, as if the power was gone."""
        shut_down(self.path)

    def find_an_error(self) -> None:
        """Let ext4 believe that it has found itself damaged."""
        (mount,) = (line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {self.path} " in line)
        trigger = Path("/sys/fs/ext4") / Path(mount.split()[0]).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel's ext4 cannot be told to find an error")
        trigger.write_text("a test\n")

    def turn_off(self) -> None:
        subprocess.run(["umount", self.path], check=True)

    def throw_away(self) -> None:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", "-l", self.path], check=False, capture_output=True)
        self.image.unlink(missing_ok=True)
