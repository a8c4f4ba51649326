"""TLS in front of the listener: who gets through, as whom, within which limits, and with which certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from access_kit import users_text, write_private
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest import server_certificate
from fieldgate.ingest.listen_sockets import ListenError
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import ConnAck, Connect, Disconnect, PubAck, Reason
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, on_both_loops, serving
from tls_kit import Authority

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> dict[str, Path]:
    return authority.write_server(tmp_path)


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_certificate, "_LOOK_EVERY_S", 0.0)


async def connect(
    port: int, context: ssl.SSLContext, *, username: str | None = None, password: str = "", client_id: str = "c"
) -> tuple[int, RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    client = RawClient(reader, writer, 5)
    packet = Connect(client_id, 5)
    packet.username, packet.password = username, password.encode()
    client.writer.write(encode(packet, 5))
    answer = await client.receive()
    assert isinstance(answer, ConnAck), answer
    return answer.reason, client


@on_both_loops
async def test_a_client_talks_mqtt_inside_of_tls(authority: Authority, server: dict[str, Path]) -> None:
    """Both ways, more than a TLS record at once, and the goodbye arrives."""
    async with serving(SettlingIntake(), tls=server) as listener:
        code, client = await connect(listener.port, authority.client_context())
        client.publish(1, b"x" * 200_000)
        assert (code, await client.receive()) == (0, PubAck(1))

        await listener.close_clients()

        goodbye = await client.receive()
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == Reason.SERVER_SHUTTING_DOWN
        assert await client.is_closed()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_nothing_older_than_tls_1_2_is_spoken(
    authority: Authority, server: dict[str, Path], version: ssl.TLSVersion
) -> None:
    """ETSI EN 303 645 5.5."""
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(SettlingIntake(), tls=server) as listener:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(listener.port, context)

        await eventually("it is counted", lambda: listener.ended["tls_failed"] == 1)


@on_both_loops
async def test_a_client_certificate_says_who_the_client_is(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """Without a password; what the CONNECT says of a user means nothing."""
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem")}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        context = authority.client_context(authority.write_client(tmp_path, "pump-7"))

        code, _ = await connect(listener.port, context, username="root", password="x")

        (connection,) = [one for one in listener.connections if one.inbox is not None]
        assert code == 0
        assert connection.session is not None
        assert connection.session.user == "pump-7"


@pytest.mark.parametrize(("user_from", "user"), [("san-email", "pump-7@example.com"), ("cn", "pump-7")])
async def test_the_user_is_the_name_that_was_asked_for(
    authority: Authority, server: dict[str, Path], tmp_path: Path, user_from: str, user: str
) -> None:
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "user_from": user_from}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        context = authority.client_context(authority.write_client(tmp_path, "pump-7"))

        assert (await connect(listener.port, context))[0] == 0
        assert [one.door.user for one in listener.connections if one.door is not None] == [user]


async def test_a_certificate_without_the_name_that_was_asked_for_is_not_enough(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """It must not come in as nobody."""
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "user_from": "san-uri"}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        context = authority.client_context(authority.write_client(tmp_path, "pump-7"))

        assert (await connect(listener.port, context))[0] == Reason.NOT_AUTHORIZED


@pytest.mark.parametrize("name", ["", "pump-7"])
async def test_in_the_network_only_a_name_comes_in_by_certificate_alone(
    authority: Authority, server: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """Without an `auth` section: no certificate, or one that names nobody, is not a way in as nobody."""
    client_ca = authority.write_ca(tmp_path / "ca.pem")
    tls = server | {"client_ca": client_ca, "require_client_certificate": False}
    async with serving(SettlingIntake(), mqtt="0.0.0.0:0", tls=tls) as listener:
        context = authority.client_context(authority.write_client(tmp_path, name))

        assert (await connect(listener.port, context))[0] == (0 if name else Reason.NOT_AUTHORIZED)
        assert (await connect(listener.port, authority.client_context()))[0] == Reason.NOT_AUTHORIZED


async def test_key_and_certificate_may_be_in_one_file(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """As many tools write them; the file is then as private as a key."""
    both = write_private(tmp_path / "both.pem", server["key"].read_text() + server["certificate"].read_text())
    async with serving(SettlingIntake(), tls={"certificate": both}) as listener:
        assert (await connect(listener.port, authority.client_context()))[0] == 0


def _none(_authority: Authority, _folder: Path) -> None:
    return None


def _foreign(_authority: Authority, folder: Path) -> tuple[Path, Path]:
    return Authority().write_client(folder, "pump-7")


def _expired(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.write_client(folder, "pump-7", not_before=NOW - timedelta(2), not_after=NOW - timedelta(1))


@pytest.mark.parametrize("of", [_none, _foreign, _expired], ids=["none", "of another authority", "expired"])
async def test_a_client_without_a_good_certificate_does_not_get_in(
    authority: Authority,
    server: dict[str, Path],
    tmp_path: Path,
    of: Callable[[Authority, Path], tuple[Path, Path] | None],
) -> None:
    """The handshake ends it, before MQTT."""
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem")}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await connect(listener.port, authority.client_context(of(authority, tmp_path)))

        await eventually("it is counted", lambda: listener.ended["tls_failed"] == 1)


async def test_a_revoked_certificate_does_not_come_in_any_more(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """A stolen device: its certificate is put on the list, and the gateway takes notice without a restart."""
    stolen, kept = authority.write_client(tmp_path, "stolen"), authority.write_client(tmp_path, "kept")
    crl = authority.write_crl(tmp_path / "crl.pem")
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "crl": crl}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        assert (await connect(listener.port, authority.client_context(stolen)))[0] == 0
        before = listener.certificate.current  # type: ignore[union-attr]

        authority.write_crl(crl, stolen[0])
        await eventually("it was read", lambda: listener.certificate.current is not before)  # type: ignore[union-attr]

        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await connect(listener.port, authority.client_context(stolen))
        assert (await connect(listener.port, authority.client_context(kept), client_id="kept"))[0] == 0


async def test_an_outdated_list_of_revoked_certificates_lets_nobody_in(
    authority: Authority, server: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows who was revoked since; the log says what it is about."""
    crl = authority.write_crl(tmp_path / "crl.pem", until=NOW - timedelta(1))
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "crl": crl}
    async with serving(SettlingIntake(), tls=tls, auth={}) as listener:
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await connect(listener.port, authority.client_context(authority.write_client(tmp_path, "pump-7")))
        await eventually("it is counted", lambda: listener.ended["tls_failed"] == 1)
    assert "CRL has expired" in capsys.readouterr().out


async def test_where_a_certificate_is_not_required_a_password_does(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """A plant moves from passwords to certificates device by device."""
    users = write_private(tmp_path / "users", users_text(amy="apple"))
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "require_client_certificate": False}
    async with serving(SettlingIntake(), tls=tls, auth={"users": users}) as listener:
        plain = authority.client_context()
        with_certificate = authority.client_context(authority.write_client(tmp_path, "pump-7"))

        assert (await connect(listener.port, plain, username="amy", password="apple"))[0] == 0
        assert (await connect(listener.port, plain))[0] == Reason.NOT_AUTHORIZED
        assert (await connect(listener.port, with_certificate, client_id="d"))[0] == 0


async def test_with_user_from_none_a_certificate_only_opens_the_door(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    users = write_private(tmp_path / "users", users_text(amy="apple"))
    tls = server | {"client_ca": authority.write_ca(tmp_path / "ca.pem"), "user_from": "none"}
    async with serving(SettlingIntake(), tls=tls, auth={"users": users}) as listener:
        context = authority.client_context(authority.write_client(tmp_path, "pump-7"))

        assert (await connect(listener.port, context))[0] == Reason.NOT_AUTHORIZED
        assert (await connect(listener.port, context, username="amy", password="apple"))[0] == 0


@on_both_loops
async def test_a_handshake_that_stands_still_ends_at_the_connect_deadline(server: dict[str, Path]) -> None:
    """Silent, half of a ClientHello, and a handshake without a CONNECT: one deadline for all of it."""
    async with serving(SettlingIntake(), tls=server, connect_timeout=0.5) as listener:
        silent = await RawClient.open(listener.port)
        half = await RawClient.open(listener.port)
        half.writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert listener.crowd.strangers <= 2

        assert await silent.is_closed()
        assert await half.is_closed()
        await eventually("each is counted", lambda: listener.ended == {"connect_timeout": 2})


async def test_a_handshake_without_a_connect_ends_at_the_same_deadline(
    authority: Authority, server: dict[str, Path]
) -> None:
    async with serving(SettlingIntake(), tls=server, connect_timeout=0.5) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=authority.client_context())
        client = RawClient(reader, writer, 5)

        assert await client.is_closed()
        await eventually("it is counted", lambda: listener.ended == {"connect_timeout": 1})


async def test_plain_mqtt_on_a_tls_port_is_told_in_words(
    server: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first mistake that everybody makes."""
    async with serving(SettlingIntake(), tls=server) as listener:
        client = await RawClient.open(listener.port)
        client.write(Connect("c", 4))

        assert await client.is_closed()
        await eventually("it is counted", lambda: listener.ended["tls_failed"] == 1)
    assert "what the client sent is not TLS" in capsys.readouterr().out


async def test_a_renewed_certificate_is_used_for_new_connections(
    authority: Authority, server: dict[str, Path], tmp_path: Path
) -> None:
    """FAULTS 48: by hand or by a timer, without a restart; who is connected stays."""
    async with serving(SettlingIntake(), tls=server) as listener:
        context = authority.client_context()
        _, old = await connect(listener.port, context)
        before = _serial(old)

        authority.write_server(tmp_path)
        context_in_force = listener.certificate.current  # type: ignore[union-attr]
        await eventually("it was read", lambda: listener.certificate.current is not context_in_force)  # type: ignore[union-attr]

        _, new = await connect(listener.port, context, client_id="new")
        assert _serial(new) != before
        old.publish(1)
        assert await old.receive() == PubAck(1)


def _serial(client: RawClient) -> object:
    return client.writer.get_extra_info("peercert")["serialNumber"]


async def test_a_renewed_certificate_that_cannot_be_used_leaves_the_old_one(
    authority: Authority, server: dict[str, Path]
) -> None:
    """Half a file, or a key for everybody to read: devices must not notice; a person must."""
    async with serving(SettlingIntake(), tls=server) as listener:
        assert listener.certificate is not None
        server["key"].chmod(0o644)
        await eventually("it was noticed", lambda: listener.certificate.problem)  # type: ignore[union-attr]

        assert "is open to everyone (mode 0644)" in listener.certificate.warning
        assert (await connect(listener.port, authority.client_context()))[0] == 0

        server["key"].chmod(0o600)
        await eventually("it is mended", lambda: not listener.certificate.problem)  # type: ignore[union-attr]


@pytest.mark.parametrize(("days", "words"), [(-1, "has expired on"), (5, "in 4 days"), (90, "")])
async def test_the_end_of_the_own_certificate_is_told(
    authority: Authority, tmp_path: Path, days: int, words: str
) -> None:
    """An expired one is a plant standing still on a Sunday."""
    tls = authority.write_server(tmp_path, not_before=NOW - timedelta(9), not_after=NOW + timedelta(days))
    async with serving(SettlingIntake(), tls=tls) as listener:
        assert listener.certificate is not None
        assert words in listener.certificate.warning
        assert bool(words) is bool(listener.certificate.warning)


def _unreadable(files: dict[str, Path]) -> None:
    files["key"].unlink()


def _open_to_all(files: dict[str, Path]) -> None:
    files["key"].chmod(0o604)


def _other_key(files: dict[str, Path]) -> None:
    elsewhere = files["key"].parent / "other"
    elsewhere.mkdir()
    files["key"].write_bytes(Authority().write_server(elsewhere)["key"].read_bytes())


def _no_certificate(files: dict[str, Path]) -> None:
    files["certificate"].write_text("hello", encoding="utf-8")


def _cut_off(files: dict[str, Path]) -> None:
    text = files["key"].read_text(encoding="utf-8")
    files["key"].write_text(text[: len(text) // 2], encoding="utf-8")


def _encrypted(files: dict[str, Path]) -> None:
    key = load_pem_private_key(files["key"].read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    files["key"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


def _no_list(files: dict[str, Path]) -> None:
    files["client_ca"] = Authority().write_ca(files["key"].with_name("ca.pem"))
    files["crl"] = files["client_ca"]


BAD_FILES = {
    "key: '{key}' cannot be read: no such file or directory": _unreadable,
    "key: '{key}' is open to everyone (mode 0604); allowed: 0600, 0640": _open_to_all,
    "key: '{key}' is not the key of the certificate '{certificate}'": _other_key,
    "certificate: '{certificate}' holds no certificate that can be read": _no_certificate,
    "key: '{key}' holds no whole private key in PEM form": _cut_off,
    "key: the key has a passphrase, which nobody can type here; write it without: openssl pkey -in KEY": _encrypted,
    "crl: '{crl}' holds no list of revoked certificates in PEM": _no_list,
}


@pytest.mark.parametrize(("message", "spoil"), BAD_FILES.items(), ids=[one.__name__ for one in BAD_FILES.values()])
async def test_a_listener_whose_tls_files_cannot_be_used_does_not_listen(
    server: dict[str, Path], message: str, spoil: Callable[[dict[str, Path]], None]
) -> None:
    """It is tried again by the supervisor until a person has mended it."""
    spoil(server)
    listener = MqttListener(ListenConfig.model_validate({"tls": server}), SettlingIntake(), LocalBroker())

    with pytest.raises(ListenError) as caught:
        await listener.run()

    assert str(caught.value) == "127.0.0.1:1883: " + message.format(**server)
