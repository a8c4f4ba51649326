"""Looking up and trying addresses: a resolver that hangs must hang nobody else (fault 46)."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from uplink_kit import MemoryFeed, free_port, make_events, running, until


def resolver(monkeypatch, *addresses: str, gate: threading.Event | None = None) -> list[str]:
    """Replace the system's resolver; answer the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if gate is not None:
            gate.wait()
        if not addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("fieldgate.net.dialler.socket.getaddrinfo", getaddrinfo)
    return asked


def url(port: int) -> dict[str, str]:
    return {"url": f"mqtt://broker.test:{port}", "connect_timeout": "150ms"}


async def test_the_next_address_is_tried_when_the_first_does_not_answer(broker, monkeypatch):
    """A name with two addresses of which one is down, or an IPv6 that leads nowhere."""
    resolver(monkeypatch, "127.0.0.2", "127.0.0.1")
    feed = MemoryFeed()
    feed.add(make_events(3))

    async with running(feed, broker.port, mqtt=url(broker.port)):
        await feed.settled(3)

    assert len(broker.peers) == 1


async def test_each_attempt_asks_again(monkeypatch):
    """The server may have moved."""
    asked = resolver(monkeypatch, "127.0.0.1")
    port = free_port()

    async with running(MemoryFeed(), port, mqtt=url(port)):
        await until(lambda: len(asked) >= 3)

    assert set(asked) == {"broker.test"}


async def test_a_name_that_is_not_found_is_said(monkeypatch):
    """With the resolver's own words."""
    resolver(monkeypatch)

    async with running(MemoryFeed(), 1, mqtt=url(1)) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert uplink.status.reason == "cannot look up broker.test: Temporary failure in name resolution"


async def test_a_resolver_that_hangs_delays_neither_the_loop_nor_the_end(broker, monkeypatch):
    """One thread waits for it, however often we try; when it answers at last, its answer is used."""
    gate = threading.Event()
    asked = resolver(monkeypatch, "127.0.0.1", gate=gate)
    feed = MemoryFeed()
    feed.add(make_events(3))

    async with running(feed, broker.port, mqtt=url(broker.port)) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        assert uplink.status.reason == "the name server did not answer in time for broker.test"
        await until(lambda: uplink.status.state == "connecting")
        await until(lambda: uplink.status.state == "backoff")
        waiting = [thread for thread in threading.enumerate() if thread.name == "look-up:broker.test"]
        gate.set()
        await feed.settled(3)

    assert len(asked) <= 2
    assert len(waiting) == 1
    assert waiting[0].daemon


async def test_stop_does_not_wait_for_the_resolver(monkeypatch):
    """SIGTERM while the network is away: the process ends within its 5 s."""
    gate = threading.Event()
    resolver(monkeypatch, gate=gate)

    async with asyncio.timeout(4), running(MemoryFeed(), 1, mqtt=url(1)) as uplink:
        await until(lambda: uplink.status.state == "connecting")

    gate.set()


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(4096)
    writer.close()


async def test_an_address_of_ipv6_is_reached_and_stands_in_brackets():
    """As it stands in the URL; nothing is looked up."""
    try:
        server = await asyncio.start_server(_hang_up, "::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    port = server.sockets[0].getsockname()[1]

    async with running(MemoryFeed(), 1, mqtt={"url": f"mqtt://[::1]:{port}", "version": "5"}) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert (
            uplink.status.reason
            == f"[::1]:{port} closed the connection instead of answering CONNECT in MQTT 5; "
            + ("is that a port with TLS? Then write mqtts://")
        )
    server.close()


def _link_local() -> tuple[str, int] | None:
    """An address that only one of this machine's networks has, and the number of that network."""
    with suppress(OSError), Path("/proc/net/if_inet6").open(encoding="ascii") as file:
        for line in file:
            address, index, *_ = line.split()
            if address.startswith("fe80"):
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)), int(index, 16)
    return None


async def test_an_address_of_one_network_is_reached_on_that_network(monkeypatch):
    """What mDNS finds for ``broker.local``; without its network the address leads nowhere."""
    if (place := _link_local()) is None:
        pytest.skip("no network here has a link-local address of IPv6")
    host, index = place
    server = await asyncio.start_server(_hang_up, f"{host}%{index}", 0)
    port = server.sockets[0].getsockname()[1]
    real = socket.getaddrinfo

    def getaddrinfo(name: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if name != "broker.local":
            return real(name, *args, **kwargs)
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, index))]

    monkeypatch.setattr("fieldgate.net.dialler.socket.getaddrinfo", getaddrinfo)

    async with running(MemoryFeed(), 1, mqtt={"url": f"mqtt://broker.local:{port}", "version": "5"}) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert "closed the connection instead of answering CONNECT" in uplink.status.reason
    server.close()


async def test_a_server_that_moves_is_found_at_its_new_address(broker, monkeypatch):
    """The name stays, the address changes while the uplink tries; no restart."""
    addresses = ["127.0.0.2"]
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("fieldgate.net.dialler.socket.getaddrinfo", getaddrinfo)
    feed = MemoryFeed()
    feed.add(make_events(3))
    async with running(feed, broker.port, mqtt=url(broker.port)) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        addresses[:] = ["127.0.0.1"]
        await feed.settled(3)

    assert len(asked) >= 2


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
async def test_every_kind_of_url_says_that_the_name_is_not_found(scheme, monkeypatch):
    """Whatever is above TCP, the name comes first."""
    resolver(monkeypatch)

    async with running(MemoryFeed(), 1, mqtt={"url": f"{scheme}://broker.test"}) as uplink:
        await until(lambda: uplink.status.state == "backoff")

        assert uplink.status.reason == "cannot look up broker.test: Temporary failure in name resolution"
