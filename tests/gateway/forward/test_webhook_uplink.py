"""A webhook against a real HTTP server: what it is sent, and what becomes of an alert that gets no answer."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward import webhook_uplink as module
from fieldgate.net.http_exchange import Answer, HttpExchange
from fieldgate_devices.event import Extra, Publish
from ports import free_port
from uplink_kit import RUN, make_event, until
from webhook_kit import ScriptedHook, alert, answer, calling, feed_of, webhook_config

# -- what is sent ---------------------------------------------------------------------------------------------


async def test_an_alert_is_one_request_with_its_envelope():
    """A receiver of CloudEvents needs nothing of ours to read it (CloudEvents HTTP binding, structured mode)."""
    feed = feed_of(alert(7, extra=Extra(notify=("pager",), cause=f"{RUN:016x}-6")))
    async with ScriptedHook().serving() as hook, calling(feed, webhook_config(hook.port)) as uplink:
        await feed.settled(1)
        await until(lambda: uplink.status.state == "ready" and not uplink.status.in_flight)
        status = uplink.status

    (request,) = hook.requests
    envelope = json.loads(request.body)
    assert (request.method, request.target) == ("POST", "/hooks/plant-7?to=on-call")
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["host"] == f"127.0.0.1:{hook.port}"
    assert request.headers["idempotency-key"] == envelope["id"] == f"{RUN:016x}-7"
    assert (envelope["type"], envelope["lane"], envelope["cause"]) == ("fieldgate.alert", "high", f"{RUN:016x}-6")
    assert envelope["data"]["text"] == "too hot"
    assert feed.done == {7: "delivered"}
    assert (status.sent, status.acked, status.retries, status.parked, status.size_bytes) == (
        1,
        1,
        0,
        0,
        len(request.body),
    )


async def test_secrets_and_headers_of_the_configuration_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pager's token must not stand in the file."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "pager").write_text("t0ken\n")
    feed = feed_of(alert(1))
    async with ScriptedHook().serving() as hook:
        config = webhook_config(
            hook.port,
            authorization="Bearer ${credential:pager}",
            headers={"Title": "Plant 7", "Content-Type": "application/json"},
            method="PUT",
        )
        async with calling(feed, config) as uplink:
            await feed.settled(1)
            assert "t0ken" not in repr(config) + str(uplink.status)

    (request,) = hook.requests
    assert request.method == "PUT"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert (request.headers["title"], request.headers["content-type"]) == ("Plant 7", "application/json")


FORMS = [
    ("text", "text/plain; charset=utf-8", b"CRITICAL boiler-1: <!channel> 90 & more"),
    ("slack", "application/json", b'{"text":"CRITICAL boiler-1: &lt;!channel&gt; 90 &amp; more"}'),
]


@pytest.mark.parametrize(("form", "kind", "body"), FORMS)
async def test_forms_for_people(form: str, kind: str, body: bytes):
    """ntfy shows a text, Slack a member ``text``; what a device said must not wake up a whole channel there."""
    feed = feed_of(alert(1, "<!channel> 90 & more"))
    async with ScriptedHook().serving() as hook, calling(feed, webhook_config(hook.port, format=form)):
        await feed.settled(1)

    (request,) = hook.requests
    assert (request.headers["content-type"], request.body) == (kind, body)


async def test_alerts_go_in_order_over_one_connection_which_is_closed_when_there_are_no_more():
    """A storm of alerts is no storm of TLS handshakes; an idle connection is nobody's."""
    feed = feed_of(*(alert(seq) for seq in range(1, 21)))
    async with ScriptedHook().serving() as hook, calling(feed, webhook_config(hook.port)) as uplink:
        await feed.settled(20)
        feed.add([alert(21)])
        await until(lambda: not uplink._client._link)
        uplink.kick()
        await feed.settled(21)

    assert hook.ids == [str(seq) for seq in range(1, 22)]
    assert {request.connection for request in hook.requests[:20]} == {1}
    assert hook.requests[20].connection == 2


async def test_a_server_that_closes_after_each_answer_gets_a_connection_each():
    """HTTP/1.0 servers and simple scripts do."""
    feed = feed_of(alert(1), alert(2))
    async with (
        ScriptedHook(answer(204, Connection="close")).serving() as hook,
        calling(feed, webhook_config(hook.port)),
    ):
        await feed.settled(2)

    assert [request.connection for request in hook.requests] == [1, 2]


async def test_a_server_that_hangs_up_after_each_answer_without_a_word_is_no_failure():
    """It may close a connection that we keep whenever it likes, just when the next request is on its way too."""
    feed = feed_of(*(alert(seq) for seq in range(1, 11)))
    hook = ScriptedHook()

    def reply(_request) -> bytes:
        asyncio.get_running_loop().call_soon(hook._writers[-1].close)
        return answer(200)

    hook.on_request = reply
    async with hook.serving(), calling(feed, webhook_config(hook.port)) as uplink:
        await feed.settled(10)
        await until(lambda: uplink.status.acked == 10)
        status = uplink.status

    assert (status.state, status.retries, status.reconnects) == ("ready", 0, 9)
    assert hook.ids == [str(seq) for seq in range(1, 11)]
    assert True not in feed.down[:-1]


async def test_the_rate_holds():
    """Some hooks allow one message per second."""
    feed = feed_of(*(alert(seq) for seq in range(1, 6)))
    async with ScriptedHook().serving() as hook:
        began_s = time.monotonic()
        async with calling(feed, webhook_config(hook.port), rate=20.0):
            await feed.settled(5)
        took_s = time.monotonic() - began_s

    assert took_s >= 3 / 20  # no more than two at once


# -- what is tried again --------------------------------------------------------------------------------------


HUNG_UP = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Len",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhalf",
    b"SSH-2.0-OpenSSH_9.6\r\n",
]


@pytest.mark.parametrize("reply", [answer(500), answer(502), answer(503), answer(408), answer(425), answer(429)])
async def test_what_may_pass_is_tried_again_in_order(reply: bytes):
    """The next alert waits: a resolved one must not arrive before it was raised."""
    feed = feed_of(alert(1), alert(2, state="resolved"))
    async with ScriptedHook(reply, reply).serving() as hook, calling(feed, webhook_config(hook.port)) as uplink:
        await feed.settled(2)
        await until(lambda: uplink.status.acked == 2)
        status = uplink.status

    assert hook.ids == ["1", "1", "1", "2"]
    assert (status.sent, status.retries, status.acked) == (2, 2, 2)
    assert feed.down[:3] == [False, True, True]


@pytest.mark.parametrize("cut", HUNG_UP)
async def test_half_an_answer_is_none(cut: bytes):
    """Whoever reads "200" and no more does not know whether the server has it; twice is better than never."""
    feed = feed_of(alert(1))
    hook = ScriptedHook()
    replies = [cut]

    def reply(_request) -> bytes:
        if not replies:
            return answer(200)
        asyncio.get_running_loop().call_soon(hook._writers[-1].close)
        return replies.pop()

    hook.on_request = reply
    async with hook.serving(), calling(feed, webhook_config(hook.port)):
        await feed.settled(1)

    assert hook.ids == ["1", "1"]
    assert feed.done == {1: "delivered"}


async def test_a_server_that_says_nothing_is_given_up_after_the_timeout():
    """A hang must not be the end of all alerts."""
    feed = feed_of(alert(1))
    async with (
        ScriptedHook(None).serving() as hook,
        calling(feed, webhook_config(hook.port, timeout="300ms")) as uplink,
    ):
        await until(lambda: uplink.status.state == "backoff")
        reason = uplink.status.reason
        await feed.settled(1)

    assert "did not answer in time" in reason
    assert len(hook.ids) >= 2  # more on a machine that is slow itself
    assert feed.done == {1: "delivered"}


async def test_a_server_that_is_not_there_yet_gets_it_when_it_is():
    """The way of every reboot."""
    feed = feed_of(alert(1))
    hook = ScriptedHook()
    hook.port = free_port()
    async with calling(feed, webhook_config(hook.port)) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        assert "nothing listens there" in uplink.status.reason
        assert feed.down[-1] is True
        async with hook.serving():
            await feed.settled(1)
            await until(lambda: uplink.status.state == "ready")

    assert feed.down[-2:] == [False, True]  # it came back; then the test ended


async def test_retry_after_is_honoured():
    """A server that asks for a second and is asked at once bans whoever does that."""
    feed = feed_of(alert(1))
    came_s: list[float] = []
    hook = ScriptedHook()

    def reply(_request) -> bytes:
        came_s.append(time.monotonic())
        return answer(429, Retry_After="1") if len(came_s) == 1 else answer(200)

    hook.on_request = reply
    async with hook.serving(), calling(feed, webhook_config(hook.port)):
        await feed.settled(1)

    assert came_s[1] - came_s[0] >= 1.0


async def test_forgetting_retry_after_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: the uplink's own back-off alone."""
    monkeypatch.setattr(module, "retry_after_s", lambda headers, *, wall_ns: 0.0)

    with pytest.raises(AssertionError):
        await test_retry_after_is_honoured()


async def test_what_goes_first_is_asked_anew_after_each_failure():
    """The feed may have given up an alert that has grown too old; it must not be sent then."""
    feed = feed_of(alert(1), alert(2))
    hook = ScriptedHook()
    hook.on_request = lambda request: answer(500) if request.headers["idempotency-key"].endswith("-1") else answer(200)
    async with hook.serving(), calling(feed, webhook_config(hook.port)) as uplink:
        await hook.requested(2)
        feed.done[1] = "expired"  # as the outbox does with what is put back
        await feed.settled(2)
        await until(lambda: uplink.status.acked == 1)

    assert feed.done == {1: "expired", 2: "delivered"}


# -- what is never taken --------------------------------------------------------------------------------------


async def test_a_message_for_a_broker_is_parked():
    """``check`` refuses such a rule; nothing is sent of what comes all the same."""
    wish = make_event(1, b"on", extra=Extra(uplinks=("pager",), publish=Publish("house/siren")))
    feed = feed_of(wish, alert(2))
    async with ScriptedHook().serving() as hook, calling(feed, webhook_config(hook.port)):
        await feed.settled(2)

    assert hook.ids == ["2"]
    assert "MQTT brokers only" in feed.done[1]


# -- mutants --------------------------------------------------------------------------------------------------


async def test_taking_every_answer_for_success_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: who answers has it."""
    monkeypatch.setattr(module, "verdict", lambda status: "taken")

    with pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(2):
            await test_what_may_pass_is_tried_again_in_order(answer(500))


async def test_taking_the_first_line_for_the_answer_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: a status is all that counts, whether or not the answer came to its end."""
    feed = HttpExchange.feed

    def hasty(self: HttpExchange, chunk: bytes) -> Answer | None:
        return Answer(200, "", {}, "", False) if chunk.startswith(b"HTTP/1.1 200") else feed(self, chunk)

    monkeypatch.setattr(HttpExchange, "feed", hasty)

    with pytest.raises(AssertionError):
        await test_half_an_answer_is_none(HUNG_UP[2])


async def test_forgetting_what_slack_reads_as_a_command_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: a text goes as it is."""
    monkeypatch.setattr("fieldgate.forward.webhook_body._escaped", lambda text: text)

    with pytest.raises(AssertionError):
        await test_forms_for_people(*FORMS[1])


async def test_another_secret_counts_from_the_next_request_on_and_on_a_new_connection():
    """A token is rotated while the pager is in use; a certificate would count for a new connection only."""
    feed = feed_of(alert(1))
    async with ScriptedHook().serving() as hook:
        old = webhook_config(hook.port, authorization="Bearer old")
        async with calling(feed, old) as uplink:
            await feed.settled(1)
            written = {"url": old.url.reveal(), "authorization": "Bearer new"}
            uplink.reconfigure(UplinkConfig.model_validate({"webhook": written, "rate": "100/s"}))
            feed.add([alert(2)])
            uplink.kick()
            await feed.settled(2)

    assert [request.headers["authorization"] for request in hook.requests] == ["Bearer old", "Bearer new"]
    assert [request.connection for request in hook.requests] == [1, 2]
