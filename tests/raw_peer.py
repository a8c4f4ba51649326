"""The end of a socket in a test's hands: it can be waited for, and none is left open."""

from __future__ import annotations

import asyncio
import ssl
from typing import ClassVar, Self

__all__ = ["RawPeer"]


class RawPeer:
    """Base of clients that send the bytes they are given; each kind has its own list of those that are open."""

    opened: ClassVar[list[Self]]  # type: ignore[misc]  # of the class that inherits

    def __init_subclass__(cls) -> None:
        if RawPeer in cls.__bases__:  # a special kind of one is closed with its kind
            cls.opened = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.opened.append(self)

    def heard(self, chunk: bytes) -> None:
        """Put aside what comes while the end is waited for; here it is thrown away."""

    async def is_closed(self, within_s: float = 20.0) -> bool:
        """Whether the server ends the connection in time; then it is closed here too, for which the server waits."""
        try:
            async with asyncio.timeout(within_s):
                while chunk := await self.reader.read(65_536):
                    self.heard(chunk)
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        self.writer.close()
        return True

    @classmethod
    async def close_all(cls) -> None:
        while cls.opened:
            await cls.opened.pop().close()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):  # an alert that said why
            return
