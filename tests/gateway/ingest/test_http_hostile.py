"""P8 at the HTTP listener: floods, slow clients and crowds cost bounded memory, and nobody else's service."""

from __future__ import annotations

import asyncio
import socket

import psutil
import pytest

from fieldgate.ingest.http_session import HttpSession
from gateway_kit import eventually
from http_kit import HttpClient, post, serving_http
from listener_kit import HeldIntake, SettlingIntake

MB = 2**20


def rss() -> int:
    return int(psutil.Process().memory_info().rss)


async def pushed(client: HttpClient, chunk: bytes, times: int) -> int:
    """Send ``chunk`` again and again; return how often it was taken within a moment each time."""
    for sent in range(times):
        client.send(chunk)
        try:
            async with asyncio.timeout(0.3):
                await client.writer.drain()
        except TimeoutError:
            return sent
    return times


async def test_a_flood_that_cannot_be_made_safe_is_not_read() -> None:
    """FAULTS 59: it waits in its sender; others are served, and nothing that was read is lost."""
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        flooder = await HttpClient.open(listener.port)
        before = rss()
        taken = await pushed(flooder, post("/f", bytes(10_000)) * 100, 64)
        assert taken < 64, "all of the flood was read"
        assert rss() - before < 24 * MB
        heard = len(intake.heard)
        assert heard * 10_000 < MB

        other = await HttpClient.open(listener.port)
        other.send(post("/other"))
        await eventually("the other is heard", lambda: intake.heard[-1].topic == "http/other")
        intake.settle(len(intake.batches) - 1)
        assert (await other.answer()).status == 204
        for batch in range(len(intake.batches) - 1):
            intake.settle(batch)
        await eventually("it is read again", lambda: len(intake.heard) > heard + 1)


async def test_a_listener_that_reads_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without its bounds the whole flood is taken."""
    monkeypatch.setattr(HttpSession, "_may_read", True)
    monkeypatch.setattr("fieldgate.ingest.http_inbox.HttpInbox.is_full", False)
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        flooder = await HttpClient.open(listener.port)
        flooder.send(post("/f", bytes(10_000)) * 200)

        await eventually("all of it is read", lambda: len(intake.heard) == 200)


async def test_a_flood_of_small_requests_leaves_others_their_turn() -> None:
    """One connection works off a bounded number of requests in a turn of the loop."""
    async with serving_http(SettlingIntake(keep=False)) as listener:
        flooder = await HttpClient.open(listener.port)
        flooder.send(post() * 20_000)
        reads = asyncio.ensure_future(flooder.is_closed(within_s=20))
        await eventually("the flood is being worked off", lambda: listener.tally.events > 100)
        other = await HttpClient.open(listener.port)

        assert (await other.ask(post("/other"))).status == 204
        assert listener.tally.events < 20_000
        reads.cancel()


async def test_a_sender_that_never_reads_its_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers pile up in the socket to a limit; then nothing more is read, and at last it has to go."""
    monkeypatch.setattr("fieldgate.ingest.http_socket._UNREAD_S", 0.3)
    async with serving_http(SettlingIntake(keep=False)) as listener:
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post())).status == 204
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        (connection,) = listener.connections
        for one, option in ((client.writer.transport, socket.SO_RCVBUF), (connection._transport, socket.SO_SNDBUF)):
            one.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
        refused = post("/+", b"") * 500

        async def sends() -> None:
            while True:
                client.send(refused)
                await client.writer.drain()

        sending = asyncio.ensure_future(sends())
        await eventually("it is cut off", lambda: listener.ended["client_slow"] == 1)
        sending.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionError)):
            await sending
        assert rss() < 2**30


async def test_silent_sockets_keep_nobody_out_and_end_in_time() -> None:
    """FAULTS 61: the crowd at the door makes room, by address, and has its deadline."""
    async with serving_http(SettlingIntake(), max_connecting=20, connect_timeout=1.0) as listener:
        crowd = [await HttpClient.open(listener.port) for _ in range(60)]
        crowd[-1].send(b"POST /a HTTP/1.1\r\nHost: ")
        assert listener.crowd.strangers <= 21
        other = await HttpClient.open(listener.port, local_address="127.0.0.2")
        assert (await other.ask(post())).status == 204
        await eventually("the silent ones are gone", lambda: listener.crowd.strangers == 0)

        assert listener.refused["max_connecting"] >= 40
        assert listener.ended["connect_timeout"] > 0
        assert (await crowd[-1].answer()).status == 408


async def test_clients_are_counted_as_connections_and_bounded() -> None:
    """One more is told to come again, before its password is looked at; who is in stays."""
    async with serving_http(SettlingIntake(), max_clients=2, max_clients_per_address=1) as listener:
        first = await HttpClient.open(listener.port)
        assert (await first.ask(post())).status == 204
        same = await HttpClient.open(listener.port)
        refused = await same.ask(post())
        assert (refused.status, refused.error) == (503, "max_clients_per_address")
        second = await HttpClient.open(listener.port, local_address="127.0.0.2")
        assert (await second.ask(post())).status == 204
        third = await HttpClient.open(listener.port, local_address="127.0.0.3")
        assert (await third.ask(post())).error == "max_clients"
        assert (await first.ask(post())).status == 204

        await first.close()
        await eventually("there is room", lambda: listener.crowd.clients == 1)
        assert (await same.ask(post())).status == 204
        assert listener.refused == {"max_clients": 1, "max_clients_per_address": 1}


async def test_a_large_body_announced_costs_nothing() -> None:
    """FAULTS 60: 10 GB in the first head; it is refused at the head."""
    async with serving_http(SettlingIntake()) as listener:
        before = rss()
        client = await HttpClient.open(listener.port)
        answer = await client.ask(post("/a", b"", length=10 * 2**30))

        assert (answer.status, answer.error) == (413, "too_large")
        assert rss() - before < 8 * MB


async def test_a_sender_that_hangs_up_early_leaves_nothing_behind() -> None:
    """Half a request is no event; a whole one is, and its answer is tried: its sender may have closed one half."""
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        half = await HttpClient.open(listener.port)
        half.send(post("/half", b"ab", length=4))
        whole = await HttpClient.open(listener.port)
        whole.send(post("/whole"))
        await eventually("it is heard", lambda: intake.heard)
        for client in (half, whole):
            client.writer.transport.abort()
        await eventually("the half is gone", lambda: listener.ended["connection_lost"] == 1)
        intake.settle(0)
        await eventually("both are gone", lambda: not listener.connections)

        assert [one.topic for one in intake.heard] == ["http/whole"]
        assert listener.crowd.clients == listener.crowd.strangers == 0
