"""Where simulated Modbus units are reached: a TCP port, or a serial port that is none (a pty with a name that stays).

On the serial port the bytes are those of Modbus RTU; it is the same server, behind a pty in place of a wire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimData, SimDevice

from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.modbus_unit import ModbusUnit
from fieldgate_simulators.pty_line import PtyLine

__all__ = ["ModbusBus", "ModbusServer"]

_HOST: Final = "127.0.0.1"
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it writes down all that is asked

_LOOK_EVERY_S: Final = 0.005  # nothing tells when something was written to a pty


class ModbusServer:
    """Serves ``units`` on a port of ``host`` (0: any that is free); use it as a context."""

    def __init__(self, units: Sequence[ModbusUnit], *, host: str = _HOST, port: int = 0, is_rtu: bool = False) -> None:
        self.port = port
        self.units = {one.number: one for one in units}
        self._host = host
        self._is_rtu = is_rtu
        self._server: ModbusTcpServer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            SimulatorError: the port cannot be had.
        """
        nobody = SimDevice(0, [SimData(0, values=0)])  # who is asked for a unit that is not there
        server = ModbusTcpServer(
            [nobody, *(one.device() for one in self.units.values())],
            framer=FramerType.RTU if self._is_rtu else FramerType.SOCKET,
            address=(self._host, self.port),
            trace_packet=self._pass,
        )
        if not await server.listen():
            raise SimulatorError(f"cannot listen on {self._host}:{self.port}; is something there already?")
        self._server = server
        listener = server.transport  # asyncio's server, whatever the library's types say
        assert isinstance(listener, asyncio.AbstractServer)
        self.port = listener.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # typed for `asyncio.Server` only

    async def stop(self) -> None:
        """Listen no more, and end all connections."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # the library's
            self._server = None

    def _pass(self, sending: bool, packet: bytes) -> bytes:
        """pymodbus shows each packet before it is sent; what is returned goes out."""
        if not sending:
            return packet
        unit = self.units.get(packet[0 if self._is_rtu else 6])
        if unit is None or unit.faults.is_silent:  # pymodbus answers for units that are not there
            return b""
        return packet[:-1] + bytes([packet[-1] ^ 0x5A]) if unit.faults.corrupts else packet


class ModbusBus:
    """The same units on a serial bus: ``link`` is the name of its port; use it as a context.

    ``line`` can be unplugged and plugged in again.
    """

    def __init__(self, units: Sequence[ModbusUnit], link: Path) -> None:
        self.line = PtyLine(link)
        self.units = {one.number: one for one in units}
        self._server = ModbusServer(units, is_rtu=True)
        self._pumps: list[asyncio.Task[None]] = []
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        await self._server.start()
        self.line.plug()
        reader, self._writer = await asyncio.open_connection(_HOST, self._server.port)
        self._pumps = [
            asyncio.create_task(self._to_wire(reader), name="bus:out"),
            asyncio.create_task(self._from_wire(self._writer), name="bus:in"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.wait(self._pumps)
        if self._writer is not None:
            self._writer.close()
        await self._server.stop()
        self.line.close()

    async def _to_wire(self, reader: asyncio.StreamReader) -> None:
        while chunk := await reader.read(4096):
            await self.line.write(chunk)

    async def _from_wire(self, writer: asyncio.StreamWriter) -> None:
        while True:
            if chunk := self.line.read():
                writer.write(chunk)
            else:
                await asyncio.sleep(_LOOK_EVERY_S)
