"""The port on which Prometheus reads: who may, what it costs at most, and what it answers; through real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from access_kit import users_text, write_private
from fieldgate.observe.metric import Dialect, Sample
from fieldgate.observe.metric_table import EVENTS
from fieldgate.scrape.accept import dialect_for
from fieldgate.scrape.session import ScrapeLimits
from gateway_kit import eventually
from http_kit import HttpClient, basic
from listener_kit import on_both_loops
from scrape_kit import OPENMETRICS, get, scraping, series
from tls_kit import Authority

TOKEN = "0123456789abcdef-metrics"


async def seven() -> list[Sample]:
    return [Sample(EVENTS, (), 7)]


def value(body: bytes, dialect: Dialect = "text") -> float:
    return series(body.decode(), dialect)["fieldgate_events_accepted_total", frozenset()]


@on_both_loops
async def test_metrics_are_read_in_the_format_that_was_asked_for() -> None:
    """One connection after the other request, as Prometheus does; HEAD has the headers of a body, and none."""
    async with scraping(seven) as port:
        client = await HttpClient.open(port.port)
        text = await client.ask(get())
        openmetrics = await client.ask(get(OPENMETRICS))
        client.send(get(method="HEAD"))
        head = await client.reader.readuntil(b"\r\n\r\n")
        after = await client.ask(get())

    assert (text.status, text.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert value(text.body) == 7
    assert openmetrics.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert value(openmetrics.body, "openmetrics") == 7
    assert f"Content-Length: {len(text.body)}".encode() in head
    assert after.body == text.body


@pytest.mark.parametrize(
    ("accept", "dialect"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", "openmetrics"),
        ("application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "openmetrics"),
        ("application/openmetrics-text;version=2.0.0", "text"),
        ("application/openmetrics-text;q=0", "text"),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;q=x", "text"),
    ],
)
def test_the_format_is_that_of_the_accept_header(accept: str, dialect: Dialect) -> None:
    """Everybody reads the text format; the other one only who says so."""
    assert dialect_for(accept) == dialect


@on_both_loops
async def test_what_is_no_reading_of_metrics_is_refused_and_the_connection_goes_on() -> None:
    """A person with a browser finds out what to do; nothing is written, whatever is sent."""
    async with scraping(seven) as port:
        client = await HttpClient.open(port.port)
        answers = [
            await client.ask(request)
            for request in (
                get(path="/"),
                get(path="/metrics/x"),
                get(method="DELETE"),
                get(host="attacker.example"),
                get(path="/metrics?x=1"),
                get(host="localhost:9469"),
                get(host="gateway.local"),
            )
        ]
        post = await (await HttpClient.open(port.port)).ask(get("Content-Length: 3", method="POST") + b"abc")
        refused = dict(port.refusals)

    assert [one.status for one in answers] == [404, 404, 405, 403, 200, 200, 200]
    assert post.status == 405
    assert post.headers["connection"] == "close"
    assert refused == {"path": 2, "method": 2, "host": 1}


@on_both_loops
@pytest.mark.parametrize(
    ("auth", "headers", "status"),
    [
        ("token", (), 401),
        ("token", ("Authorization: Bearer wrong-wrong-wrong-wrong",), 401),
        ("token", (f"Authorization: Bearer {TOKEN}",), 200),
        ("token", (basic("prometheus", "peach"),), 401),
        ("users", (), 401),
        ("users", (basic("prometheus", "peach"),), 200),
        ("users", (basic("prometheus", "wrong"),), 401),
        ("users", (basic("boiler", "apple"),), 403),
        ("users", (f"Authorization: Bearer {TOKEN}",), 401),
        ("users", ("Authorization: Digest x",), 401),
    ],
)
async def test_only_who_is_named_may_read(tmp_path: Path, auth: str, headers: tuple[str, ...], status: int) -> None:
    """The password of a device is no right to read what the gateway counts."""
    users = write_private(tmp_path / "users", users_text(prometheus="peach", boiler="apple"))
    given = {"token": {"token": TOKEN}, "users": {"users": users, "readers": ["prometheus"]}}
    async with scraping(seven, auth=given[auth]) as port:
        client = await HttpClient.open(port.port)
        answer = await client.ask(get(*headers, host="metrics.example"))

    assert answer.status == status
    assert (b"fieldgate_events" in answer.body) == (status == 200)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_it_speaks_tls_and_a_certificate_names_its_owner(tmp_path: Path) -> None:
    """Over a network, metrics need a wall as much as events do."""
    authority = Authority()
    tls = {**authority.write_server(tmp_path), "client_ca": authority.write_ca(tmp_path / "ca.pem")}
    context = authority.client_context(authority.write_client(tmp_path, "prometheus"))
    other = authority.client_context(authority.write_client(tmp_path, "boiler"))
    async with scraping(seven, tls=tls, auth={"readers": ["prometheus"]}) as port:
        named = await (await HttpClient.open(port.port, context=context)).ask(get())
        stranger = await (await HttpClient.open(port.port, context=other)).ask(get())

    assert (named.status, value(named.body)) == (200, 7)
    assert stranger.status == 403


def gathered_when(go_on: asyncio.Event, counts: list[int]) -> Callable[[], Awaitable[list[Sample]]]:
    async def collect() -> list[Sample]:
        counts.append(len(counts))
        await go_on.wait()
        return await seven()

    return collect


@on_both_loops
async def test_however_many_ask_one_question_is_asked_at_a_time() -> None:
    """Ten servers that scrape a gateway whose disk stands still must not queue up ten questions to that disk."""
    go_on, counts = asyncio.Event(), list[int]()
    async with scraping(gathered_when(go_on, counts)) as port:
        first = await HttpClient.open(port.port)
        first.send(get())
        await eventually("it is asked", lambda: len(counts) == 1)
        others = [await HttpClient.open(port.port) for _ in range(5)]
        for one in others:
            one.send(get())
        await eventually("they wait", lambda: len(port._waiting) == 5)
        go_on.set()
        statuses = [(await one.answer()).status for one in (first, *others)]

    assert statuses == [200] * 6
    assert len(counts) == 2


@on_both_loops
async def test_what_cannot_be_gathered_is_said_and_no_hang() -> None:
    """The supervisor starts the part again; who asked has its answer by then."""

    async def broken() -> list[Sample]:
        raise OSError("nothing to read")

    async with scraping(broken) as port:
        client = await HttpClient.open(port.port)
        answer = await client.ask(get())

    assert answer.status == 503
    assert answer.error == "not_gathered"


@on_both_loops
async def test_the_head_has_a_largest_size() -> None:
    """Whoever is not let in costs a few kilobytes."""
    async with scraping(seven) as port:
        whole = await (await HttpClient.open(port.port)).ask(get("X: " + "x" * 9_000))
        endless = await HttpClient.open(port.port)
        endless.send(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000)
        cut = await endless.answer()
        many = await (await HttpClient.open(port.port)).ask(get(*["A: b"] * 101))
        nonsense = await (await HttpClient.open(port.port)).ask(b"\x16\x03\x01\x00\xa5\r\n\r\n")

    assert (whole.status, cut.status, many.status, nonsense.status) == (431, 431, 431, 400)


@on_both_loops
async def test_connections_have_a_latest_time_and_a_largest_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that say nothing, or half a word, keep nobody from reading."""
    async with scraping(seven) as port:
        silent = [await HttpClient.open(port.port) for _ in range(40)]
        answer = await (await HttpClient.open(port.port)).ask(get())
        waiting = port.crowd.strangers
        monkeypatch.setattr(ScrapeLimits, "come_in_s", 0.0)
        slow = await HttpClient.open(port.port)
        slow.send(b"GET /metr")
        with pytest.raises(EOFError):
            await slow.answer()

    assert answer.status == 200
    assert waiting <= 16
    assert len(silent) == 40


@on_both_loops
async def test_what_is_sent_ahead_is_answered_in_its_order() -> None:
    """Pipelining is legal [RFC 9112 9.3.2]; one request at a time is worked on."""
    async with scraping(seven) as port:
        client = await HttpClient.open(port.port)
        client.send(get() + get(path="/") + get(OPENMETRICS))
        answers = [await client.answer() for _ in range(3)]

    assert [one.status for one in answers] == [200, 404, 200]
    assert b"# EOF" in answers[2].body


@on_both_loops
async def test_nobody_keeps_the_gateway_at_refusing_what_was_sent_ahead(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of requests fit into one read; a stranger had all refused in one go, until the stack was full."""
    async with scraping(seven) as port:
        client = await HttpClient.open(port.port)
        client.send(get(path="/") * 10_000)
        answers = [await client.answer() for _ in range(32)]
        with pytest.raises((EOFError, ConnectionError)):
            await client.answer()
        after = await (await HttpClient.open(port.port)).ask(get())

    assert [one.status for one in answers] == [404] * 32
    assert "connection" not in answers[30].headers
    assert answers[31].headers["connection"] == "close"
    assert port.refusals["path"] == 32
    assert after.status == 200
    assert not caplog.records  # asyncio's "Fatal error on transport"
