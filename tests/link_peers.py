"""The two ends of a link under test: plain TCP, so that every byte and every end can be seen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Upstream:
    """A TCP server that keeps what it hears, per connection, and can answer."""

    heard: list[bytearray] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(self.heard)
        self.heard.append(bytearray())
        self.writers.append(writer)
        end = "fin"
        try:
            await self._notify()
            while chunk := await reader.read(65536):
                self.heard[index] += chunk
                await self._notify()
        except ConnectionResetError:
            end = "reset"
        self.ended.append(end)
        await self._notify()
        writer.close()

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def hears(self, expected: bytes, *, connection: int = 0) -> None:
        await self.until(lambda: len(self.heard) > connection and bytes(self.heard[connection]) == expected)

    async def until(self, claim) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(claim)


class Client:
    """One client connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, chunk: bytes) -> None:
        self.writer.write(chunk)

    async def hears(self, size: int) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.readexactly(size)

    async def is_silent(self, for_s: float = 0.15) -> bool:
        """Nothing arrives and nothing ends for a while: only the clock can show silence."""
        try:
            async with asyncio.timeout(for_s):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    async def end(self) -> str:
        try:
            async with asyncio.timeout(20):
                while await self.reader.read(65536):
                    pass
        except ConnectionResetError:
            return "reset"
        return "fin"
