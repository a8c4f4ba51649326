"""TLS on every way to a broker: whose certificate is refused (fault 47), the name that is asked for, and ALPN."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fieldgate.net import tls as tls_module
from uplink_kit import MemoryFeed, ScriptedBroker, end_of, running, until
from way_kit import ConnectProxy, WebSocketServer, bad_server_context, quiet_loop, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

WAYS = ["mqtts", "wss", "mqtts through a proxy", "wss through a proxy"]


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    quiet_loop()


async def end_over(way: str, tls: ssl.SSLContext, ca: Path | None, *, host: str = "localhost") -> tuple[str, str]:
    """Go that way to a good broker behind that certificate."""
    async with AsyncExitStack() as stack:
        scheme, _, through = way.partition(" ")
        if scheme == "mqtts":
            broker = await stack.enter_async_context(ScriptedBroker().serving(tls))
            port = broker.port
        else:
            broker = await stack.enter_async_context(ScriptedBroker().serving())
            server = await stack.enter_async_context(WebSocketServer(broker.port).serving(tls))
            port = server.port
        mqtt = {"url": f"{scheme}://{host}:{port}", **({} if ca is None else {"ca": str(ca)})}
        if through:
            proxy = await stack.enter_async_context(ConnectProxy().serving())
            mqtt["proxy"] = f"http://127.0.0.1:{proxy.port}"
        end = await end_of(mqtt)
        assert (end[0] == "connected") == bool(broker.peers)
        return end


# -- the broker's certificate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_a_good_certificate_is_accepted_on_every_way(way, authority, ca):
    """The control of those below."""
    assert await end_over(way, server_context(authority, "localhost"), ca) == ("connected", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["expired", "not yet valid", "wrong host", "unknown authority", "no authority set"])
async def test_a_bad_certificate_is_refused_on_every_way(way, fault, authority, ca):
    """Nothing is sent, not even the user name; whoever reads the status knows what to mend."""
    tls = bad_server_context(fault, authority)

    state, reason = await end_over(way, tls, None if fault == "no authority set" else ca)

    assert state == "refused"
    assert {
        "expired": "the certificate of localhost has expired (this machine's clock says",
        "not yet valid": "the certificate of localhost is not valid yet (this machine's clock says",
        "wrong host": "the certificate is not for localhost",
        "unknown authority": "signed by an authority that is not known here; set 'ca' to its PEM file",
        "no authority set": "signed by an authority that is not known here; set 'ca' to its PEM file",
    }[fault] in reason


@pytest.mark.parametrize("way", WAYS)
async def test_without_the_check_of_the_host_the_test_above_would_fail(way, authority, ca, monkeypatch):
    """The mutant: somebody turns the check off."""
    make = ssl.create_default_context

    def lax(**options: Any) -> ssl.SSLContext:
        context = make(**options)
        context.check_hostname = False
        return context

    monkeypatch.setattr(tls_module.ssl, "create_default_context", lax)

    state, _ = await end_over(way, server_context(authority, "other.example"), ca)

    assert state == "connected"


async def test_a_tls_handshake_that_hangs_ends_with_the_connect_timeout(ca):
    """A port that takes connections and says nothing."""

    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(sleep, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(20):
        end = await end_of({"url": f"wss://127.0.0.1:{port}", "ca": str(ca), "connect_timeout": "500ms"})
    server.close()

    assert end == ("backoff", f"127.0.0.1:{port} connected and did not answer in time: TLS hangs")


# -- SNI and ALPN -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_the_server_name_is_asked_for_and_checked_in_place_of_the_host(scheme, authority, ca):
    """A broker behind an address or a tunnel; the check is not weaker, it is for another name."""
    names: list[str | None] = []
    good, bad = server_context(authority, "broker.example"), server_context(authority, "127.0.0.1")
    good.sni_callback = lambda _socket, name, _context: names.append(name)
    ends: list[tuple[str, str]] = []
    hosts: list[str] = []
    for tls in (good, bad):
        async with (
            ScriptedBroker().serving(tls if scheme == "mqtts" else None) as broker,
            WebSocketServer(broker.port).serving(tls) as server,
        ):
            port = broker.port if scheme == "mqtts" else server.port
            mqtt = {"url": f"{scheme}://127.0.0.1:{port}", "ca": str(ca), "server_name": "broker.example"}
            ends.append(await end_of(mqtt))
            hosts += [request.headers["Host"].partition(":")[0] for request in server.requests]

    assert names == ["broker.example"]
    assert ends[0] == ("connected", "")
    assert ends[1][0] == "refused"
    assert "the certificate is not for broker.example" in ends[1][1]
    assert hosts == (["broker.example"] if scheme == "wss" else [])


async def test_the_protocol_names_are_offered(authority, ca):
    """AWS IoT Core on port 443 finds MQTT by them."""
    tls = server_context(authority, "127.0.0.1", alpn=("x-amzn-mqtt-ca",))
    async with ScriptedBroker().serving(tls) as broker:
        mqtt = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca": str(ca), "alpn": ["x-amzn-mqtt-ca"]}
        async with running(MemoryFeed(), 1, mqtt=mqtt) as uplink:
            await until(lambda: uplink.status.state == "connected")
            with_alpn = broker.peers[0].writer.get_extra_info("ssl_object").selected_alpn_protocol()
        async with running(MemoryFeed(), 1, mqtt={**mqtt, "alpn": []}) as uplink:
            await until(lambda: uplink.status.state == "connected")
            without = broker.peers[1].writer.get_extra_info("ssl_object").selected_alpn_protocol()

    assert (with_alpn, without) == ("x-amzn-mqtt-ca", None)


@pytest.mark.parametrize(
    ("alert", "state", "words"),
    [
        (40, "refused", "refuses TLS with us: it wants a certificate ('certificate' and 'key'), or there is no cipher"),
        (42, "refused", "refuses our certificate, or our having none: see 'certificate' and 'key'"),
        (44, "refused", "refuses our certificate: it was revoked"),
        (45, "refused", "refuses our certificate: it has expired, says that side"),
        (46, "refused", "refuses our certificate"),
        (48, "refused", "refuses our certificate: its authority is not known there"),
        (49, "refused", "refuses our certificate: access denied"),
        (112, "refused", "does not know the name it was asked for; see 'server_name'"),
        (116, "refused", "wants a certificate of ours; set 'certificate' and 'key'"),
        (120, "refused", "knows none of the protocol names in 'alpn'"),
        (80, "backoff", "TLS with 127.0.0.1:{port} failed: tlsv1 alert internal error"),
    ],
)
async def test_what_the_server_says_in_tls_is_said_in_words(alert, state, words):
    """RFC 8446, 6.2: one byte that tells whether a person must act."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(bytes([0x15, 3, 3, 0, 2, 2, alert]))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    end = await end_of({"url": f"mqtts://127.0.0.1:{port}"})
    server.close()

    assert end[0] == state
    assert words.format(port=port) in end[1]
