"""Our own certificate on the way to a broker: shown, refused with a reason, rotated on disk (fault 48), unusable."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from uplink_kit import MemoryFeed, ScriptedBroker, end_of, make_events, mosquitto, running, until
from way_kit import DAY, NOW, blunt_server, own_certificate, quiet_loop, replace, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    quiet_loop()


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
