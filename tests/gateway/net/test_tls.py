"""TLS on every way to a broker: who is refused (fault 47), our own certificate, ALPN and the name that is asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from fieldgate.net import tls as tls_module
from uplink_kit import MemoryFeed, ScriptedBroker, make_events, mosquitto, running, until
from way_kit import (
    DAY,
    NOW,
    ConnectProxy,
    WebSocketServer,
    blunt_server,
    own_certificate,
    quiet_loop,
    replace,
    server_context,
)

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

WAYS = ["mqtts", "wss", "mqtts through a proxy", "wss through a proxy"]


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture
def ca(authority, tmp_path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    quiet_loop()


async def end_of(mqtt: dict[str, Any]) -> tuple[str, str]:
    """Connect; return state and reason of the uplink once it does not try for a moment."""
    async with running(MemoryFeed(), 1, mqtt=mqtt) as uplink:
        await until(lambda: uplink.status.state in ("backoff", "refused", "connected"))
        return uplink.status.state, uplink.status.reason


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
    validity = {
        "expired": {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
        "not yet valid": {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY},
    }.get(fault, {})
    signer = trustme.CA() if fault == "unknown authority" else authority
    tls = server_context(signer, "other.example" if fault == "wrong host" else "localhost", **validity)

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
    async with asyncio.timeout(5):
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


# -- our own certificate ----------------------------------------------------------------------------------------


def asks_for_certificates(authority: Any, clients: Any, *, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server's TLS that trusts clients of ``clients`` only."""
    context = server_context(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version
    clients.configure_trust(context)
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
async def test_our_certificate_is_shown_and_without_a_good_one_the_reason_is_said(version, authority, ca, tmp_path):
    """With TLS 1.3 the refusal comes after the handshake, when we believe to be connected."""
    good = own_certificate(authority, tmp_path)
    foreign = own_certificate(trustme.CA(), tmp_path, "foreign")
    expired = own_certificate(authority, tmp_path, "expired", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    early = own_certificate(authority, tmp_path, "early", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    tls = asks_for_certificates(authority, authority, version=version)
    async with ScriptedBroker().serving(tls) as broker:
        accepted = await end_of({"url": f"mqtts://127.0.0.1:{broker.port}", "ca": str(ca), **good.settings})
    with blunt_server(tls) as port:
        to = {"url": f"mqtts://127.0.0.1:{port}", "ca": str(ca)}
        ends = [await end_of({**to, **files}) for files in (foreign.settings, expired.settings, early.settings, {})]

    states, reasons = zip(*ends, strict=True)
    assert accepted == ("connected", "")
    assert states == ("refused",) * 4
    assert "refuses our certificate: its authority is not known there" in reasons[0]
    assert f"our own certificate {expired.certificate} has expired at {NOW - DAY:%Y-%m-%d}" in reasons[1]
    assert f"our own certificate {early.certificate} is not valid yet (this machine's clock says" in reasons[2]
    assert "wants a certificate" in reasons[3]


async def test_a_server_that_hangs_up_on_an_expired_certificate_is_explained(authority, ca, tmp_path):
    """Some give no alert; only the dates tell why."""
    expired = own_certificate(authority, tmp_path, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    async with ScriptedBroker().serving(server_context(authority, "127.0.0.1")) as broker:
        broker.on_connect = lambda peer: peer.close()
        state, reason = await end_of(
            {"url": f"mqtts://127.0.0.1:{broker.port}", "ca": str(ca), **expired.settings, "version": "5"}
        )

    assert state == "refused"
    assert "closed the connection; our own certificate" in reason
    assert "has expired" in reason


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
async def test_a_certificate_rotated_on_disk_is_shown_at_the_next_connect(version, authority, ca, tmp_path):
    """Fault 48: no restart, nothing lost; the connection that stands is left alone."""
    old, new = trustme.CA(), trustme.CA()
    files = own_certificate(old, tmp_path)
    tls = asks_for_certificates(authority, old, version=version)
    new.configure_trust(tls)
    feed = MemoryFeed()
    feed.add(make_events(100))
    async with ScriptedBroker().serving(tls) as broker:
        mqtt = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca": str(ca), **files.settings}
        async with running(feed, 1, mqtt=mqtt) as uplink:
            await feed.settled(100)
            own_certificate(new, tmp_path)
            feed.add(make_events(100, 101))
            uplink.kick()
            await feed.settled(200)
            before = len(broker.peers)
            first = broker.peers[0].writer.get_extra_info("peercert")["issuer"]
            broker.peers[0].close()
            feed.add(make_events(100, 201))
            await feed.settled(300)
            last = broker.peers[-1].writer.get_extra_info("peercert")["issuer"]

    assert before == 1
    assert feed.delivered_seqs == list(range(1, 301))
    assert first != last


async def test_files_that_do_not_belong_together_are_named_and_mended_without_a_restart(authority, ca, tmp_path):
    """Two files are never replaced at once."""
    files = own_certificate(authority, tmp_path)
    other = own_certificate(authority, tmp_path, "other")
    good_key = files.key.read_bytes()
    replace(files.key, other.key.read_bytes())
    feed = MemoryFeed()
    feed.add(make_events(10))
    async with ScriptedBroker().serving(
        asks_for_certificates(authority, authority, version=ssl.TLSVersion.TLSv1_3)
    ) as broker:
        mqtt = {"url": f"mqtts://127.0.0.1:{broker.port}", "ca": str(ca), **files.settings}
        async with running(feed, 1, mqtt=mqtt) as uplink:
            await until(lambda: uplink.status.state == "refused")
            reason = uplink.status.reason
            replace(files.key, good_key)
            await feed.settled(10)

    assert reason == f"{str(files.key)!r} is not the key of the certificate {str(files.certificate)!r}"


def _open_to_all(key: Path) -> str:
    key.chmod(0o644)
    return f"{str(key)!r} is open to everyone (mode 0644); allowed: 0600, 0640"


def _gone(key: Path) -> str:
    key.unlink()
    return f"{str(key)!r} cannot be read: no such file or directory"


def _garbage(key: Path) -> str:
    key.write_text("no key")
    return f"{str(key)!r} holds no whole private key in PEM form"


def _with_passphrase(key: Path) -> str:
    locked = key.with_suffix(".locked")
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:hunter2", "-out", locked]
    subprocess.run(command, check=True)
    replace(key, locked.read_bytes())
    return "the key has a passphrase, which nobody can type here"


@pytest.mark.parametrize("spoil", [_open_to_all, _gone, _garbage, _with_passphrase])
async def test_a_key_that_cannot_be_used_is_refused_with_its_name(authority, ca, tmp_path, spoil):
    """It may become so while the gateway runs; nothing waits for an answer on a terminal."""
    files = own_certificate(authority, tmp_path)
    words = spoil(files.key)

    state, reason = await end_of({"url": "mqtts://127.0.0.1:1", "ca": str(ca), **files.settings})

    assert state == "refused"
    assert words in reason


async def test_a_key_from_systemd_may_have_any_mode(authority, ca, tmp_path, monkeypatch):
    """Its folder is closed to others; the files in it look as systemd likes."""
    files = own_certificate(authority, tmp_path)
    files.key.chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    mqtt = {"certificate": str(files.certificate), "key": f"${{credential:{files.key.name}}}", "ca": str(ca)}
    tls = asks_for_certificates(authority, authority, version=ssl.TLSVersion.TLSv1_3)

    async with ScriptedBroker().serving(tls) as broker:
        end = await end_of({"url": f"mqtts://127.0.0.1:{broker.port}", **mqtt})

    assert end == ("connected", "")


async def test_mosquitto_takes_the_user_from_our_certificate(authority, ca, tmp_path):
    """The way without passwords, with the real broker; and what it does to a client without a certificate."""
    files = own_certificate(authority, tmp_path)
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "acl").write_text("user plant-7\ntopic write fieldgate/#\n")
    for path in (tmp_path / "acl", tmp_path / "key.pem"):
        path.chmod(0o600)
        os.chown(path, os.getuid(), os.getgid())
    feed = MemoryFeed()
    feed.add(make_events(500))
    lines = (
        "allow_anonymous false",
        "require_certificate true",
        "use_identity_as_username true",
        f"cafile {ca}",
        f"keyfile {tmp_path / 'key.pem'}",
        f"certfile {tmp_path / 'cert.pem'}",
        f"acl_file {tmp_path / 'acl'}",
    )
    async with mosquitto(tmp_path, *lines) as port:
        to = {"url": f"mqtts://127.0.0.1:{port}", "ca": str(ca)}
        async with running(feed, port, mqtt={**to, **files.settings}) as uplink:
            await feed.settled(500)
            assert uplink.status.parked == 0
        without = await end_of(to)

    assert feed.delivered_seqs == list(range(1, 501))
    assert without[0] == "refused"
    assert "wants a certificate of ours" in without[1]
