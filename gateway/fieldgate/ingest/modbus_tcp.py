"""The way to a Modbus server over TCP, or to a serial bus behind a converter.

Servers close connections that are quiet for long, and half-open ones are found by silence only. Neither is a change
that anybody must hear of: the next question opens a new connection, and only if that fails the server is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, cast

from fieldgate import clock
from fieldgate.config.modbus import ModbusPlace
from fieldgate.ingest.modbus_dialogue import Channel, ChannelDown, Dialogue
from fieldgate.ingest.modbus_wire import Answer, Desynchronised, RtuWire, TcpWire
from fieldgate.net.connect_errors import Stage, Way, connect_problem
from fieldgate.net.look_up import LookUp
from fieldgate.net.refusals import join_address
from fieldgate_devices.modbus import Request, Write

__all__ = ["TcpChannel"]

_CONNECT_S: Final = 3.0
_SILENCES: Final = 3  # in a row and on all units: is there anybody at the other end?


class TcpChannel(Channel):
    """Implements `Channel`; ``delay_s`` is the pause before a question on a bus."""

    def __init__(self, place: ModbusPlace, *, delay_s: float) -> None:
        self.where = join_address(place.host, place.port)
        self._is_closed = False
        self._place = place
        self._delay_s = delay_s
        self._look_up = LookUp(place.host, place.port)
        self._link: _Link | None = None
        self._opening = asyncio.Lock()
        self._turns: asyncio.Semaphore | None = asyncio.Semaphore(1) if place.is_rtu else None
        self._quiet_from_s = 0.0

    async def open(self) -> None:
        """See `Channel`."""
        if self._is_closed:
            raise ChannelDown(f"{self.where} was closed")
        async with self._opening:
            if self._link is None or self._link.is_over:
                self._link = await self._connect()

    async def _connect(self) -> _Link:
        stage = Stage.LOOK_UP
        try:
            async with asyncio.timeout(_CONNECT_S):
                addresses = await self._look_up.addresses()
                stage = Stage.TCP
                for address in addresses[:-1]:
                    with contextlib.suppress(OSError):
                        return await self._link_to(address, _CONNECT_S / len(addresses))
                return await self._link_to(addresses[-1], _CONNECT_S)
        except OSError as error:  # a TimeoutError is one
            way = Way(self._place.host, self._place.port, self._place.host)
            raise ChannelDown(connect_problem(error, way, stage=stage, wall_ns=clock.wall_ns())) from error

    async def _link_to(self, address: str, timeout_s: float) -> _Link:
        loop, place = asyncio.get_running_loop(), self._place
        async with asyncio.timeout(timeout_s):
            _, link = await loop.create_connection(lambda: _Link(self.where, place), address, place.port)
        return link

    async def ask(self, unit: int, what: Request | Write, timeout_s: float) -> Answer | None:
        """See `Channel`."""
        async with self._turns or contextlib.nullcontext():  # on a bus one after the other
            return await self._ask(unit, what, timeout_s)

    async def _ask(self, unit: int, what: Request | Write, timeout_s: float) -> Answer | None:
        if (wait_s := self._quiet_from_s + self._delay_s - clock.boot_s()) > 0 and self._delay_s:
            await asyncio.sleep(wait_s)
        link = self._link
        if link is None or link.is_over:
            await self.open()
            link = self._link
            assert link is not None
        try:
            return await link.dialogue.ask(unit, what, timeout_s)
        finally:
            self._quiet_from_s = clock.boot_s()
            self.late += link.dialogue.take_late()
            if link.dialogue.silences >= _SILENCES and link.dialogue.is_idle:
                link.abort()

    async def close(self) -> None:
        """See `Channel`."""
        self._is_closed = True
        if self._link is not None:
            self._link.abort()


class _Link(asyncio.Protocol):
    """One connection."""

    dialogue: Dialogue

    def __init__(self, where: str, place: ModbusPlace) -> None:
        self.is_over = False
        self._where = where
        self._place = place
        self._transport: asyncio.Transport | None = None
        self._why = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self.dialogue = Dialogue(RtuWire() if self._place.is_rtu else TcpWire(), self._write)

    def _write(self, frame: bytes) -> None:
        assert self._transport is not None
        if self._transport.is_closing():  # uvloop's raise then
            raise ChannelDown(f"{self._where} closed the connection")
        self._transport.write(frame)

    def data_received(self, data: bytes) -> None:
        try:
            self.dialogue.hear(data)
        except Desynchronised as error:
            self._why = str(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        how = "closed the connection" if exc is None else "reset the connection"
        self.dialogue.end(ChannelDown(f"{self._where}: {self._why}" if self._why else f"{self._where} {how}"))

    def abort(self) -> None:
        """Close it without a goodbye, which Modbus does not have."""
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()
