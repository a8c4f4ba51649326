"""The clients that people have, through TLS, certificates, passwords and WebSockets, against our listener."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest

from access_kit import users_text, write_private
from fieldgate.ingest.mqtt_listener import MqttListener
from listener_kit import SettlingIntake, serving
from tls_kit import Authority

ACL = 'all_users:\n  - {allow: all, topic: "site/%u/#"}\n'

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed (package mosquitto-clients)"
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ca(authority: Authority, tmp_path: Path) -> Path:
    return authority.write_ca(tmp_path / "ca.pem")


@pytest.fixture
def auth(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "acl.yaml").write_text(ACL, encoding="utf-8")
    return {"users": write_private(tmp_path / "users", users_text(amy="apple")), "acl": tmp_path / "acl.yaml"}


async def run(*words: object) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, out.decode()


def pub(listener: MqttListener, *more: object) -> tuple[object, ...]:
    return ("mosquitto_pub", "-h", "localhost", "-p", listener.port, "-q", 1, "-m", "hello", *more)


@needs_mosquitto
@pytest.mark.parametrize("version", ["311", "5"])
async def test_mosquitto_pub_with_tls_and_a_password(
    authority: Authority, ca: Path, auth: dict[str, Path], tmp_path: Path, version: str
) -> None:
    """What the README tells people to type; a wrong password ends with mosquitto's own words for it."""
    intake = SettlingIntake()
    async with serving(intake, mqtt="localhost:0", tls=authority.write_server(tmp_path), auth=auth) as listener:
        tls = ("--cafile", ca, "-V", version)

        right = await run(*pub(listener, *tls, "-u", "amy", "-P", "apple", "-t", "site/amy/x"))
        wrong = await run(*pub(listener, *tls, "-u", "amy", "-P", "pear", "-t", "site/amy/x"))
        denied = await run(*pub(listener, *tls, "-u", "amy", "-P", "apple", "-t", "site/bob/x"))

    assert right == (0, "")
    assert wrong[0] != 0
    assert "not authorised" in wrong[1].lower() or "bad user name or password" in wrong[1].lower()
    assert intake.payloads == [b"hello"]
    assert listener.tally.refused == {"not_authorized": 1}
    assert ("not authorized" in denied[1].lower()) is (version == "5"), "3.1.1 has no way to say it"


@needs_mosquitto
async def test_mosquitto_pub_with_a_client_certificate(authority: Authority, ca: Path, tmp_path: Path) -> None:
    """Its user is the common name, and the ACL knows it by that."""
    (tmp_path / "acl.yaml").write_text(ACL, encoding="utf-8")
    tls = authority.write_server(tmp_path) | {"client_ca": ca}
    certificate, key = authority.write_client(tmp_path, "pump-7")
    intake = SettlingIntake()
    async with serving(intake, mqtt="localhost:0", tls=tls, auth={"acl": tmp_path / "acl.yaml"}) as listener:
        files = ("--cafile", ca, "--cert", certificate, "--key", key)

        own = await run(*pub(listener, *files, "-t", "site/pump-7/x"))
        await run(*pub(listener, *files, "-t", "site/pump-8/x"))
        without = await run(*pub(listener, "--cafile", ca, "-t", "site/pump-7/x"))

    assert own == (0, "")
    assert without[0] != 0
    assert [one.topic for one in intake.heard] == ["site/pump-7/x"]


@contextmanager
def paho_client(
    listener: MqttListener, *, version: int, user: tuple[str, str], ca: Path | None, transport: str = "websockets"
) -> Iterator[tuple[paho.Client, list[bytes]]]:
    """A connected paho client that has subscribed to its own topics, and what it hears."""
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, client_id="paho", protocol=version, transport=transport  # type: ignore[arg-type]
    )  # fmt: skip
    client.username_pw_set(*user)
    if ca is not None:
        client.tls_set(str(ca))
    heard: list[bytes] = []
    ready = threading.Event()
    client.on_connect = lambda one, *_: one.subscribe("site/amy/#", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _userdata, message: heard.append(message.payload)
    client.connect("localhost", listener.port)
    client.loop_start()
    try:
        assert ready.wait(10)
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("transport", ["websockets", "tcp"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
async def test_paho_over_every_transport(
    authority: Authority,
    ca: Path,
    auth: dict[str, Path],
    tmp_path: Path,
    version: int,
    is_tls: bool,
    transport: str,
) -> None:
    """Publish, receive, payloads that need every length of WebSocket frame, and a clean goodbye."""
    intake = SettlingIntake()
    settings: dict[str, object] = {"mqtt": "localhost:0", "auth": auth}
    if transport == "websockets":
        settings["transport"] = "websocket"
    if is_tls:
        settings["tls"] = authority.write_server(tmp_path)
    payloads = [b"a", b"b" * 200, b"c" * 70_000]
    async with serving(intake, **settings) as listener:

        def talk() -> list[bytes]:
            ca_or_none = ca if is_tls else None
            of = paho_client(listener, version=version, user=("amy", "apple"), ca=ca_or_none, transport=transport)
            with of as (client, heard):
                for payload in payloads:
                    client.publish("site/amy/x", payload, qos=1).wait_for_publish(10)
                for _ in range(500):
                    if len(heard) == len(payloads):
                        break
                    threading.Event().wait(0.02)
            return heard

        heard = await asyncio.to_thread(talk)

        assert heard == payloads
        assert intake.payloads == payloads
        async with asyncio.timeout(20):
            while not listener.ended:
                await asyncio.sleep(0)
        assert listener.ended == {"client_disconnect": 1}


async def test_aiomqtt_with_tls_and_a_password(
    authority: Authority, ca: Path, auth: dict[str, Path], tmp_path: Path
) -> None:
    """And the refusal is one that a program can tell from a broken network."""
    async with serving(
        SettlingIntake(), mqtt="localhost:0", tls=authority.write_server(tmp_path), auth=auth
    ) as listener:
        tls = aiomqtt.TLSParameters(ca_certs=str(ca))
        async with aiomqtt.Client(
            "localhost", listener.port, username="amy", password="apple", tls_params=tls, protocol=paho.MQTTv5
        ) as client:
            await client.subscribe("site/amy/#", qos=1)
            await client.publish("site/amy/x", b"hello", qos=1)
            async with asyncio.timeout(20):
                message = await anext(client.messages)
            assert message.payload == b"hello"
        with pytest.raises(aiomqtt.MqttError, match="Bad user name or password"):
            async with aiomqtt.Client(
                "localhost", listener.port, username="amy", password="pear", tls_params=tls, protocol=paho.MQTTv5
            ):
                pass
