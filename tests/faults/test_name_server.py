"""Row 46 with the system's own resolver: a name server that says nothing, fails, and gives another address. As root.

In a mount namespace (for /etc/resolv.conf) and a network namespace (for port 53) of the test's own.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from lossy_kit import needs_root, own_network
from mount_kit import private_mounts
from uplink_kit import free_port, mosquitto

pytestmark = [pytest.mark.root, needs_root]

NAME: Final = "broker.test"
_RESPONSE: Final = 0x8180
_SERVER_FAILURE: Final = 2
_TYPE_A: Final = b"\x00\x01"


class NameServer(asyncio.DatagramProtocol):
    """Answers every question with ``address``; fails while there is none, and says nothing while ``is_silent``."""

    def __init__(self) -> None:
        self.is_silent = False
        self.address: str | None = None
        self.asked: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        question = data[12:end]
        self.asked.append(question)
        if self.is_silent or self._transport is None:
            return
        flags, answer = _RESPONSE | (0 if self.address else _SERVER_FAILURE), b""
        if self.address and question[-4:-2] == _TYPE_A:  # of other types it has none
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(self.address)
        counts = b"\x00\x01" + (b"\x00\x01" if answer else b"\x00\x00") + b"\x00\x00\x00\x00"
        self._transport.sendto(data[:2] + flags.to_bytes(2, "big") + counts + question + answer, addr)


@asynccontextmanager
async def name_server(folder: Path) -> AsyncIterator[NameServer]:
    """The only one that this thread, and what it starts, knows."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n")
    with private_mounts(), own_network():
        for name in ("resolv.conf", "nsswitch.conf"):
            command = ["mount", "--bind", folder / name, Path("/etc") / name]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"cannot mount over /etc/{name} here: {done.stderr.strip()}")
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 53))
        try:
            yield server
        finally:
            transport.close()
            for name in ("resolv.conf", "nsswitch.conf"):
                subprocess.run(["umount", "-l", Path("/etc") / name], check=False, capture_output=True)


async def test_a_name_server_that_hangs_fails_and_moves_the_broker_costs_no_event(tmp_path: Path) -> None:
    """Devices are served through all of it; the status says what is wrong; each try asks again."""
    port = free_port()
    mqtt = {"url": f"mqtt://{NAME}:{port}", "connect_timeout": "500ms"}

    async def said(words: str) -> bool:
        return words in (await gateway.status())["uplinks"]["up"]["reason"]

    async with (
        name_server(tmp_path) as names,
        mosquitto(tmp_path, port=port),
        running(Gateway(tmp_path, uplinks={"up": {"mqtt": mqtt}})) as gateway,
    ):
        upstream = Upstream(port)
        upstream.start()
        names.is_silent = True
        device = Publisher(gateway.port, total=300)
        device.start()
        await eventually("it hangs", lambda: said(f"the name server did not answer in time for {NAME}"))
        await device.finished()

        names.is_silent = False
        await eventually("it fails", lambda: said(f"cannot look up {NAME}"))
        names.address = "127.0.0.2"
        await eventually("nobody is there", lambda: said("refuses connections"))
        assert upstream.events() == []
        names.address = "127.0.0.1"
        await gateway.drained("up")
        await eventually("everything is there", lambda: not upstream.missing([device]))
        device.close()
        upstream.close()

    oracle(upstream, [device])
    assert len(names.asked) > 4
