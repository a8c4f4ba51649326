"""Each template of ``deploy/config/uplinks`` run by the real gateway against a stand-in with that service's rules.

Only what an installer fills in is changed: host, port, files, secrets. What the stand-in demands (a certificate, ALPN,
a token, a password, WebSocket) is what the service demands.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from command_kit import fieldgate
from fieldgate.mqtt.packets import ConnAck, Publish
from fieldgate_devices.files.document import read_yaml
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from hub_kit import Hub
from uplink_kit import Peer, ScriptedBroker, free_port, mosquitto
from way_kit import ConnectProxy, TlsRelay, WebSocketServer, own_certificate, server_context

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

FOLDER = Path(__file__).parents[2] / "deploy" / "config" / "uplinks"
COUNT = 200
KEY = "c2VjcmV0LWtleS1vZi1hLWRldmljZQ=="


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


class Site:
    """The machine on which a template is filled in."""

    def __init__(self, name: str, folder: Path, authority: Any, **secrets: str) -> None:
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        document = read_yaml(text.encode(), name)
        assert document.root is not None
        self.settings: Any = document.root.value()
        (self.name,) = self.settings["uplinks"]
        self.mqtt = self.settings["uplinks"][self.name]["mqtt"]
        self.folder = folder
        authority.cert_pem.write_to_path(folder / "ca.crt")
        self.mqtt["ca"] = str(folder / "ca.crt")
        credentials = folder / "credentials"
        credentials.mkdir(mode=0o700)
        for secret, value in secrets.items():
            (credentials / secret.replace("_", "-")).write_text(value, encoding="utf-8")
        self.env = {"CREDENTIALS_DIRECTORY": str(credentials)}

    def gateway(self) -> Gateway:
        gateway = Gateway(self.folder, uplinks=self.settings["uplinks"], env=self.env)
        gateway.settings["gateway"] = self.settings["gateway"]
        return gateway


def has_password(folder: Path) -> tuple[str, ...]:
    """Settings of a mosquitto that knows one user."""
    users = folder / "users"
    users.write_text("plant-7:secret\n")
    users.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", users], check=True)
    return "allow_anonymous false", f"password_file {users}"


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def carries_everything(gateway: Gateway, upstream: Upstream) -> None:
    """Devices publish, what they were acknowledged arrives behind the service, once and in order."""
    publisher = Publisher(gateway.port, total=COUNT)
    upstream.start()
    try:
        async with running(gateway):
            publisher.start()
            await publisher.finished()
            await gateway.drained()
            await eventually("all is upstream", lambda: len(upstream.events()) >= COUNT)
            publisher.close()
        oracle(upstream, [publisher])
    finally:
        upstream.close()


async def test_aws_with_a_certificate_and_its_protocol_name(tmp_path, authority, stack):
    """Port 443 of AWS: no ALPN, no MQTT; no certificate, no TLS; the client id is the thing's name."""
    site = Site("aws-iot-core", tmp_path, authority)
    site.mqtt.update(own_certificate(authority, tmp_path).settings)
    tls = server_context(authority, "localhost", alpn=("x-amzn-mqtt-ca",))
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    acl = tmp_path / "acl"
    acl.write_text("pattern write fieldgate/%c/#\ntopic read #\n")
    acl.chmod(0o600)
    port = await stack.enter_async_context(mosquitto(tmp_path, f"acl_file {acl}", "max_packet_size 149504"))
    door = await stack.enter_async_context(TlsRelay(port, alpn="x-amzn-mqtt-ca").serving(tls))
    site.mqtt["url"] = f"mqtts://localhost:{door.port}"
    site.settings["uplinks"][site.name]["rate"] = "5000/s"  # the test need not last

    await carries_everything(site.gateway(), Upstream(port))

    assert set(door.subjects) == {"plant-7"}


async def test_aws_without_the_protocol_name_does_not_let_us_in(tmp_path, authority, stack):
    """The control: the door does look, and the status says what it can."""
    site = Site("aws-iot-core", tmp_path, authority)
    site.mqtt.update(own_certificate(authority, tmp_path).settings)
    del site.mqtt["alpn"]
    tls = server_context(authority, "localhost", alpn=("x-amzn-mqtt-ca",))
    port = await stack.enter_async_context(mosquitto(tmp_path))
    door = await stack.enter_async_context(TlsRelay(port, alpn="x-amzn-mqtt-ca").serving(tls))
    site.mqtt["url"] = f"mqtts://localhost:{door.port}"
    gateway = site.gateway()

    async with running(gateway):
        await eventually("it is turned away", lambda: "uplink.unreachable" in gateway.log_text())
        status = await fieldgate("status", config=gateway.config, env={**site.env})

    assert "NOT CONNECTED" in status.out
    assert f"localhost:{door.port} closed the connection instead of answering CONNECT" in status.out


@pytest.mark.parametrize("way", ["mqtts", "wss"])
async def test_azure_with_a_token_made_here(tmp_path, authority, stack, way):
    """The hub checks the signature, the user name, the version, the topic and the flags."""
    site = Site("azure-iot-hub", tmp_path, authority, device_key=KEY)
    tls = server_context(authority, "localhost")
    broker = await stack.enter_async_context(ScriptedBroker().serving(tls if way == "mqtts" else None))
    hub = Hub(broker, "localhost", "plant-7", KEY)
    if way == "mqtts":
        site.mqtt["url"] = f"mqtts://localhost:{broker.port}"
    else:
        server = WebSocketServer(broker.port, path="/$iothub/websocket")
        await stack.enter_async_context(server.serving(tls))
        site.mqtt["url"] = f"wss://localhost:{server.port}/$iothub/websocket?iothub-no-client-cert=true"
    gateway = site.gateway()
    publisher = Publisher(gateway.port, total=COUNT)

    async with running(gateway):
        publisher.start()
        await publisher.finished()
        status = await gateway.drained()
        publisher.close()

    events = [json.loads(publish.payload) for publish in broker.arrived]
    assert (hub.refusals, hub.violations) == ([], [])
    assert status["uplinks"]["azure"]["delivered"] >= COUNT
    assert {event["data"]["n"] for event in events if event["type"] == "fieldgate.generic"} == set(range(COUNT))
    assert KEY not in gateway.log_text()


async def test_azure_with_the_wrong_key_says_refused(tmp_path, authority, stack):
    """The control, and the words that a person sees."""
    site = Site("azure-iot-hub", tmp_path, authority, device_key="d3Jvbmcta2V5")
    broker = await stack.enter_async_context(ScriptedBroker().serving(server_context(authority, "localhost")))
    hub = Hub(broker, "localhost", "plant-7", KEY)
    site.mqtt["url"] = f"mqtts://localhost:{broker.port}"
    gateway = site.gateway()

    async with running(gateway):
        await eventually("it is refused", lambda: "uplink.refused" in gateway.log_text())
        status = await fieldgate("status", config=gateway.config, env={**site.env})

    assert set(hub.refusals) == {"wrong signature"}
    assert "REFUSED, a person must mend this; tried again" in status.out
    assert "the server does not authorise this client" in status.out


@pytest.mark.parametrize("name", ["hivemq-cloud", "emqx"])
@pytest.mark.parametrize("way", ["mqtts", "wss", "wss through a proxy"])
async def test_a_cloud_broker_with_a_password(tmp_path, authority, stack, name, way):
    """mosquitto in its place, with TLS and a password, directly or behind a WebSocket and the plant's proxy."""
    site = Site(name, tmp_path, authority, cloud_password="secret")
    tls = server_context(authority, "localhost")
    port = await stack.enter_async_context(mosquitto(tmp_path, *has_password(tmp_path)))
    if way == "mqtts":
        door = await stack.enter_async_context(TlsRelay(port).serving(tls))
        site.mqtt["url"] = f"mqtts://localhost:{door.port}"
    else:
        server = await stack.enter_async_context(WebSocketServer(port).serving(tls))
        site.mqtt["url"] = f"wss://localhost:{server.port}/mqtt"
        if "proxy" in way:
            proxy = await stack.enter_async_context(ConnectProxy(names={"localhost": "127.0.0.1"}).serving())
            site.mqtt["proxy"] = f"http://127.0.0.1:{proxy.port}"

    await carries_everything(site.gateway(), Upstream(port, login=("plant-7", "secret")))


async def test_thingsboard_with_a_token_as_user_name(tmp_path, authority, stack):
    """Its device topic takes JSON objects; the token is all that it asks for."""
    site = Site("thingsboard", tmp_path, authority, thingsboard_token="A1-TOKEN")
    site.settings["uplinks"][site.name]["rate"] = "5000/s"  # the test need not last
    broker = await stack.enter_async_context(ScriptedBroker().serving(server_context(authority, "localhost")))

    def let_in(peer: Peer) -> None:
        assert peer.connect is not None
        is_known = peer.connect.username == "A1-TOKEN" and not peer.connect.password
        peer.send(ConnAck(0 if is_known else 0x87))

    refused: list[str] = []

    def take(peer: Peer, publish: Publish) -> None:
        good = publish.topic == "v1/devices/me/telemetry" and isinstance(json.loads(publish.payload), dict)
        if not good:
            refused.append(publish.topic)
        peer.ack(publish, 0 if good else 0x99)

    broker.on_connect, broker.on_publish = let_in, take
    site.mqtt["url"] = f"mqtts://localhost:{broker.port}"
    gateway = site.gateway()
    publisher = Publisher(gateway.port, total=COUNT)

    async with running(gateway):
        publisher.start()
        await publisher.finished()
        await gateway.drained()
        publisher.close()

    assert refused == []
    assert [json.loads(publish.payload)["n"] for publish in broker.arrived] == list(range(COUNT))


def indented(template: Path) -> list[list[str]]:
    """The blocks of lines that a comment offers for other files."""
    text = template.read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^#      .*\n)+", text, re.MULTILINE)
    return [[line.removeprefix("#      ") for line in block.splitlines()] for block in blocks]


async def test_mosquitto_with_certificates_on_both_sides(tmp_path, authority, stack):
    """The very lines that the template gives for the server's side, in a real mosquitto."""
    site = Site("mosquitto", tmp_path, authority)
    site.mqtt.update(own_certificate(authority, tmp_path).settings)
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    conf, acl = ("\n".join(lines) for lines in indented(FOLDER / "mosquitto.yaml"))
    assert (conf.count("/etc/mosquitto/"), acl) == (4, "pattern write fieldgate/%u/#")
    (tmp_path / "acl").write_text(f"topic read #\n{acl}\n")
    for secret in ("acl", "server.key"):
        (tmp_path / secret).chmod(0o600)
    inside = free_port()
    lines = (
        *conf.replace("/etc/mosquitto/", f"{tmp_path}/").removeprefix("listener 8883\n").splitlines(),
        f"persistence_location {tmp_path}/",
        f"listener {inside} 127.0.0.1",  # where what arrived is read
    )
    port = await stack.enter_async_context(mosquitto(tmp_path, *lines))
    await eventually("the second listener is there", lambda: listens(inside))
    site.mqtt["url"] = f"mqtts://localhost:{port}"

    await carries_everything(site.gateway(), Upstream(inside))
