"""A network of a test's own, with a wire that loses packets. As root.

The wire is a TUN device in a network namespace: what is sent to ``FAR`` comes back from it with its addresses swapped,
which keeps every checksum right. So who connects to ``FAR`` reaches what listens on ``NEAR``, through the kernel's own
TCP and over a wire whose packets are in the test's hands. netem, which most machines' kernels lack, is not needed.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest

__all__ = ["FAR", "NEAR", "Wire", "needs_root", "own_network", "wire"]

NEAR: Final = "10.99.0.1"
FAR: Final = "10.99.0.2"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_TUN: Final = Path("/dev/net/tun")
_MAX_PACKET: Final = 65_536
_AT_ONCE: Final = 64  # packets read before others have their turn


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)


@contextmanager
def own_network() -> Iterator[None]:
    """Give this thread, and the threads and processes that it starts, a network namespace with a loopback."""
    if shutil.which("ip") is None or not _TUN.exists():
        pytest.skip("a network of its own needs the command ip and /dev/net/tun")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace here: {os.strerror(ctypes.get_errno())}")
        try:
            _ip("link", "set", "lo", "up")
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "cannot go back to the network as it was")
    finally:
        os.close(before)


class Wire:
    """Loses each packet with the chance ``loss``, in both directions; the others take ``delay_s``."""

    def __init__(self, device: int, *, loss: float, delay_s: float, rng: Random) -> None:
        self.loss = loss
        self.carried = 0
        self.lost = 0
        self._device = device
        self._delay_s = delay_s
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(device, self._read)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(_AT_ONCE):
                packet = os.read(self._device, _MAX_PACKET)
                if packet[0] >> 4 != 4:
                    continue  # IPv6 looks for neighbours
                if self._rng.random() < self.loss:
                    self.lost += 1
                else:
                    self._loop.call_later(self._delay_s, self._bring_back, packet)

    def _bring_back(self, packet: bytes) -> None:
        if self._device >= 0:
            self.carried += 1
            os.write(self._device, packet[:12] + packet[16:20] + packet[12:16] + packet[20:])

    def close(self) -> None:
        """Nothing is carried any more; the device vanishes."""
        self._loop.remove_reader(self._device)
        os.close(self._device)
        self._device = -1


@asynccontextmanager
async def wire(*, loss: float, delay_s: float = 0.0, seed: int = 7) -> AsyncIterator[Wire]:
    """A wire in `own_network`."""
    device = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH14x", b"wire", _IFF_TUN_NO_PI))
    one = Wire(device, loss=loss, delay_s=delay_s, rng=Random(seed))
    try:
        _ip("address", "add", f"{NEAR}/24", "dev", "wire")
        _ip("link", "set", "wire", "up")
        yield one
    finally:
        one.close()
