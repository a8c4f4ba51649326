"""The HTTP listener through real sockets: what becomes of a request, and when it is answered."""

from __future__ import annotations

import asyncio

import pytest

from fieldgate.ingest.http_inbox import HttpInbox
from gateway_kit import eventually
from http_kit import HttpClient, post, serving_http
from listener_kit import HeldIntake, SettlingIntake, on_both_loops


@on_both_loops
async def test_a_post_is_one_message_on_the_topic_of_its_path() -> None:
    """Byte for byte, whatever it says it is; the headers and the query mean nothing."""
    intake = SettlingIntake()
    body = bytes(range(256))
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(post("/site/a/boiler?x=1", body, "Content-Type: application/json", "X-Own: 1"))
        put = await client.ask(post("/site/a/boiler", b"2", method="PUT"))

    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert put.status == 204
    assert [(one.topic, one.payload) for one in intake.heard] == [
        ("http/site/a/boiler", body),
        ("http/site/a/boiler", b"2"),
    ]
    assert intake.lanes == [1, 1]


@on_both_loops
async def test_nothing_is_answered_before_it_is_settled() -> None:
    """P1: a sender that gets 204 forgets its message."""
    await _one_answer_waits()


async def _one_answer_waits() -> None:
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post())
        await eventually("it is heard", lambda: intake.heard)

        assert await client.is_quiet()
        assert listener.unacknowledged == 1
        intake.settle(0)

        assert (await client.answer()).status == 204
        assert listener.unacknowledged == 0


async def test_an_answer_that_does_not_wait_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: success is said of what was only heard."""

    def hasty(inbox: HttpInbox, now_s: float) -> None:
        received, inbox._received = inbox._received, []
        if received:
            inbox._terms.intake.accept(received, inbox, inbox._first, lane=1)
            inbox.line.settled(inbox._first, len(received))

    monkeypatch.setattr(HttpInbox, "hand_over", hasty)

    with pytest.raises(ExceptionGroup) as caught:
        await _one_answer_waits()
    assert caught.group_contains(AssertionError)


async def test_answers_leave_in_the_order_of_the_requests() -> None:
    """[RFC 9112 9.3.2]; a refusal waits for the answers before it too."""
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post("/1"))
        await eventually("1 is heard", lambda: len(intake.batches) == 1)
        client.send(post("/2"), post("/3/#"), post("/4"))
        await eventually("4 is heard", lambda: len(intake.heard) == 3)
        intake.settle(1)
        assert await client.is_quiet()
        intake.settle(0)

        assert [(await client.answer()).status for _ in range(4)] == [204, 204, 400, 204]


async def test_requests_of_one_read_are_one_batch_and_a_cut_request_is_one_message() -> None:
    """Pipelining; and a request may come byte by byte."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(*(post(f"/{n}", b"%d" % n) for n in range(40)))
        assert [(await client.answer()).status for _ in range(40)] == [204] * 40
        assert len(intake.batches) <= 3

        for n in range(len(request := post("/slow", b"whole"))):
            client.send(request[n : n + 1])
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.answer()).status == 204
        assert intake.payloads[-1] == b"whole"


CHUNKED = b"POST /c HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_chunked_body_is_put_together_and_trailers_are_left_out() -> None:
    """[RFC 9112 7.1]: senders that do not know the length beforehand."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n")
        again = await client.ask(post())

    assert (answer.status, again.status) == (204, 204)
    assert intake.payloads == [b"abcde", b"x"]


async def test_100_continue_is_said_when_the_body_may_come() -> None:
    """[RFC 9110 10.1.1]: curl waits for it with bodies of more than a megabyte."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post("/a", b"", "Expect: 100-continue", length=5))
        assert (await client.answer()).status == 100
        client.send(b"hello")
        assert (await client.answer()).status == 204
        assert intake.payloads == [b"hello"]

        client.send(post("/a/+", b"", "Expect: 100-continue", length=5))
        refused = await client.answer()
        assert (refused.status, refused.headers["connection"]) == (400, "close")
        assert await client.is_closed()


async def test_a_client_of_http_1_0_gets_its_answer_and_the_end() -> None:
    """Small devices still speak it."""
    async with serving_http(SettlingIntake()) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(post(version="1.0"))

        assert (answer.status, answer.headers["connection"]) == (204, "close")
        assert await client.is_closed()


@on_both_loops
async def test_who_has_said_everything_still_gets_the_answer() -> None:
    """A client may close its half at once: `nc -N`."""
    intake = HeldIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post())
        client.writer.write_eof()
        await eventually("it is heard", lambda: intake.heard)
        intake.settle(0)

        assert (await client.answer()).status == 204
        assert await client.is_closed()


REFUSED = {
    "a method that makes no event": (b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n", 405, "method"),
    "no length": (b"POST /a HTTP/1.1\r\nHost: gw\r\n\r\n", 411, "no_length"),
    "an empty path": (post("/"), 404, "path"),
    "a wildcard": (post("/a/+/b"), 400, "path"),
    "an encoded wildcard": (post("/a/%23"), 400, "path"),
    "an encoded slash": (post("/a%2Fb"), 400, "path"),
    "an encoded NUL": (post("/a%00"), 400, "path"),
    "a way up": (post("/a/../b"), 400, "path"),
    "an empty level": (post("/a//b"), 400, "path"),
    "too many levels": (post("/a" * 300), 400, "topic"),
    "no UTF-8": (post("/a/%ff"), 400, "path"),
    "a compressed body": (post("/a", b"x", "Content-Encoding: gzip"), 415, "encoded"),
    "another expectation": (post("/a", b"x", "Expect: tea"), 417, "expectation"),
    "a web page": (post("/a", b"x", "Origin: http://evil.example"), 403, "origin"),
    "a web page of this host": (post("/a", b"x", "Origin: http://gw"), 403, "origin"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_makes_no_event_is_told_why_and_the_connection_goes_on(
    request_: bytes, status: int, code: str
) -> None:
    """An integrator with curl must see what to change; a web page must not write events (DNS rebinding too)."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(request_)
        after = await client.ask(post("/good"))

        assert (answer.status, answer.error) == (status, code)
        assert answer.headers["content-type"] == "application/json"
        assert after.status == 204
        assert [one.topic for one in intake.heard] == ["http/good"]
        assert listener.tally.refused == {code: 1}


LAST = {
    "too large": (post("/a", b"", length=300_000), 413, "too_large"),
    "too large in chunks": (CHUNKED + b"50000\r\n" + bytes(0x50000) + b"\r\n", 413, "too_large"),
    "a large head": (post("/a", b"x", "X: " + "y" * 20_000), 431, None),
    "many headers": (post("/a", b"x", *(f"X-{n}: 1" for n in range(200))), 431, "large_head"),
    "two lengths": (post("/a", b"x", "Transfer-Encoding: chunked"), 400, "malformed"),
    "lengths that differ": (post("/a", b"x", "Content-Length: 7"), 400, "malformed"),
    "no host": (b"POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400, "malformed"),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed"),
    "HTTP/2": (post("/a", b"x", version="2.0"), 505, "version"),
    "a folded header": (post("/a", b"x", "X:\x00"), 400, "malformed"),
    "another coding": (b"POST /a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "malformed"),
}


@pytest.mark.parametrize(("request_", "status", "code"), LAST.values(), ids=LAST.keys())
async def test_what_cannot_be_read_on_is_answered_and_closed(request_: bytes, status: int, code: str | None) -> None:
    """Whatever follows would be taken for a request (smuggling)."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(request_)

        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert code in (None, answer.error)
        assert await client.is_closed()
        assert intake.heard == []


async def test_the_answer_to_head_has_no_body() -> None:
    """[RFC 9110 9.3.2]; the next answer would be read as one. Monitoring likes to ask with HEAD."""
    async with serving_http(SettlingIntake()) as listener:
        client = await HttpClient.open(listener.port)
        client.send(b"HEAD / HTTP/1.1\r\nHost: gw\r\n\r\n", post())
        head = await client.reader.readuntil(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 405 ")
        assert (await client.answer()).status == 204


async def test_an_upgrade_is_not_taken_and_harms_nothing() -> None:
    """`curl --http2` asks for h2c with every request [RFC 9110 7.8]."""
    async with serving_http(SettlingIntake()) as listener:
        client = await HttpClient.open(listener.port)
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
        first = await client.ask(post("/a", b"x", *upgrade))
        refused = await client.ask(post("/a/+", b"x", *upgrade))
        last = await client.ask(post())

        assert [first.status, refused.status, last.status] == [204, 400, 204]


async def test_paths_as_devices_send_them() -> None:
    """Ecowitt's consoles send the path as it was typed, also without its slash, and end it with one."""
    intake = SettlingIntake()
    async with serving_http(intake, topic="weather/{path}/in") as listener:
        client = await HttpClient.open(listener.port)
        for path in ("/data/report/", "data/report", "http://gw/data/report?a=b", "/data/r%C3%A9port"):
            assert (await client.ask(post(path))).status == 204

    assert [one.topic for one in intake.heard] == ["weather/data/report/in"] * 3 + ["weather/data/réport/in"]


async def test_a_topic_without_a_path_takes_every_path() -> None:
    """One device, one topic."""
    intake = SettlingIntake()
    async with serving_http(intake, topic="weather/roof", answer=200) as listener:
        client = await HttpClient.open(listener.port)
        answers = [await client.ask(post(path)) for path in ("/", "/data/report/")]

    assert [(one.status, one.headers["content-length"]) for one in answers] == [(200, "0")] * 2
    assert [one.topic for one in intake.heard] == ["weather/roof"] * 2


async def test_a_path_that_is_no_event_is_not_found() -> None:
    """Success for what nobody gets would be a lie."""
    async with serving_http(SettlingIntake(), events=["http/site/#"]) as listener:
        client = await HttpClient.open(listener.port)

        assert (await client.ask(post("/site/a"))).status == 204
        assert (await client.ask(post("/other"))).error == "no_event"


async def test_a_topic_of_the_broker_itself_is_forbidden() -> None:
    """`$SYS` is nobody's."""
    async with serving_http(SettlingIntake(), topic="{path}") as listener:
        client = await HttpClient.open(listener.port)

        assert (await client.ask(post("/$SYS/a"))).status == 403


async def test_an_empty_body_is_an_event_of_its_own() -> None:
    """FAULTS 73: empty is not null; the sender has said so with Content-Length: 0."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post("/a", b""))).status == 204

    assert intake.payloads == [b""]


async def test_a_closed_intake_sends_everybody_away_for_a_while() -> None:
    """Nothing is held for a sender that can come again; what is open again takes the next."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        intake.open = False
        refused = await client.ask(post())
        intake.open = True
        taken = await client.ask(post())

    assert (refused.status, refused.error, refused.headers["retry-after"]) == (503, "full", "5")
    assert taken.status == 204
    assert len(intake.heard) == 1


async def test_an_intake_that_closes_while_the_body_comes_gets_nothing() -> None:
    """The head was let in when there was room."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post("/a", b"ab", length=4))
        await eventually("the head was read", lambda: listener.crowd.clients == 1)
        intake.open = False
        client.send(b"cd")

        assert (await client.answer()).status == 503
        assert intake.heard == []
        intake.open = True
        assert (await client.ask(post())).status == 204
