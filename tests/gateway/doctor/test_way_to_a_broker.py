"""The way to a server, with real sockets: where it ends, and whether it is said what to do about that."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from doctor_kit import answering, bad, by_id, ids, walk_to, webhook_way
from fieldgate.doctor.tls_reasons import reason_of
from fieldgate.net import look_up
from fieldgate.net.connect_errors import Stage
from gateway_kit import free_port
from uplink_kit import ScriptedBroker
from way_kit import (
    DAY,
    NOW,
    VALIDITY,
    ConnectProxy,
    WebSocketServer,
    bad_server_context,
    blunt_server,
    own_certificate,
    quiet_loop,
    server_context,
)

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")


@pytest.fixture(autouse=True)
async def _quiet() -> None:
    quiet_loop()


# -- a good way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
async def test_a_way_on_which_all_is_well_has_no_bad_finding(scheme: str, authority: Any, ca: Path) -> None:
    """The control of every test below."""
    tls = server_context(authority, "localhost") if scheme in ("mqtts", "wss") else None
    async with (
        ScriptedBroker().serving(tls if scheme == "mqtts" else None) as broker,
        WebSocketServer(broker.port).serving(tls if scheme == "wss" else None) as server,
    ):
        port = server.port if scheme in ("ws", "wss") else broker.port
        mqtt = {"url": f"{scheme}://localhost:{port}", **({"ca": str(ca)} if tls else {})}
        found = await walk_to(mqtt, wants_retain=True, largest_bytes=262_144)

    with_tls = ["uplink.tls"] if tls else []
    assert ids(found) == ["uplink.name_found", "uplink.route", *with_tls, "uplink.accepts"]
    assert by_id(found, "uplink.accepts").figures["mqtt"] == "5"
    if tls:
        figures = by_id(found, "uplink.tls").figures
        assert figures["names"] == ["localhost"]
        assert figures["days_left"] > 14


async def test_what_was_asked_disturbs_no_session_and_leaves_nothing(authority: Any) -> None:
    """A doctor that takes over the running gateway's session is worse than none."""
    async with ScriptedBroker().serving() as broker:
        mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}", "client_id": "plant-7", "username": "u"}
        await walk_to(mqtt)
        (peer,) = broker.peers

    connect = peer.connect
    assert connect.client_id.startswith("fieldgate-doc-")
    assert len(connect.client_id) <= 23  # [MQTT-3.1.3-5]
    assert connect.clean_start
    assert connect.will is None
    assert (connect.properties.session_expiry_s or 0) == 0
    assert connect.username == "u"
    assert broker.arrived == []


# -- the ways in which it ends ----------------------------------------------------------------------------------


async def test_a_name_that_is_not_found_is_said() -> None:
    """RFC 6761: there is never a name under .invalid."""
    found = await walk_to({"url": "mqtt://broker.invalid"})

    assert ids(found) == ["uplink.name_not_found"]
    assert "broker.invalid" in found[0].seen
    assert "resolv.conf" in found[0].do


async def test_a_name_server_that_is_silent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver hangs for as long as it likes."""
    release = threading.Event()

    def hang(*_arguments: Any, **_named: Any) -> Any:
        release.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(look_up.socket, "getaddrinfo", hang)
    try:
        found = await walk_to({"url": "mqtt://broker.example", "connect_timeout": "100ms"})
    finally:
        release.set()

    assert ids(found) == ["uplink.name_server_silent"]


async def test_nothing_that_listens_is_said() -> None:
    found = await walk_to({"url": f"mqtt://127.0.0.1:{free_port()}"})

    assert ids(found) == ["uplink.route", "uplink.nothing_listens"]


async def test_something_that_speaks_no_mqtt_is_said() -> None:
    """A web server on the port, or a broker that is none."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with answering(speak) as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}"})

    assert bad(found) == ["uplink.no_answer"]


async def test_a_port_that_hangs_up_is_tried_in_both_versions_and_said() -> None:
    """An old broker hangs up on a version that it does not know."""
    visits = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await reader.read(1)

    async with answering(speak) as port:
        found = await walk_to({"url": f"mqtt://127.0.0.1:{port}"})

    assert bad(found) == ["uplink.no_answer"]
    assert visits == 3


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("expired", "uplink.certificate_expired"),
        ("not yet valid", "uplink.certificate_not_yet_valid"),
        ("wrong host", "uplink.certificate_wrong_host"),
        ("unknown authority", "uplink.certificate_unknown_authority"),
    ],
)
async def test_why_a_certificate_is_refused_is_said_by_kind(fault: str, finding: str, authority: Any, ca: Path) -> None:
    """Each has another remedy, and another person who must act."""
    tls = bad_server_context(fault, authority)

    async with ScriptedBroker().serving(tls) as broker:
        found = await walk_to({"url": f"mqtts://localhost:{broker.port}", "ca": str(ca)})

    assert bad(found) == [finding]
    assert not broker.arrived
    name = "other.example" if fault == "wrong host" else "localhost"
    assert f"; it is for {name}, valid from " in found[-1].seen
    if fault in VALIDITY:
        first, last = VALIDITY[fault]["not_before"], VALIDITY[fault]["not_after"]
        assert f"valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}" in found[-1].seen


async def test_a_certificate_of_the_future_points_at_a_clock_that_is_not_set(authority: Any, ca: Path) -> None:
    """Row 48 of the fault catalogue: it is the machine that is wrong, not the server."""
    tls = server_context(authority, "localhost", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    async with ScriptedBroker().serving(tls) as broker:
        mqtt = {"url": f"mqtts://localhost:{broker.port}", "ca": str(ca)}
        unset, is_set = await walk_to(mqtt, is_clock_set=False), await walk_to(mqtt)

    assert "set this machine's clock first" in unset[-1].do
    assert "set this machine's clock first" not in is_set[-1].do


async def test_a_certificate_that_ends_soon_is_a_warning(authority: Any, ca: Path) -> None:
    tls = server_context(authority, "localhost", not_before=NOW - DAY, not_after=NOW + 3 * DAY)
    async with ScriptedBroker().serving(tls) as broker:
        found = await walk_to({"url": f"mqtts://localhost:{broker.port}", "ca": str(ca)})

    assert bad(found) == ["uplink.certificate_ends_soon"]
    assert by_id(found, "uplink.certificate_ends_soon").figures["days_left"] in (2, 3)


async def test_tls_that_is_too_old_is_said(authority: Any, ca: Path) -> None:
    tls = server_context(authority, "localhost")
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with blunt_server(tls) as port:
        found = await walk_to({"url": f"mqtts://localhost:{port}", "ca": str(ca)})

    assert bad(found) == ["uplink.tls_too_old"]


async def test_a_plain_port_behind_mqtts_is_said(ca: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x20\x02\x00\x05" + b"no TLS here" * 3)
        await reader.read()

    async with answering(speak) as port:
        found = await walk_to({"url": f"mqtts://localhost:{port}", "ca": str(ca)})

    assert bad(found) == ["uplink.no_tls"]


@pytest.mark.parametrize("fault", ["none", "stranger"])
async def test_a_server_that_refuses_our_certificate_is_said(
    fault: str, authority: Any, ca: Path, tmp_path: Path
) -> None:
    """In TLS 1.3 that comes after the handshake, where a broker's answer is waited for."""
    tls = server_context(authority, "localhost")
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    own = own_certificate(trustme.CA(), tmp_path).settings if fault == "stranger" else {}
    with blunt_server(tls) as port:
        found = await walk_to({"url": f"mqtts://localhost:{port}", "ca": str(ca), **own})

    assert bad(found) == ["uplink.own_certificate_refused"]


@pytest.mark.parametrize(
    ("days", "finding"), [(-1, "uplink.own_certificate_expired"), (3, "uplink.own_certificate_ends_soon")]
)
async def test_our_own_certificate_at_its_end_is_said(
    days: int, finding: str, authority: Any, ca: Path, tmp_path: Path
) -> None:
    """A server need not check it today to check it tomorrow."""
    own = own_certificate(authority, tmp_path, not_before=NOW - 9 * DAY, not_after=NOW + days * DAY)
    async with ScriptedBroker().serving(server_context(authority, "localhost")) as broker:
        found = await walk_to({"url": f"mqtts://localhost:{broker.port}", "ca": str(ca), **own.settings})

    assert bad(found) == [finding]
    assert "uplink.accepts" in ids(found)


async def test_a_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("no certificate\n")
    found = await walk_to({"url": "mqtts://127.0.0.1:1", "ca": str(ca)})

    assert bad(found) == ["uplink.unusable"]
    assert str(ca) in found[-1].seen


async def test_a_proxy_that_says_no_is_said() -> None:
    async with ScriptedBroker().serving() as broker, ConnectProxy(answer=b"HTTP/1.1 403 No\r\n\r\n").serving() as proxy:
        mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}", "proxy": f"http://127.0.0.1:{proxy.port}"}
        found = await walk_to(mqtt)

    assert bad(found) == ["uplink.proxy_failed"]


async def test_a_web_server_without_mqtt_is_said() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with answering(speak) as port:
        found = await walk_to({"url": f"ws://127.0.0.1:{port}/mqtt"})

    assert bad(found) == ["uplink.websocket_failed"]
    assert "/mqtt" in found[-1].do


@pytest.mark.parametrize(
    ("error", "stage", "reason"),
    [
        (OSError(errno.ENETUNREACH, "x"), Stage.TCP, "uplink.no_route"),
        (OSError(errno.EHOSTUNREACH, "x"), Stage.TCP, "uplink.no_route"),
        (TimeoutError(), Stage.TCP, "uplink.unreachable"),
        (ConnectionResetError(), Stage.TLS, "uplink.tls_failed"),
    ],
)
def test_what_no_loopback_can_do_is_told_apart_too(error: OSError, stage: Stage, reason: str) -> None:
    """A cut cable and a firewall; with real ones as root: ``test_real_faults.py``."""
    assert f"uplink.{reason_of(error, stage)}" == reason


def test_a_certificate_with_another_fault_is_unverified() -> None:
    """A purpose that does not fit (26), say."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code = 26

    assert f"uplink.{reason_of(error, Stage.TLS)}" == "uplink.certificate_unverified"


# -- what is not done -------------------------------------------------------------------------------------------


async def test_a_webhook_is_connected_to_and_asked_nothing() -> None:
    """Whatever is sent to one may wake somebody up."""
    heard: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    async with answering(speak) as port:
        found = await webhook_way({"url": f"http://127.0.0.1:{port}/hook"})

    assert ids(found) == ["uplink.route", "uplink.connects"]
    assert heard == [b""]


async def test_a_log_in_whose_password_cannot_be_read_here_is_not_tried() -> None:
    """It would be refused, and a broker that locks out after some failures would lock out the gateway."""
    async with ScriptedBroker().serving() as broker:
        mqtt = {"url": f"mqtt://127.0.0.1:{broker.port}"}
        found, nothing = await walk_to(mqtt, left_out=["password"]), await walk_to(mqtt, left_out=["ca"])

    assert ids(found) == ["uplink.route", "uplink.log_in_not_tried"]
    assert "CREDENTIALS_DIRECTORY=/run/credentials/fieldgate.service" in found[-1].do
    assert ids(nothing) == ["uplink.not_gone"]
