"""What the tests of serial ports share: a device behind an adapter (a pty under a link that stays), and a source on it.

Pty quirks: what is written to a master waits, up to 4 KiB, until somebody opens the slave; closing the master is what
unplugging is to a real port, and throws away what waits.
"""

from __future__ import annotations

import os
import select
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from fieldgate.config.source import SourceConfig
from fieldgate.ingest.serial_source import SerialSource
from fieldgate.ingest.source import Intake
from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.spec import framer_of
from source_run import run_source

__all__ = ["PtyDevice", "make_serial", "reading", "serial_config"]


class PtyDevice:
    """A device that can be plugged in and out; each time the kernel gives it another name."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.node = ""
        self._master: int | None = None
        self._taken: list[int] = []  # names that the next one shall not get

    def __enter__(self) -> PtyDevice:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()
        for fd in self._taken:
            os.close(fd)

    def plug(self) -> None:
        """It is there, under the same link and another name."""
        before = self.node
        while True:
            master, slave = os.openpty()
            self.node = os.ttyname(slave)
            tty.setraw(slave)
            os.close(slave)
            if self.node != before:
                break
            self._taken.append(master)
        os.set_blocking(master, False)
        self._master = master
        link = self.link.with_suffix(".new")
        link.symlink_to(self.node)
        link.replace(self.link)

    def unplug(self) -> None:
        """It is gone, and so is its link."""
        if self._master is not None:
            self.link.unlink()
            os.close(self._master)
            self._master = None

    @property
    def fd(self) -> int:
        """The master."""
        assert self._master is not None
        return self._master

    def write(self, content: bytes, *, within_s: float = 30.0) -> None:
        """Say it; waits for room, so in a test with a gateway of its own loop this is for a thread or for little."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        while content:
            try:
                content = content[os.write(self.fd, content) :]
            except BlockingIOError:
                if not poll.poll(within_s * 1000):
                    raise TimeoutError("nobody reads the pty") from None

    def heard(self) -> bytes:
        """What was written to it, as far as it is there."""
        try:
            return os.read(self.fd, 65536)
        except OSError:  # nothing is there, or nobody has it open
            return b""


def serial_config(port: object, **changes: Any) -> SourceConfig:
    """A source ``scale`` on ``port``; ``changes`` are of ``serial``, but for ``lane``."""
    lane = {"lane": changes.pop("lane")} if "lane" in changes else {}
    return SourceConfig.model_validate({"name": "scale", "serial": {"port": str(port), **changes}, **lane})


def make_serial(intake: Intake, port: object, *, framer: Framer | None = None, **changes: Any) -> SerialSource:
    """A source that is not running yet."""
    config = serial_config(port, **changes)
    return SerialSource(config, intake, framer=framer or framer_of(config.port.framing), rng=Random(7))


@asynccontextmanager
async def reading(intake: Intake, port: object, **changes: Any) -> AsyncIterator[SerialSource]:
    """A source that runs until the block ends."""
    async with run_source(make_serial(intake, port, **changes)) as source:
        yield source
