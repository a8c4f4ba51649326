"""Questions and answers over one connection, each with its time.

The time of a question runs from when those asked before it are answered or given up: a server that asks the units
behind it one after the other is not blamed for the silence of the first.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from fieldgate.errors import FieldgateError
from fieldgate.ingest.modbus_wire import Answer, Question, Wire
from fieldgate_devices.modbus import Request, Write

__all__ = ["Channel", "ChannelDown", "Dialogue"]


class ChannelDown(FieldgateError):
    """There is no connection, or it was lost; ``is_refusal``: a person must mend it."""

    def __init__(self, text: str, *, is_refusal: bool = False) -> None:
        super().__init__(text)
        self.is_refusal = is_refusal


class Channel(ABC):
    """A way to the units of a source; see `modbus_tcp` and `modbus_serial`."""

    where = ""
    """What it leads to while it is open."""
    late = 0

    @abstractmethod
    async def open(self) -> None:
        """Connect.

        Raises:
            ChannelDown: it cannot be done now.
        """

    @abstractmethod
    async def ask(self, unit: int, what: Request | Write, timeout_s: float) -> Answer | None:
        """Return the answer, None where there is none in time.

        Raises:
            ChannelDown: the connection is gone.
        """

    @abstractmethod
    async def close(self) -> None:
        """Connect no more."""


class _Waiting:
    __slots__ = ("future", "question", "timeout_s")

    def __init__(self, question: Question, timeout_s: float, future: asyncio.Future[Answer | None]) -> None:
        self.question = question
        self.timeout_s = timeout_s
        self.future = future


class Dialogue:
    """What is asked over one connection; ``silences`` counts questions given up since anything was heard."""

    def __init__(self, wire: Wire, write: Callable[[bytes], None]) -> None:
        self.silences = 0
        self._wire = wire
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None

    def take_late(self) -> int:
        """Return how many answers came too late since the last time."""
        late, self._wire.late = self._wire.late, 0
        return late

    @property
    def is_idle(self) -> bool:
        """Whether nothing is waited for."""
        return not self._waiting

    async def ask(self, unit: int, what: Request | Write, timeout_s: float) -> Answer | None:
        """See `Channel`."""
        question = self._wire.ask(unit, what)
        waiting = _Waiting(question, timeout_s, self._loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._start_clock()
        try:
            self._write(question.frame)
            return await waiting.future
        finally:
            self._remove(waiting)

    def hear(self, chunk: bytes) -> None:
        """The other side has said this.

        Raises:
            Desynchronised: see `Wire`.
        """
        self.silences = 0
        for question, answer in self._wire.hear(chunk):
            waiting = next((one for one in self._waiting if one.question is question), None)
            if waiting is not None and not waiting.future.done():
                waiting.future.set_result(answer)

    def end(self, problem: ChannelDown) -> None:
        """The connection is gone."""
        for waiting in self._waiting:
            if not waiting.future.done():
                waiting.future.set_exception(problem)

    def _remove(self, waiting: _Waiting) -> None:
        was_first = self._waiting[0] is waiting
        self._waiting.remove(waiting)
        if was_first:
            self._start_clock()

    def _start_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            first = self._waiting[0]
            self._timer = self._loop.call_later(first.timeout_s, self._give_up, first)

    def _give_up(self, waiting: _Waiting) -> None:
        if waiting.future.done():
            return
        self.silences += 1
        waiting.future.set_result(self._wire.give_up(waiting.question))
