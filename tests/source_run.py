"""A source that runs until its test is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeVar


class Source(Protocol):
    def run(self) -> Awaitable[None]: ...

    async def stop_reading(self) -> None: ...

    async def stop(self) -> None: ...


Kind = TypeVar("Kind", bound=Source)


@asynccontextmanager
async def run_source(source: Kind) -> AsyncIterator[Kind]:
    task = asyncio.ensure_future(source.run())
    try:
        yield source
    finally:
        await source.stop_reading()
        await source.stop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
