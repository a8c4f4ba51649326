"""The service manager's end of ``NOTIFY_SOCKET``: what systemd would have heard, in order."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Manager", "listening_manager"]


class Manager:
    """Collects datagrams; ``heard`` is all of their lines so far."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self._lines: list[str] = []
        self.address = address

    @property
    def heard(self) -> list[str]:
        while True:
            try:
                self._lines += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self._lines

    def count(self, line: str) -> int:
        return self.heard.count(line)

    def values(self, name: str) -> list[str]:
        """What was assigned to ``name``, oldest first."""
        return [line.partition("=")[2] for line in self.heard if line.startswith(f"{name}=")]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening_manager(folder: Path | None = None) -> Iterator[Manager]:
    """With an abstract socket, or one in ``folder``."""
    name = f"@fieldgate-test-{os.getpid()}-{os.urandom(4).hex()}" if folder is None else str(folder / "notify")
    manager = Manager(name)
    try:
        yield manager
    finally:
        manager.close()
