"""The desk of commands at work: its core with the clock, its file, the sessions that keep commands, and the loop.

Implements `fieldgate.decide.orders.Desk`; everybody who tells a device something comes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from fieldgate import clock
from fieldgate.decide.desk import OrderDesk
from fieldgate.decide.order_book import OrderBook, decode_row
from fieldgate.decide.order_row import Moment, Row, RowChanges
from fieldgate.decide.orders import Answer, Hears, Order
from fieldgate.decide.publish_executor import PublishExecutor
from fieldgate.decide.replies import Replies
from fieldgate.device_directory import DeviceDirectory
from fieldgate.ingest.device_facts import utc_text
from fieldgate.ingest.source import Received, Settler
from fieldgate.journal.command_keeper import CommandKeeper
from fieldgate.journal.session_keeper import SessionKeeper
from fieldgate_devices.event import Lane

__all__ = ["CommandDesk", "TellSafely"]

_EVERY_S: Final = 0.1
_LAST_WORDS_S: Final = 1.0
_MAX_ARGUMENTS_BYTES: Final = 4096  # in the event that says what became of a command

TellSafely = Callable[[str, str, bytes, int, Settler | None, int], None]
"""As `fieldgate.device_watch.Tell`, and who hears when the event is safe, under which position."""

log = structlog.get_logger("fieldgate")


class CommandDesk:
    """``tell`` takes the event of each final answer; ``base_s`` is what the journal's clock is ahead of boot time."""

    def __init__(
        self,
        keeper: CommandKeeper,
        directory: DeviceDirectory,
        publisher: PublishExecutor,
        sessions: SessionKeeper,
        replies: Replies,
        *,
        gateway: str,
        tell: TellSafely,
        base_s: float,
    ) -> None:
        self.keeper = keeper
        self.directory = directory
        self._publisher = publisher
        self._sessions = sessions
        self._replies = replies
        self._gateway = gateway
        self._tell = tell
        self._base_s = base_s
        self._os_boot = clock.os_boot_id()
        self._is_open = asyncio.Event()
        self._stops = False
        self._events = _Events(self)
        self.core = OrderDesk(
            OrderBook(),
            directory,
            executors=[publisher],
            attention=self._changed,
            tell=self._say,
            now=self.now,
        )
        rows = {number: decode_row(body) for number, body in keeper.take_bodies().items()}
        if unreadable := sum(row is None for row in rows.values()):
            log.error("commands.damaged", commands=len(rows) - unreadable, lost_rows=unreadable, set_aside="")
        self._stored = [row for row in rows.values() if row is not None]
        keeper.watch(self)
        self.core.problem = keeper.problem

    def begin(self) -> None:
        """Go on where an earlier process ended; once everybody is there who carries commands out or hears of them."""
        rows, self._stored = self._stored, []
        self.core.restore(rows)
        self._publisher.resumed()
        if self.core.open_count:
            self._is_open.set()

    def now(self) -> Moment:
        """Return this moment."""
        boot_s = clock.boot_s()
        return Moment(self._os_boot, boot_s, clock.wall_ns(), clock.is_synced(), self._base_s + boot_s)

    # -- Desk -----------------------------------------------------------------------------------------------------

    def submit(self, order: Order, hears: Hears) -> None:
        """See `Desk`."""
        if self._stops:
            self.core.refuse(order, hears, "the gateway stops")
            return
        self.core.submit(order, hears)
        if self.core.open_count:
            self._is_open.set()

    def note(self, order: Order, answer: Answer) -> None:
        """See `Desk`."""
        if not self._stops:
            self.core.note(order, answer)

    def join(self, origin: str, hears: Hears) -> None:
        """See `Desk`."""
        self.core.join(origin, hears)

    def told(self, order: Order, answer: Answer) -> None:
        """See `Desk`."""
        self.core.told(order, answer)

    # -- the flow -------------------------------------------------------------------------------------------------

    @property
    def awaits_replies(self) -> bool:
        """Whether what devices say may be the reply to a command; asked for each read."""
        return self._replies.is_waiting

    def hear(self, received: Sequence[Received]) -> None:
        """Look for replies among what devices have said."""
        for message in received:
            self._replies.hear(message.topic, message.payload)

    def _changed(self) -> None:
        self.keeper.attention()
        self._is_open.set()

    def _say(self, order: Order, answer: Answer, row: Row | None) -> None:
        """Make the event of a final answer: the audit trail of whoever is upstream."""
        started_wall_ns = 0 if row is None else row.started_wall_ns
        data = {
            "device": order.device,
            "name": order.name,
            "id": order.id,
            "origin": order.origin,
            "status": answer.status,
            "reason": answer.reason,
            "arguments": order.arguments,
            "received": utc_text(order.received_wall_ns),
            "started": utc_text(started_wall_ns) if started_wall_ns else None,
            "answered": utc_text(answer.at_ns),
        }
        log.debug(
            "command.answered",
            device=order.device,
            name=order.name,
            id=order.id,
            origin=order.origin,
            status=str(answer.status),
        )
        text = msgspec.json.encode(data)
        if len(text) > _MAX_ARGUMENTS_BYTES:
            text = msgspec.json.encode(data | {"arguments": None})
        device = order.device if self.directory.is_known(order.device) else self._gateway
        if row is None:
            self._tell("command", device, text, Lane.HIGH, None, 0)
        else:
            self._tell("command", device, text, Lane.HIGH, self._events, row.number)

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch what is under way, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keeper.run(), name="commands:record")
            while True:
                await self._is_open.wait()
                self.core.tick()
                if not self.core.open_count:
                    self._is_open.clear()
                if self._publisher.has_unsaved:
                    await self._save_sessions()
                await asyncio.sleep(_EVERY_S)

    async def _save_sessions(self) -> None:
        marks = self._publisher.unsaved()
        await self._sessions.save(clock.boot_s())
        self._publisher.saved(marks, self._sessions.problem)

    async def stop(self) -> None:
        """Take nothing more, give what is under way a moment, and write what became of it."""
        self._stops = True
        deadline_s = clock.boot_s() + _LAST_WORDS_S
        while self.core.is_busy and clock.boot_s() < deadline_s:
            self.core.tick()
            await asyncio.sleep(_EVERY_S / 2)
        if self._publisher.has_unsaved:
            await self._save_sessions()
        await self.keeper.stop()

    # -- CommandRecords -------------------------------------------------------------------------------------------

    def changes(self) -> RowChanges:
        """See `CommandRecords`."""
        return self.core.changes()

    def everything(self) -> RowChanges:
        """See `CommandRecords`."""
        return self.core.changes(is_all=True)

    def written(self, problem: str = "") -> None:
        """See `CommandRecords`."""
        self.core.written(problem)


class _Events:
    """Implements `Settler` for the events of commands; their positions are the numbers of rows."""

    source = "commands"

    def __init__(self, desk: CommandDesk) -> None:
        self._desk = desk

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        self._desk.core.book.event_safe(range(first, first + count))

    def flush(self) -> None:
        """See `Settler`. It is written now and then (`CommandKeeper.run`)."""
