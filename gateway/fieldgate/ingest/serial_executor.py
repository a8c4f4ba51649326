"""Commands that are written to a serial port: done when the port has taken all of it, or when the device replies."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from fieldgate.decide.orders import Job, Outcome, Report, Status
from fieldgate.decide.replies import Replies
from fieldgate.ingest.serial_problems import SerialError
from fieldgate_devices.command import SerialWrite

__all__ = ["SerialExecutor", "WritablePort"]


class WritablePort(Protocol):
    """The source of one port; see `fieldgate.ingest.serial_source.SerialSource`."""

    name: str

    @property
    def is_connected(self) -> bool:
        """Whether the port is open."""

    def encode(self, payload: bytes) -> bytes:
        """Return the frame that carries ``payload``; `SerialError` where none can."""

    async def write(self, content: bytes, *, timeout_s: float | None = None) -> None:
        """Write after what others write; `SerialError` where the port did not take all of it."""


class SerialExecutor:
    """Implements `Executor` for the device of one port; `run` does the writing. ``topic`` is that of its messages."""

    def __init__(self, port: WritablePort, topic: str, replies: Replies) -> None:
        self.name = port.name
        self._port = port
        self._topic = topic
        self._replies = replies
        self._queue: deque[tuple[Job, Report]] = deque()
        self._has_work = asyncio.Event()

    def problem(self, job: Job) -> str:
        """See `Executor`."""
        request = job.request
        assert isinstance(request, SerialWrite)
        if not self._port.is_connected:
            return f"the port of source {self.name!r} is not open"
        try:
            self._port.encode(request.payload)
        except SerialError as error:
            return str(error)
        return ""

    def execute(self, job: Job, report: Report) -> None:
        """See `Executor`."""
        if problem := self.problem(job):  # it went while the job was recorded
            report(Outcome(Status.REFUSED, problem))
            return
        self._queue.append((job, report))
        self._has_work.set()

    def cancel(self, job: Job) -> bool:
        """See `Executor`."""
        self._replies.forget(job.mark)
        before = len(self._queue)
        self._queue = deque(one for one in self._queue if one[0].mark != job.mark)
        return len(self._queue) < before

    def resume(self, job: Job, report: Report) -> bool:
        """See `Executor`. Nothing waits for a port over a restart."""
        del job, report
        return False

    async def run(self) -> None:
        """Write what is given, one after the other, until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while self._queue:
                await self._write(*self._queue.popleft())

    async def _write(self, job: Job, report: Report) -> None:
        request = job.request
        assert isinstance(request, SerialWrite)
        if request.reply is not None:
            self._replies.expect(job.mark, self._topic, request.reply, lambda: report(Outcome(Status.DONE)))
        try:
            await self._port.write(self._port.encode(request.payload))
        except SerialError as error:
            self._replies.forget(job.mark)
            report(Outcome(Status.TIMEOUT, f"{error}; the device may have got a part of it"))
        else:
            if request.reply is None:
                report(Outcome(Status.DONE))
