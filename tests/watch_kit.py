"""A watch of a folder that runs while a test looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

__all__ = ["RunningWatch"]


class RunningWatch:
    """``run`` is a task of its own from the beginning of the block to its end."""

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._run = run

    async def __aenter__(self) -> Self:
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
