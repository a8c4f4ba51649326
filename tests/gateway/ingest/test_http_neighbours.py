"""What stands beside an HTTP listener: local subscribers, webhooks, web pages, real clients."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import subprocess
from pathlib import Path

import pytest

from fieldgate.ingest.echo import EchoGuard
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Publish, SubAck, Subscribe, Subscription
from http_kit import HttpClient, post, serving_http
from listener_kit import RawClient, SettlingIntake, serving


async def test_local_subscribers_get_what_is_posted() -> None:
    """A flow in Node-RED on the same machine sees all devices, whatever they speak."""
    broker = LocalBroker()
    async with serving(SettlingIntake(), broker) as mqtt, serving_http(SettlingIntake(), broker) as listener:
        reader = await RawClient.connect(mqtt.port)
        reader.write(Subscribe(1, (Subscription("http/#", 1),)))
        assert await reader.receive() == SubAck(1, (1,))
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post("/a", b"21.5"))).status == 204

        got = await reader.receive()
        assert isinstance(got, Publish)
        assert (got.topic, got.payload, got.qos) == ("http/a", b"21.5", 1)


async def test_the_gateways_own_events_come_back_by_a_webhook_and_are_dropped() -> None:
    """FAULTS 49: a rule in the cloud that posts what it gets to the gateway."""
    intake = SettlingIntake()
    own = b'{"specversion":"1.0","id":"00000000000000aa-1","source":"fieldgate/gw/a"}'
    async with serving_http(intake, guard=EchoGuard("gw", {0xAA})) as listener:
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post("/a", own))).status == 204
        assert (await client.ask(post("/a", own.replace(b"gw", b"other").replace(b"aa-1", b"bb-1")))).status == 204

        assert listener.tally.echoes == 1
        assert len(intake.heard) == 1


async def test_the_same_body_of_the_same_user_has_the_same_content_id(tmp_path: Path) -> None:
    """By it a consumer recognises what a sender sent again because it missed its answer."""
    intake = SettlingIntake()
    async with serving_http(intake) as listener:
        client = await HttpClient.open(listener.port)
        for path, body in (("/a", b"1"), ("/a", b"1"), ("/a", b"2"), ("/b", b"1")):
            await client.ask(post(path, body))

    one, same, body, path = (each.content_id for each in intake.heard)
    assert one == same
    assert len({one, body, path}) == 3


async def test_pages_that_may_send_are_told_so_beforehand() -> None:
    """CORS: a browser asks first, and shows its page the answer only if that names it."""
    intake = SettlingIntake()
    async with serving_http(intake, origins=["https://dash.example"]) as listener:
        client = await HttpClient.open(listener.port)
        asked = await client.ask(b"OPTIONS /a HTTP/1.1\r\nHost: gw\r\nOrigin: https://dash.example\r\n\r\n")
        sent = await client.ask(post("/a", b"x", "Origin: https://dash.example"))
        other = await client.ask(post("/a", b"x", "Origin: https://evil.example"))

    assert (asked.status, asked.headers["access-control-allow-methods"]) == (204, "POST, PUT")
    assert (sent.status, sent.headers["access-control-allow-origin"]) == (204, "https://dash.example")
    assert (other.status, "access-control-allow-origin" in other.headers) == (403, False)
    assert len(intake.heard) == 1


async def test_python_and_curl_are_content() -> None:
    """Two real clients; curl asks for 100 Continue with a large body."""
    intake = SettlingIntake()
    body = b"y" * 200_000

    def python(port: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        statuses = []
        for _ in range(3):
            connection.request("POST", "/py", body, {"Content-Type": "text/plain"})
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
        connection.close()
        return statuses

    def curl(port: int) -> str:
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} ", "-H", "Expect: 100-continue"]
        url = f"http://127.0.0.1:{port}/curl"
        done = subprocess.run(
            [*command, "--data-binary", "@-", url, url], input=body, capture_output=True, timeout=20, check=True
        )
        return done.stdout.decode().strip()

    async with serving_http(intake) as listener:
        assert await asyncio.to_thread(python, listener.port) == [204] * 3
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        assert await asyncio.to_thread(curl, listener.port) == "204 204"

    assert [one.payload for one in intake.heard] == [body] * 5
