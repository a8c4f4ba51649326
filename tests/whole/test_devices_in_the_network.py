"""A gateway for the network, set up as deploy/README.md says, asked and guarded as a person would; and its status."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from access_kit import knock, users_text, write_private
from command_kit import fieldgate, gateway, shell
from fieldgate.control import ask, socket_path
from gateway_kit import eventually, free_port
from listener_kit import RawClient
from tls_kit import Authority

PAGE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Devices in the network")[1].split("\n## ")[0]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.skipif(
    shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed (package mosquitto-clients)"
)
async def test_what_the_page_says_works_as_it_is_written(tmp_path: Path) -> None:
    """Certificates, a user, an ACL, a device with a password and one with a certificate."""
    ports = {"8883": str(free_port()), "8884": str(free_port())}

    def own(text: str) -> str:
        text = re.sub(r"\b8883\b|\b8884\b", lambda match: ports[match[0]], text)
        return text.replace("-h gateway.local", "-h localhost")

    certificates, users, publish, with_certificate = (
        own(text) for text in re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    )
    (config,) = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    (tmp_path / "fieldgate.yaml").write_text(own(config), encoding="utf-8")

    await shell(certificates, tmp_path)
    shown = await shell(users, tmp_path)
    async with gateway(tmp_path / "fieldgate.yaml") as log:
        await shell(publish, tmp_path)
        await shell(with_certificate, tmp_path)
        status = await fieldgate("status", config=tmp_path / "fieldgate.yaml")

    assert "publish     allow" in shown
    assert "fieldgate.yaml: ok" in shown
    assert "2 accepted" in status.out
    assert "tcp with TLS" in status.out
    text = log.read_text(encoding="utf-8")
    assert "user=boiler-1" in text
    assert "user=pump-7" in text
    assert (tmp_path / "boiler-1.password").read_text(encoding="utf-8").strip() not in text


async def test_status_shows_who_was_kept_out_and_what_needs_a_person(tmp_path: Path) -> None:
    """In words and in JSON: limits, refusals, denials, a broken file, a certificate that ends, strangers."""
    now = datetime.now(UTC)
    Authority().write_server(tmp_path, not_before=now - timedelta(9), not_after=now + timedelta(3))
    write_private(tmp_path / "users", users_text(amy="apple"))
    (tmp_path / "acl.yaml").write_text('users: {amy: [{allow: all, topic: "own/#"}]}', encoding="utf-8")
    ports = [free_port(), free_port()]
    config = tmp_path / "fieldgate.yaml"
    config.write_text(
        f"""\
gateway: {{id: g}}
listen:
  - {{mqtt: "127.0.0.1:{ports[0]}", max_clients: 1, auth: {{users: users, acl: acl.yaml}}}}
  - {{mqtt: "127.0.0.1:{ports[1]}", transport: websocket, connect_timeout: 60s, tls: {{certificate: server.pem,
      key: server.key}}}}
journal: {{path: state}}
""",
        encoding="utf-8",
    )
    async with gateway(config) as log:
        assert (await knock(ports[0], "amy", "pear"))[0] == 0x86
        code, amy = await knock(ports[0], "amy", "apple")
        assert code == 0
        amy.publish(1, topic="other")
        assert (await amy.receive()).reason == 0x87  # type: ignore[union-attr]
        assert (await knock(ports[0], "amy", "apple", client_id="two"))[0] == 0x97
        (tmp_path / "acl.yaml").write_text("users: x", encoding="utf-8")
        for _ in range(12):
            await RawClient.open(ports[1])

        async def noticed() -> dict[str, object] | None:
            status = await ask(socket_path(tmp_path / "state"), {"do": "status"})
            first, second = status["listeners"]
            is_all = first["access_problems"] and len(first["ended"]) == 2 and second["connecting"] == 12
            return status if is_all else None

        status = await eventually("it is noticed", noticed)
        shown = (await fieldgate("status", config=config)).out
        await RawClient.close_all()

    first, second = status["listeners"]
    assert (first["clients"], first["users"], first["transport"]) == (1, 1, "tcp")
    assert first["publishes_refused"] == {"not_authorized": 1}
    assert first["refused"] == {"max_clients": 1}
    assert first["ended"] == {"bad_login": 1, "max_clients": 1}
    assert second["certificate"]["days_left"] == 2
    assert second["transport"] == "websocket with TLS"
    assert f"LETS NOBODY NEW IN: {tmp_path}/acl.yaml:1:8: users: this is not a mapping" in shown
    assert "publishes refused: not authorized 1" in shown
    assert "turned away: max clients 1" in shown
    assert "bad login 1" in shown
    assert "CERTIFICATE: the certificate expires on " in shown
    assert "12 connections not let in yet" in shown
    text = log.read_text(encoding="utf-8")
    assert "access.broken" in text
    assert "certificate.needs_care" in text
    assert "pear" not in text
    assert "apple" not in text
