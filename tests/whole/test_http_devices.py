"""Devices that speak HTTP, at a running gateway: the page as it is written, an Ecowitt console, and the status."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import aiomqtt
import pytest

from command_kit import Ended, fieldgate, gateway, shell
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, eventually, running
from http_kit import HttpClient, post
from ports import free_port
from tls_kit import Authority

PAGE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Devices that speak HTTP")[1].split("\n## ")[0]
TOKEN = "00112233445566778899aabbccddeeff"
FORM = (
    b"PASSKEY=0123456789ABCDEF0123456789ABCDEF&stationtype=GW2000A_V3.1.3&runtime=100570&heap=23984"
    b"&dateutc=2026-11-26+13:05:20&tempinf=78.08&humidityin=49&baromrelin=29.958&tempf=64.40&humidity=62"
    b"&winddir=234&windspeedmph=1.34&freq=868M&model=GW2000A&interval=60"
)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_what_the_page_says_works_as_it_is_written(tmp_path: Path) -> None:
    """A script, a weather station with a token, a webhook with a password over TLS."""
    authority = Authority()
    authority.write_server(tmp_path)
    authority.write_ca(tmp_path / "ca.pem")
    ports = {port: str(free_port()) for port in ("8080", "8081", "8443")}

    def own(text: str) -> str:
        text = re.sub(r"\b8080\b|\b8081\b|\b8443\b", lambda match: ports[match[0]], text)
        return text.replace("gateway.local", "localhost").replace("/etc/fieldgate", str(tmp_path))

    access, clients = (own(text) for text in re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
    (config,) = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    (tmp_path / "fieldgate.yaml").write_text(own(config), encoding="utf-8")

    shown = await shell(access, tmp_path)
    token = (tmp_path / "roof.token").read_text(encoding="utf-8").strip()
    async with gateway(tmp_path / "fieldgate.yaml") as log:
        await shell(clients, tmp_path)

        async def has_closed() -> Ended | None:
            status = await fieldgate("status", config=tmp_path / "fieldgate.yaml")
            return status if " 1 client " not in status.out else None

        status = await eventually("the clients have gone", has_closed)
        values = await fieldgate("config", "show", config=tmp_path / "fieldgate.yaml")

    assert "fieldgate.yaml: ok" in shown
    assert "takes passwords and events unencrypted" in shown
    assert "3 accepted" in status.out
    assert f"127.0.0.1:{ports['8080']}   http   0 clients   1 request   1 event" in status.out
    assert f"0.0.0.0:{ports['8443']}   http with TLS   0 clients   1 request   1 event" in status.out
    assert "listen[1].auth.tokens" in values.out
    for text in (shown, status.out, values.out, log.read_text(encoding="utf-8")):
        assert token not in text


@pytest.mark.parametrize("path", [f"/{TOKEN}/data/report/", f"{TOKEN}/data/report"])
async def test_an_ecowitt_console_is_taken_as_it_comes(tmp_path: Path, path: str) -> None:
    """Its request as it stands on the wire, with and without the slash that its app leaves out."""
    port = free_port()
    async with Broker() as broker:
        uplinks = {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "topic": "up/{topic}"}, "format": "raw"}}
        device = Gateway(tmp_path, uplinks=uplinks)
        device.settings["listen"].append({"http": f"127.0.0.1:{port}", "auth": {"tokens": {"roof": TOKEN}}})
        async with running(device), aiomqtt.Client("127.0.0.1", broker.port) as upstream:
            await upstream.subscribe("up/#", qos=1)
            console = await HttpClient.open_soon(port)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Close\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length:{len(FORM)}\r\n\r\n"
            )
            console.send(head.encode() + FORM)
            answer = await console.answer()
            message = await anext(aiter(upstream.messages))
            assert await console.is_closed()
            await console.close()

    assert answer.status == 204
    assert str(message.topic) == "up/http/data/report"
    assert message.payload == FORM


async def test_status_shows_what_was_refused_and_why(tmp_path: Path) -> None:
    """An integrator with a device that does not come through looks here first."""
    port = free_port()
    device = Gateway(tmp_path, uplinks={})
    device.settings["listen"].append({"http": f"127.0.0.1:{port}", "auth": {"tokens": {"roof": TOKEN}}})
    async with running(device):
        for request in (
            b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n",
            b"POST /data/report HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ):
            client = await HttpClient.open_soon(port)
            client.send(request)
            assert await client.is_closed()
            await client.close()
        shown = await fieldgate("status", config=device.config)
        facts = (await device.status())["listeners"][1]

    assert f"listen   127.0.0.1:{port}   http   0 clients   2 requests   0 events" in shown.out
    assert "requests refused: method 1, not logged in 1" in shown.out
    assert (facts["protocol"], facts["requests"], facts["requests_refused"]) == (
        "http", 2, {"method": 1, "not_logged_in": 1},
    )  # fmt: skip
    assert 'reason="401: the client did not say who it is"' in device.log_text()


@pytest.mark.parametrize(("unknown", "kept"), [("quarantine", 1), ("reject", 0)])
async def test_what_is_no_event_and_was_taken_is_answered_with_success(tmp_path: Path, unknown: str, kept: int) -> None:
    """The sender has done its part. A dead letter is on disk before that: a kill right after it loses nothing."""
    port = free_port()
    device = Gateway(tmp_path, uplinks={})
    device.settings["listen"].append({"http": f"127.0.0.1:{port}"})
    device.settings["devices"] = {"unknown": unknown}
    async with running(device):
        client = await HttpClient.open_soon(port)
        answer = await client.ask(post("/site/a", b"\xffodd"))
        await client.close()
        before = await device.status()
        await device.kill()
        await device.start()
        after = await eventually("it answers again", device.status_or_none)

    assert answer.status == 204
    assert before["events_in"] == 0
    assert before["dead_letters"]["kept"] == after["dead_letters"]["kept"] == kept
    assert before["dead_letters"]["rejected"] == ({} if kept else {"unknown_device": 1})
