"""SIGHUP and ``fieldgate reload`` on a whole gateway, as an operator, systemd and a terminal use them."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from access_kit import users_text, write_private
from command_kit import fieldgate
from gateway_kit import Gateway, eventually, publish_once, running
from service_kit import listening_manager
from tls_kit import Authority
from uplink_kit import mosquitto


def write_config(gateway: Gateway) -> None:
    gateway.config.write_text(json.dumps(gateway.settings), encoding="utf-8")


async def reload(gateway: Gateway, *more: str) -> tuple[int, str, str]:
    ran = await fieldgate("reload", "-c", str(gateway.config), *more)
    return ran.code, ran.out, ran.err


@asynccontextmanager
async def guarded(folder: Path, *, passwords: dict[str, str]) -> AsyncIterator[Gateway]:
    write_private(folder / "users", users_text(**passwords))
    gateway = Gateway(folder, uplinks={}, listen={"auth": {"users": str(folder / "users")}})
    async with running(gateway):
        yield gateway


async def test_the_command_says_what_counts_now_and_what_after_a_restart(tmp_path: Path) -> None:
    """An operator must know whether the edit is in force."""
    async with guarded(tmp_path, passwords={"ann": "a"}) as gateway:
        write_private(tmp_path / "users", users_text(ann="a", bob="b"))
        gateway.settings["listen"][0]["max_packet"] = "200B"
        gateway.settings["journal"]["max_size"] = "1GB"
        write_config(gateway)

        code, out, err = await reload(gateway)

        assert code == 0, err
        assert "changed: listen[0].max_packet" in out
        assert "journal.max_size: needs a restart" in out
        async with aiomqtt.Client("127.0.0.1", gateway.port, username="bob", password="b") as client:
            with pytest.raises(aiomqtt.MqttError):  # the new limit ends it
                await client.publish("t", b"x" * 300, qos=1, timeout=10)
        status = await fieldgate("status", "-c", str(gateway.config))
        assert "not in force before a restart: journal.max_size" in status.out


async def test_a_reload_that_is_refused_ends_with_1_and_says_where(tmp_path: Path) -> None:
    """For a script that deploys: nothing has changed, and every place is named, for programs too."""
    async with guarded(tmp_path, passwords={"ann": "a"}) as gateway:
        gateway.settings["listen"][0]["max_packet"] = "200B"
        gateway.settings["listen"][0]["max_cleints"] = 5
        write_config(gateway)

        code, out, err = await reload(gateway)
        answer = json.loads((await reload(gateway, "--json"))[1])
        status = await fieldgate("status", "-c", str(gateway.config))

        assert (code, out) == (1, "")
        assert "unknown key 'max_cleints'; did you mean 'max_clients'?" in err
        assert "nothing has changed" in err
        assert answer["reloaded"] is False
        assert "max_cleints" in answer["problems"][0]
        assert answer["changed"] == []
        assert (status.code, "PROBLEM  the last reload changed nothing: " in status.out) == (0, True)
        async with aiomqtt.Client("127.0.0.1", gateway.port, username="ann", password="a") as client:
            await client.publish("t", b"x" * 300, qos=1, timeout=10)


async def test_sighup_reloads_a_service_and_systemd_hears_of_it(tmp_path: Path) -> None:
    """``systemctl reload`` waits for the READY behind RELOADING, and ``systemctl status`` says what was wrong."""
    with listening_manager() as manager:
        gateway = Gateway(tmp_path, uplinks={}, env={"NOTIFY_SOCKET": manager.address})
        async with running(gateway):
            await eventually("it is ready", lambda: "READY=1" in manager.heard)
            gateway.settings["listen"][0]["max_cleints"] = 5
            write_config(gateway)
            assert gateway.process is not None

            gateway.process.send_signal(signal.SIGHUP)
            await eventually("it has tried", lambda: manager.count("READY=1") == 2)
            refused = manager.values("STATUS")[-1]
            del gateway.settings["listen"][0]["max_cleints"]
            write_config(gateway)
            gateway.process.send_signal(signal.SIGHUP)
            await eventually("it has reloaded", lambda: manager.count("READY=1") == 3)

            assert refused.startswith("PROBLEM: reload refused, nothing has changed: ")
            assert "max_cleints" in refused
            assert "PROBLEM" not in manager.values("STATUS")[-1]
            assert manager.count("RELOADING=1") == 2
            assert [line.partition("=")[0] for line in manager.heard if "RELOADING" in line or "MONOTONIC" in line] == [
                "RELOADING",
                "MONOTONIC_USEC",
            ] * 2
            await eventually("the log says both", lambda: "config.reloaded" in gateway.log_text())
            assert "config.refused" in gateway.log_text()
            assert await gateway.stop() == 0


async def test_a_new_certificate_is_for_new_connections_and_old_ones_live_on(tmp_path: Path) -> None:
    """Row 48: rotated every 60 days, while devices are connected."""
    old, new = Authority(), Authority()
    tls = {key: str(path) for key, path in old.write_server(tmp_path).items()}
    async with running(Gateway(tmp_path, uplinks={}, listen={"tls": tls})) as gateway:

        def client(authority: Authority) -> aiomqtt.Client:
            return aiomqtt.Client("localhost", gateway.port, tls_context=authority.client_context())

        async with client(old) as connected:
            new.write_server(tmp_path)
            assert (await reload(gateway))[0] == 0

            await connected.publish("t", b"1", qos=1, timeout=10)
            async with client(new) as late:
                await late.publish("t", b"2", qos=1, timeout=10)
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("localhost", gateway.port, ssl=old.client_context())
            await connected.publish("t", b"3", qos=1, timeout=10)

        assert (await gateway.status())["events_in"] == 3


async def test_a_rotated_password_is_proven_and_never_said(tmp_path: Path) -> None:
    """Row 48: the file of the secret changes, then a word; a wrong one leaves the connection as it is."""
    users, secret = tmp_path / "broker.users", tmp_path / "secret"
    words = {"old": "planted-one", "new": "planted-two", "wrong": "planted-three"}
    users.write_text(f"plant:{words['old']}\n")
    users.chmod(0o600)
    await (await asyncio.create_subprocess_exec("mosquitto_passwd", "-U", users)).wait()
    write_private(secret, words["old"])
    async with mosquitto(tmp_path, "allow_anonymous false", f"password_file {users}") as port:
        uplink = {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "username": "plant", "password": f"${{file:{secret}}}"}}
        async with running(Gateway(tmp_path, uplinks={"cloud": uplink})) as gateway:

            async def cloud() -> dict[str, object]:
                return dict((await gateway.status())["uplinks"]["cloud"])

            async def is_connected() -> bool:
                return (await cloud())["state"] == "connected"

            async def is_refused() -> bool:
                return "refused" in str((await cloud())["login"])

            await eventually("it is connected", is_connected)
            write_private(secret, words["wrong"])
            code, out, err = await reload(gateway)
            assert code == 0, err
            assert "changed: uplinks.cloud.mqtt.password" in out
            await eventually("the wrong one is refused", is_refused)
            assert ((await cloud())["state"], (await cloud())["reconnects"]) == ("connected", 0)
            shown = (await fieldgate("status", "-c", str(gateway.config))).out
            assert "LOGIN: the new login is refused, the old one stays: " in shown

            write_private(secret, words["old"])
            out += (await reload(gateway, "--json"))[1]
            assert (await cloud())["login"] == ""
            await publish_once(gateway.port, "t/d", b'{"device": "d"}')
            await gateway.drained("cloud")

            await eventually("the log says it", lambda: "uplink.login_refused" in gateway.log_text())
            said = out + shown + json.dumps(await gateway.status()) + gateway.log_text()
            assert not [word for word in words.values() if word in said]


async def test_where_no_gateway_runs_there_is_nothing_to_reload(tmp_path: Path) -> None:
    """The same words and code as of every command that asks."""
    gateway = Gateway(tmp_path, uplinks={})
    write_config(gateway)

    code, out, err = await reload(gateway)

    assert (code, out) == (1, "")
    assert "no gateway is running here" in err


async def test_a_terminal_that_is_closed_stops_a_gateway_that_was_typed_into_it(tmp_path: Path) -> None:
    """There SIGHUP is no word to a service: who closes the window wants it gone, cleanly."""
    gateway = Gateway(tmp_path, uplinks={})
    write_config(gateway)
    pid, terminal = pty.fork()
    if pid == 0:  # the terminal's only session: closing it hangs up
        os.environ.pop("NOTIFY_SOCKET", None)
        os.environ.pop("INVOCATION_ID", None)
        log = os.open(gateway.log, os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        os.execv(sys.executable, [sys.executable, "-m", "fieldgate", "run", "-c", str(gateway.config)])
    try:
        await eventually("it answers", gateway.status_or_none)
    finally:
        os.close(terminal)

    _, code = await asyncio.to_thread(os.waitpid, pid, 0)

    assert os.waitstatus_to_exitcode(code) == 0
    assert "gateway.stopped" in gateway.log_text()
    assert "config.reloaded" not in gateway.log_text()
