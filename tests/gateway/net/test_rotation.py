"""A login is changed while the connection runs: proven before the old one is given up, and nothing is lost (row 48)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from fieldgate.forward import mqtt_uplink
from fieldgate.forward.mqtt_uplink import MqttUplink
from fieldgate.mqtt.packets import ConnAck, Reason, Will
from fieldgate.net.login_proof import LoginProof
from ports import free_port
from tls_kit import Authority
from uplink_kit import MemoryFeed, Peer, ScriptedBroker, make_events, mosquitto, running, until, uplink_config

OLD = {"username": "old", "password": "one"}
NEW = {"username": "new", "password": "two"}
WRONG = {"username": "new", "password": "three"}


@asynccontextmanager
async def guarded(folder: Path, *, port: int | None = None) -> AsyncIterator[int]:
    """mosquitto, which lets `OLD` and `NEW` in."""
    users = folder / "users"
    users.write_text("old:one\nnew:two\n")
    users.chmod(0o600)
    await (await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", users)).wait()
    async with mosquitto(folder, "allow_anonymous false", f"password_file {users}", port=port) as at:
        yield at


@asynccontextmanager
async def rotating(feed: MemoryFeed, port: int, **mqtt: Any) -> AsyncIterator[MqttUplink]:
    """An uplink that runs, with what changes its login."""
    async with running(feed, port, mqtt=mqtt) as uplink:
        task = asyncio.create_task(uplink.rotate(), name="rotate")
        try:
            yield uplink
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_login_changes_under_load_and_every_event_arrives(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords are rotated every few weeks, at noon as well."""
    monkeypatch.setattr(mqtt_uplink, "_log", structlog.get_logger())
    feed = MemoryFeed()
    async with guarded(tmp_path) as port, rotating(feed, port, version=version, **OLD) as uplink:
        await until(lambda: uplink.status.state == "connected")
        with capture_logs() as logs:
            for turn, login in enumerate((NEW, OLD, NEW)):
                feed.add(make_events(2000, first=1 + 2000 * turn))
                uplink.kick()
                uplink.reconfigure(uplink_config(port, mqtt={"version": version, **login}))
                await until(lambda turn=turn: uplink.status.reconnects == turn + 1)
        await feed.settled(6000)

        assert set(feed.done.values()) == {"delivered"}
        assert uplink.status.login == ""
        assert [one["event"] for one in logs].count("uplink.login_changed") == 3
        assert not {"uplink.lost", "uplink.refused", "uplink.unreachable"} & {one["event"] for one in logs}


async def test_a_login_that_is_refused_costs_the_old_connection_nothing(tmp_path: Path) -> None:
    """A typing error in a password must not cut a plant off."""
    feed = MemoryFeed()
    async with guarded(tmp_path) as port, rotating(feed, port, **OLD) as uplink:
        await until(lambda: uplink.status.state == "connected")

        uplink.reconfigure(uplink_config(port, mqtt=WRONG))
        await until(lambda: uplink.status.login != "" or uplink.status.reconnects > 0)
        feed.add(make_events(10))
        uplink.kick()
        await feed.settled(10)

        assert uplink.status.state == "connected"
        assert uplink.status.reconnects == 0
        assert uplink.status.login.startswith("the new login is refused, the old one stays: ")
        assert "three" not in uplink.status.login

        uplink.reconfigure(uplink_config(port, mqtt=OLD))  # written back
        assert uplink.status.login == ""


async def test_the_test_notices_a_login_that_is_taken_unproven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the old connection is given up at once."""

    async def unproven(_proof: LoginProof) -> None:
        pass

    monkeypatch.setattr(LoginProof, "attempt", unproven)

    with pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(10):
            await test_a_login_that_is_refused_costs_the_old_connection_nothing(tmp_path)


async def test_where_the_server_is_away_the_new_login_waits_for_it(tmp_path: Path) -> None:
    """Both change during an outage: the server's side, and ours."""
    feed, port = MemoryFeed(), free_port()
    feed.add(make_events(10))
    async with rotating(feed, port, username="gone", password="gone") as uplink:
        await until(lambda: uplink.status.state == "backoff")
        uplink.reconfigure(uplink_config(port, mqtt=NEW))
        await until(lambda: uplink.status.login.startswith("the new login is not proven yet, the old one goes on: "))

        async with guarded(tmp_path, port=port):
            await feed.settled(10)

            assert uplink.status.state == "connected"
            assert uplink.status.login == ""


async def test_a_login_that_mends_a_refusal_is_used_at_once(tmp_path: Path) -> None:
    """Nobody wants to wait for a back-off of a minute after mending a password."""
    feed = MemoryFeed()
    feed.add(make_events(10))
    async with guarded(tmp_path) as port, rotating(feed, port, **WRONG) as uplink:
        await until(lambda: uplink.status.state == "refused")

        uplink.reconfigure(uplink_config(port, mqtt=NEW))
        await feed.settled(10)

        assert uplink.status.login == ""


async def test_a_proof_says_who_we_are_keeps_the_session_and_has_no_will() -> None:
    """Its end must not tell anybody that the gateway is gone, nor have the server forget what waits for it."""

    def answer(peer: Peer) -> None:
        for other in broker.peers[: peer.number - 1]:  # as a server does with an older connection of the client
            other.close()
        peer.send(ConnAck())

    feed = MemoryFeed()
    async with ScriptedBroker().serving() as broker:
        broker.on_connect = answer
        async with rotating(feed, broker.port, status_topic="s", **OLD) as uplink:
            await until(lambda: uplink.status.state == "connected")
            uplink.reconfigure(uplink_config(broker.port, mqtt={"status_topic": "s", **NEW}))
            await until(lambda: len(broker.peers) == 3 and broker.peers[2].connect is not None)

            first, proof, last = (peer.connect for peer in broker.peers)
            assert first is not None
            assert proof is not None
            assert last is not None
            assert (proof.client_id, proof.clean_start, proof.will) == (first.client_id, False, None)
            assert (proof.username, proof.password) == ("new", b"two")
            assert (last.username, last.password) == ("new", b"two")
            assert isinstance(last.will, Will)


async def test_a_server_that_is_only_busy_is_asked_again() -> None:
    """A passing refusal says nothing about the login."""
    answers = [ConnAck(), ConnAck(reason=Reason.SERVER_BUSY), ConnAck(), ConnAck()]
    async with ScriptedBroker().serving() as broker:
        broker.on_connect = lambda peer: peer.send(answers.pop(0))
        async with rotating(MemoryFeed(), broker.port, version="5", **OLD) as uplink:
            await until(lambda: uplink.status.state == "connected")
            uplink.reconfigure(uplink_config(broker.port, mqtt={"version": "5", **NEW}))

            await until(lambda: not answers and uplink.status.login == "")

            assert [peer.connect.username for peer in broker.peers if peer.connect is not None] == [
                "old", "new", "new", "new",
            ]  # fmt: skip


async def test_a_certificate_that_was_replaced_is_proven_too(tmp_path: Path) -> None:
    """The names of the files stay the same; one of an authority that the server does not know is not used."""
    authority, stranger = Authority(), Authority()
    server, ca = authority.write_server(tmp_path), authority.write_ca(tmp_path / "ca.pem")
    certificate, key = authority.write_client(tmp_path, "plant")
    mqtt = {"certificate": str(certificate), "key": str(key), "ca": str(ca)}
    lines = (
        f"certfile {server['certificate']}", f"keyfile {server['key']}", f"cafile {ca}", "require_certificate true",
        "use_identity_as_username true", "allow_anonymous true",
    )  # fmt: skip
    feed = MemoryFeed()
    async with mosquitto(tmp_path, *lines) as port:
        mqtt["url"] = f"mqtts://127.0.0.1:{port}"
        async with rotating(feed, port, **mqtt) as uplink:
            await until(lambda: uplink.status.state == "connected")
            stranger.write_client(tmp_path, "plant")
            uplink.reconfigure(uplink_config(port, mqtt=mqtt))
            await until(lambda: uplink.status.login != "" or uplink.status.reconnects > 0)
            assert (uplink.status.state, uplink.status.reconnects) == ("connected", 0)

            authority.write_client(tmp_path, "plant")
            uplink.reconfigure(uplink_config(port, mqtt=mqtt))
            await until(lambda: uplink.status.reconnects == 1)
            feed.add(make_events(10))
            uplink.kick()
            await feed.settled(10)

            assert uplink.status.login == ""
