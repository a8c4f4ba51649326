"""TLS is always verified, and each way in which it can fail is said in words (fault 47)."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fieldgate import clock
from fieldgate.net.broker_connection import Timing
from uplink_kit import MemoryFeed, ScriptedBroker, make_events, mosquitto, running, until
from way_kit import DAY, NOW, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")


def tls_to(port: int, ca: Path | None = None, *, host: str = "127.0.0.1") -> dict[str, Any]:
    """Settings of an uplink to that port; the IPv4 loopback by whatever name."""
    return {"url": f"mqtts://{host}:{port}", **({} if ca is None else {"ca": str(ca)})}


async def reason_of(tls: ssl.SSLContext, ca: Path | None, *, host: str = "127.0.0.1") -> tuple[str, str]:
    """Connect to a server with that context; return state and reason of the uplink."""
    feed = MemoryFeed()
    feed.add(make_events(1))
    broker = ScriptedBroker()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # the server's half of it
    async with broker.serving(tls), running(feed, broker.port, mqtt=tls_to(broker.port, ca, host=host)) as uplink:
        await until(lambda: uplink.status.state in ("backoff", "refused", "connected"))
        status = uplink.status
    assert (status.state == "connected") == bool(broker.peers)
    return status.state, status.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_certificate_of_the_configured_authority_is_accepted(authority, ca, host):
    """By name and by address."""
    state, reason = await reason_of(server_context(authority, host), ca, host=host)

    assert (state, reason) == ("connected", "")


async def test_an_unknown_authority_is_refused(ca):
    """Whoever can answer in the broker's place can make a certificate of his own."""
    state, reason = await reason_of(server_context(trustme.CA(), "127.0.0.1"), ca)

    assert state == "refused"
    assert "signed by an authority that is not known here; set 'ca'" in reason


async def test_without_ca_the_systems_authorities_count(authority):
    """Which do not know ours."""
    state, reason = await reason_of(server_context(authority, "127.0.0.1"), None)

    assert state == "refused"
    assert "authority that is not known here" in reason


@pytest.mark.parametrize(("names", "host"), [("other.example", "localhost"), ("10.1.2.3", "127.0.0.1")])
async def test_a_certificate_for_another_host_is_refused(authority, ca, names, host):
    """There is no option to turn this off."""
    state, reason = await reason_of(server_context(authority, names), ca, host=host)

    assert state == "refused"
    assert f"the certificate is not for {host}" in reason


async def test_an_expired_certificate_is_refused_with_our_own_clock(authority, ca):
    """The clock is shown, for it may be ours that is wrong."""
    tls = server_context(authority, "127.0.0.1", not_before=NOW - 9 * DAY, not_after=NOW - DAY)

    state, reason = await reason_of(tls, ca)

    assert state == "refused"
    assert "has expired" in reason
    assert f"clock says {datetime.now(UTC):%Y-%m-%d}" in reason


async def test_a_certificate_that_is_not_valid_yet_asks_for_the_clock(authority, ca):
    """A Pi that boots in 1970 sees nothing else (iotedge#4062); it goes on trying."""
    tls = server_context(authority, "127.0.0.1", not_before=NOW + DAY, not_after=NOW + 9 * DAY)

    state, reason = await reason_of(tls, ca)

    assert state == "refused"
    assert "not valid yet" in reason
    assert "is it set?" in reason


async def test_while_the_clock_is_not_set_it_is_waited_for_and_nobody_is_blamed(authority, ca, monkeypatch, tmp_path):
    """Row 48: by the clock of 1970 every certificate is of the future. When the time comes, the next try is at once."""
    monkeypatch.setattr(clock, "is_synced", lambda: False)
    early = server_context(authority, "127.0.0.1", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    feed = MemoryFeed()
    feed.add(make_events(10))
    patient = Timing(base_s=3600.0, cap_s=3600.0)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with (
        ScriptedBroker().serving(early) as broker,
        running(feed, broker.port, timing=patient, mqtt=tls_to(broker.port, ca)) as uplink,
    ):
        await until(lambda: uplink.status.state in ("backoff", "refused"))
        assert uplink.status.state == "backoff"
        assert "not valid yet" in uplink.status.reason
        authority.issue_cert("127.0.0.1").configure_cert(early)  # as when the clock is set

        uplink.hurry()
        await feed.settled(10)


async def test_tls_older_than_1_2_is_refused(authority, ca):
    """[ETSI EN 303 645, 5.5]"""
    tls = server_context(authority, "127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("ALL:@SECLEVEL=0")

    state, reason = await reason_of(tls, ca)

    assert state == "backoff"
    assert "TLS 1.2 or later" in reason


async def test_a_port_without_tls_is_said():
    """mqtts:// to port 1883."""
    feed = MemoryFeed()
    async with ScriptedBroker().serving() as broker:
        broker.on_connect = lambda peer: None
        mqtt = {**tls_to(broker.port), "connect_timeout": "2s"}
        async with running(feed, broker.port, mqtt=mqtt) as uplink:
            await until(lambda: bool(broker.peers))
            broker.peers[0].writer.write(b"\x20\x02\x00\x01")
            await until(lambda: uplink.status.state == "backoff")

            assert "is that a TLS port" in uplink.status.reason


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_named(tmp_path, content):
    """And read again at the next attempt."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    async with running(MemoryFeed(), 1, mqtt=tls_to(1, path)) as uplink:
        await until(lambda: uplink.status.state == "refused")

        assert str(path) in uplink.status.reason


async def test_a_new_ca_file_is_used_without_a_restart(authority, tmp_path):
    """The authority changed upstream; the file was replaced here."""
    feed, ca = MemoryFeed(), tmp_path / "ca.pem"
    feed.add(make_events(10))
    trustme.CA().cert_pem.write_to_path(ca)
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with (
        ScriptedBroker().serving(server_context(authority, "127.0.0.1")) as broker,
        running(feed, broker.port, mqtt=tls_to(broker.port, ca)) as uplink,
    ):
        await until(lambda: uplink.status.state == "refused")
        authority.cert_pem.write_to_path(tmp_path / "new.pem")
        (tmp_path / "new.pem").replace(ca)

        await feed.settled(10)


async def test_mosquitto_over_tls_with_a_password_takes_everything(authority, ca, tmp_path):
    """The usual cloud broker, from a real one."""
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    (tmp_path / "users").write_text("plant:secret\n")
    (tmp_path / "users").chmod(0o600)
    await (await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", tmp_path / "users")).wait()
    (tmp_path / "password").write_text("secret")
    (tmp_path / "password").chmod(0o600)
    feed = MemoryFeed()
    feed.add(make_events(2000))
    lines = (
        "allow_anonymous false",
        f"password_file {tmp_path / 'users'}",
        f"keyfile {tmp_path / 'key.pem'}",
        f"certfile {tmp_path / 'cert.pem'}",
    )
    async with mosquitto(tmp_path, *lines) as port:
        user = {"username": "plant", "password": f"${{file:{tmp_path / 'password'}}}"}
        async with running(feed, port, mqtt={**tls_to(port, ca), **user}):
            await feed.settled(2000)
        async with running(feed, port, mqtt={**tls_to(port, ca), "username": "plant"}) as uplink:
            await until(lambda: uplink.status.state == "refused")
            assert "authorise" in uplink.status.reason
    assert feed.delivered_seqs == list(range(1, 2001))
