"""Through an HTTP proxy: the only way out of many plants, and what the proxy may say instead of helping."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from fieldgate.config.uplink import MqttUplinkConfig
from fieldgate.net.proxy_tunnel import ProxyTunnel
from fieldgate.net.refusals import ConnectRefused
from uplink_kit import MemoryFeed, ScriptedBroker, end_of, free_port, make_events, running
from way_kit import ConnectProxy, WebSocketServer, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

SECRET = "Tr0ub4dor-and-3"
NAMES = {"broker.test": "127.0.0.1"}


@pytest.fixture(autouse=True)
def asked_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that this machine was asked for; it knows the proxy's only."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        if host != "proxy.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("fieldgate.net.dialler.socket.getaddrinfo", getaddrinfo)
    return asked


def secret_file(folder: Path, text: str = SECRET) -> str:
    path = folder / "proxy-password"
    path.write_text(text)
    path.chmod(0o600)
    return f"${{file:{path}}}"


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
async def test_every_kind_of_url_goes_through_a_proxy(broker, scheme, asked_here, tmp_path):
    """The proxy looks up the broker; here only the proxy is looked up, for the plant's name server knows no others."""
    authority, feed = trustme.CA(), MemoryFeed()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    feed.add(make_events(300))
    tls = server_context(authority, "broker.test") if scheme.endswith("s") and scheme != "ws" else None
    async with (
        ScriptedBroker().serving(tls) as direct,
        WebSocketServer(broker.port).serving(tls) as websocket,
        ConnectProxy(names=NAMES).serving() as proxy,
    ):
        port = websocket.port if scheme.startswith("ws") else direct.port
        mqtt = {"url": f"{scheme}://broker.test:{port}", "proxy": f"http://proxy.test:{proxy.port}"}
        if tls is not None:
            mqtt["ca"] = str(tmp_path / "ca.pem")
        async with running(feed, 1, mqtt=mqtt):
            await feed.settled(300)

    assert feed.delivered_seqs == list(range(1, 301))
    assert proxy.asked == [f"broker.test:{port}"]
    assert asked_here == ["proxy.test"]


async def test_a_user_name_and_a_password_open_the_proxy(broker, tmp_path):
    """Basic; the password is in no status and no log."""
    feed = MemoryFeed()
    feed.add(make_events(10))
    async with ConnectProxy(login=f"plänt:{SECRET}").serving() as proxy:
        login = {"url": f"http://127.0.0.1:{proxy.port}", "username": "plänt", "password": secret_file(tmp_path)}
        async with running(feed, 1, mqtt={"url": f"mqtt://127.0.0.1:{broker.port}", "proxy": login}):
            await feed.settled(10)

        login["password"] = secret_file(tmp_path, "wr0ng-w0rd")
        state, reason = await end_of({"url": f"mqtt://127.0.0.1:{broker.port}", "proxy": login})

    assert state == "refused"
    assert reason == (
        f"the proxy 127.0.0.1:{proxy.port} refuses the user name or password: 407 Proxy Authentication Required"
    )


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (b"407 Login\r\nProxy-Authenticate: Basic realm=x", "refused", "wants a user name and a password: 407 Login"),
        (b"407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", "refused",
         "wants a log-in by Negotiate, NTLM; Basic is the only one that is known here"),
        (b'407 No\r\nProxy-Authenticate: Digest realm="a, b", nonce="c"', "refused", "wants a log-in by Digest;"),
        (b"403 Forbidden", "refused", "does not allow connections to broker.test:1883: 403 Forbidden"),
        (b"405 Method Not Allowed", "refused", "does not do CONNECT, or not to broker.test:1883: 405"),
        (b"302 Found\r\nLocation: http://login.test/", "refused", "refuses to connect to broker.test:1883: 302 Found"),
        (b"502 Bad Gateway", "backoff", "cannot connect to broker.test:1883: 502 Bad Gateway"),
        (b"503 Busy \xff\x1b[2J", "backoff", "cannot connect to broker.test:1883: 503 Busy ??[2J"),
        (b"504 Gateway Timeout", "backoff", "cannot connect to broker.test:1883: 504 Gateway Timeout"),
    ],
)  # fmt: skip
async def test_what_the_proxy_says_is_said(answer, state, words):
    """Whether the plant's network people must act, or the proxy only has a bad day."""
    async with ConnectProxy(answer=b"HTTP/1.1 " + answer + b"\r\n\r\nbody").serving() as proxy:
        end = await end_of({"url": "mqtt://broker.test", "proxy": f"http://127.0.0.1:{proxy.port}"})

    assert end[0] == state
    assert f"the proxy 127.0.0.1:{proxy.port} {words}" in end[1]


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "refused", "is no HTTP proxy: it answers with no HTTP but b'SSH-2.0"),
        (b"HTTP/1.1 200 OK\r\n\r\nHello", "refused", "sent something of its own on the way to broker.test:1883"),
        (b"HTTP/1.1 200", "backoff", "hung up instead of connecting to broker.test:1883"),
        (b"", "backoff", "hung up instead of connecting to broker.test:1883"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000, "refused", "is no HTTP proxy: it answers with an HTTP head of"),
    ],
)
async def test_what_is_no_proxy_is_told_apart(answer, state, words):
    """A wrong port, or a proxy that dies."""
    async with ConnectProxy(answer=answer).serving() as proxy:
        end = await end_of({"url": "mqtt://broker.test", "proxy": f"http://127.0.0.1:{proxy.port}"})

    assert end[0] == state
    assert words in end[1]


async def test_a_proxy_that_never_answers_ends_with_the_connect_timeout():
    """The firewall took the connection and drops the rest."""
    async with ConnectProxy(is_silent=True).serving() as proxy:
        mqtt = {"url": "mqtt://broker.test", "proxy": f"http://127.0.0.1:{proxy.port}", "connect_timeout": "500ms"}
        async with asyncio.timeout(20):
            state, reason = await end_of(mqtt)

    assert state == "backoff"
    assert reason == f"the proxy 127.0.0.1:{proxy.port} did not connect to broker.test:1883 in time"


async def test_a_proxy_that_is_not_there_is_named(asked_here):
    """Not the broker: that may be well."""
    port = free_port()
    gone = await end_of({"url": "mqtts://broker.test", "proxy": f"http://127.0.0.1:{port}"})
    unknown = await end_of({"url": "mqtts://broker.test", "proxy": "http://no-proxy.test:3128"})

    assert gone == ("backoff", f"the proxy 127.0.0.1:{port} refuses connections: nothing listens there")
    assert unknown == ("backoff", "cannot look up no-proxy.test: Name or service not known")
    assert "broker.test" not in asked_here


async def test_a_proxy_reaches_a_broker_that_is_gone(broker):
    """502, and the uplink goes on trying until the broker is back."""
    port = free_port()
    async with ConnectProxy().serving() as proxy:
        end = await end_of({"url": f"mqtt://127.0.0.1:{port}", "proxy": f"http://127.0.0.1:{proxy.port}"})

    assert end == ("backoff", f"the proxy 127.0.0.1:{proxy.port} cannot connect to 127.0.0.1:{port}: 502 Bad Gateway")


async def test_without_a_proxy_nothing_goes_to_the_one_in_the_environment(broker, monkeypatch):
    """A service has another environment than a shell: only the file counts."""
    async with ConnectProxy().serving() as proxy:
        for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        state, _ = await end_of({"url": f"mqtt://127.0.0.1:{broker.port}"})

    assert state == "connected"
    assert proxy.asked == []


def tunnel(url: str, **proxy: str) -> ProxyTunnel:
    config = MqttUplinkConfig.model_validate({"url": url, "proxy": {"url": "http://proxy.test:3128", **proxy}})
    assert config.proxy is not None
    return ProxyTunnel(config.proxy, config.host, config.port)


def test_an_address_of_ipv6_stands_in_brackets():
    """RFC 9110, 7.2: else nobody can tell the port."""
    request = tunnel("mqtts://[2001:db8::1]").request()

    assert request.startswith(b"CONNECT [2001:db8::1]:8883 HTTP/1.1\r\nHost: [2001:db8::1]:8883\r\n")
    assert b"Proxy-Authorization" not in request


def test_an_answer_may_be_cut_anywhere():
    """TCP has no respect for lines."""
    answer = b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n"
    for cut in range(1, len(answer)):
        one = tunnel("mqtt://broker.test")

        assert one.feed(answer[:cut]) is False
        assert one.feed(answer[cut:]) is True


def test_bytes_behind_the_answer_are_never_taken_for_the_brokers():
    """The mutant of the tunnel: a proxy must not speak in the broker's place."""
    with pytest.raises(ConnectRefused, match="something of its own"):
        tunnel("mqtt://broker.test").feed(b"HTTP/1.1 200 OK\r\n\r\n\x20\x02\x00\x00")
