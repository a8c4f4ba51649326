"""Serial ports that are no device of this machine: `socket://`, `rfc2217://`, `loop://`."""

from __future__ import annotations

import asyncio
import socket
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from gateway_kit import eventually
from listener_kit import SettlingIntake
from serial_kit import PtyDevice, make_serial, reading


@pytest.fixture
def device(tmp_path: Path) -> Iterator[PtyDevice]:
    with PtyDevice(tmp_path / "by-id") as made:
        yield made


async def test_a_socket_is_a_port(tmp_path: Path) -> None:
    """`socket://`: a device server that passes bytes on, which may go away and come back."""
    intake = SettlingIntake()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        async with reading(intake, f"socket://127.0.0.1:{port}") as source:
            far, _ = await asyncio.to_thread(server.accept)
            far.sendall(b"1\n2\nhalf")
            await eventually("they are there", lambda: len(intake.heard) == 2)
            await source.write(b"hello")
            assert await asyncio.to_thread(far.recv, 5) == b"hello"
            far.close()
            again, _ = await asyncio.to_thread(server.accept)
            with again:
                again.sendall(b"3\n")
                await eventually("it is read again", lambda: intake.payloads == [b"1", b"2", b"3"])

                assert source.status.dropped_bytes == 4


async def test_a_url_of_pyserial_is_a_port() -> None:
    """Those without a descriptor, as `loop://`, are read in turns."""
    intake = SettlingIntake()
    async with reading(intake, "loop://") as source:
        await eventually("it is open", lambda: source.is_connected)
        await source.write(b"1\n2\n" + b"3" * 1000 + b"\n")
        await eventually("it came back", lambda: intake.payloads == [b"1", b"2", b"3" * 1000])


class _FarPort(serial.Serial):
    """A pty has none of the lines that such a server looks at."""

    cts = dsr = ri = cd = property(lambda _self: False)

    def _update_dtr_state(self) -> None:
        pass

    _update_rts_state = _update_dtr_state


def _serve_rfc2217(server: socket.socket, node: str) -> None:
    """What `pyserial`'s example server does, for one client."""
    link, _ = server.accept()
    port = _FarPort(node, timeout=0.02)
    manager = serial.rfc2217.PortManager(port, _Link(link))
    link.settimeout(0.02)
    with link, port:
        while True:
            if waiting := port.read(4096):
                link.sendall(b"".join(manager.escape(waiting)))
            try:
                asked = link.recv(1024)
            except TimeoutError:
                continue
            except OSError:
                return
            if not asked:
                return
            port.write(b"".join(manager.filter(asked)))


class _Link:
    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def write(self, content: bytes) -> None:
        self._link.sendall(content)


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # of pyserial
async def test_a_port_of_another_machine_is_a_port(device: PtyDevice) -> None:
    """`rfc2217://`: the far end sets the baud rate as written here."""
    intake = SettlingIntake()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        far = threading.Thread(target=_serve_rfc2217, args=(server, device.node))
        far.start()
        async with reading(intake, f"rfc2217://127.0.0.1:{port}", baud=38400) as source:
            await eventually("it is open", lambda: source.is_connected)
            device.write(b"1\n2\n")
            await eventually("they are there", lambda: intake.payloads == [b"1", b"2"])
            await source.write(b"hello")
            await eventually("it was heard", lambda: device.heard() == b"hello")

            assert termios.tcgetattr(device.fd)[4] == termios.B38400
        far.join()


async def test_a_defect_in_the_thread_is_one_of_the_source(device: PtyDevice) -> None:
    """The supervisor hears of it and starts the source again; without that it would stand still for ever."""
    source = make_serial(SettlingIntake(), device.link)
    source._config = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await asyncio.wait_for(source.run(), 20)


async def test_nobody_at_the_address_is_told_in_words() -> None:
    """A device server that is off."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with reading(SettlingIntake(), f"socket://127.0.0.1:{port}") as source:
        await eventually("it waits", lambda: source.status.state == "backoff")

        assert source.status.reason == f"socket://127.0.0.1:{port} cannot be reached: Connection refused"
