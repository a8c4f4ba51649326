"""``fieldgate check`` looks into the files that listeners name, and warns of what the network could hear."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from access_kit import users_text, write_private
from command_kit import fieldgate
from tls_kit import Authority

UPLINK = "uplinks: {up: {mqtt: {url: mqtts://b.example}}}\n"


def write(folder: Path, listen: str) -> Path:
    path = folder / "fieldgate.yaml"
    path.write_text(f"listen:\n  - {listen}\n{UPLINK}journal: {{path: state, max_size: 64MB}}\n", encoding="utf-8")
    return path


async def test_a_listener_that_is_well_set_up_is_ok(tmp_path: Path) -> None:
    write_private(tmp_path / "users", users_text(amy="x"))
    (tmp_path / "acl.yaml").write_text("users: {amy: [{allow: all, topic: '#'}]}", encoding="utf-8")
    Authority().write_server(tmp_path)
    tls = "tls: {certificate: server.pem, key: server.key}"
    config = write(tmp_path, f"{{mqtt: 0.0.0.0:8883, {tls}, auth: {{users: users, acl: acl.yaml}}}}")

    ended = await fieldgate("check", config=config)

    assert (ended.code, ended.out) == (0, f"{config}: ok\n")


async def test_every_mistake_in_every_file_is_told_where_it_stands(tmp_path: Path) -> None:
    """A listener that starts and lets nobody in is found before the devices find it."""
    (tmp_path / "users").write_text("amy\n", encoding="utf-8")
    (tmp_path / "acl.yaml").write_text("users: x\n", encoding="utf-8")
    config = write(tmp_path, "{tls: {certificate: server.pem}, auth: {users: users, acl: acl.yaml}}")

    ended = await fieldgate("check", config=config)
    as_json = await fieldgate("check", "--json", config=config)

    assert ended.code == as_json.code == 1
    assert ended.out.splitlines() == [
        f"{tmp_path}/acl.yaml:1:8: users: this is not a mapping; write lines of 'name:' with a list of rules below",
        f"{config}:2:25: certificate: '{tmp_path}/server.pem' cannot be read: no such file or directory",
        f"{tmp_path}/users:1:1: this line has no ':'; write NAME:HASH, or '#' for a remark",
        "3 problems found",
    ]
    facts = json.loads(as_json.out)
    assert facts["ok"] is False
    assert [(one["path"], one["line"], one["column"]) for one in facts["errors"]] == [
        (f"{tmp_path}/acl.yaml", 1, 8), (str(config), 2, 25), (f"{tmp_path}/users", 1, 1),
    ]  # fmt: skip


async def test_files_that_are_missing_are_told_where_they_are_named(tmp_path: Path) -> None:
    config = write(tmp_path, "{auth: {users: users, acl: acl.yaml}}")

    ended = await fieldgate("check", config=config)

    assert ended.out.splitlines() == [
        f"{config}:2:20: users: '{tmp_path}/users' cannot be read (no such file or directory): nobody can come in",
        f"{config}:2:32: acl: '{tmp_path}/acl.yaml' cannot be read (no such file or directory): nobody can come in",
        "2 problems found",
    ]


async def test_all_files_that_are_missing_are_told_at_once(tmp_path: Path) -> None:
    """Uplink and listener, TLS and access: whoever brings the files goes once."""
    config = tmp_path / "fieldgate.yaml"
    config.write_text(
        "listen:\n"
        "  - mqtt: 0.0.0.0:8883\n"
        "    tls: {certificate: server.pem, key: server.key, client_ca: clients.pem, crl: gone.crl}\n"
        "    auth: {users: users, acl: acl.yaml}\n"
        "uplinks:\n"
        "  up: {mqtt: {url: mqtts://b.example, ca: ca.pem, certificate: up.pem, key: up.key}}\n"
        "journal: {path: state, max_size: 64MB}\n",
        encoding="utf-8",
    )

    ended = await fieldgate("check", config=config)

    *lines, count = ended.out.splitlines()
    named = ["server.pem", "server.key", "clients.pem", "gone.crl", "users", "acl.yaml", "ca.pem", "up.pem", "up.key"]
    assert [next((name for name in named if f"/{name}'" in line), line) for line in lines] == named
    assert count == "9 problems found"


async def test_an_authority_that_is_none_is_told_beside_a_certificate_that_is_none(tmp_path: Path) -> None:
    """One fault of TLS does not hide the next."""
    Authority().write_server(tmp_path)
    (tmp_path / "garbage.pem").write_text("garbage\n", encoding="utf-8")
    config = write(tmp_path, "{tls: {certificate: garbage.pem, key: server.key, client_ca: garbage.pem}}")

    ended = await fieldgate("check", config=config)

    garbage = f"'{tmp_path}/garbage.pem'"
    assert ended.out.splitlines() == [
        f"{config}:2:25: certificate: {garbage} holds no certificate that can be read",
        f"{config}:2:66: client_ca: {garbage} holds no certificate in PEM",
        "2 problems found",
    ]


async def test_what_may_surprise_is_a_warning(tmp_path: Path) -> None:
    """A plain port in the network, hashes for everybody to read, rules for nobody, an end that is near."""
    now = datetime.now(UTC)
    tls = Authority().write_server(tmp_path, not_before=now - timedelta(9), not_after=now - timedelta(1))
    write_private(tmp_path / "users", users_text(amy="x")).chmod(0o644)
    (tmp_path / "acl.yaml").write_text("users: {any: [{allow: all, topic: '#'}]}", encoding="utf-8")
    config = write(
        tmp_path,
        "{mqtt: 0.0.0.0:1883, auth: {users: users, acl: acl.yaml}}\n"
        f"  - {{mqtt: 127.0.0.1:8883, tls: {{certificate: {tls['certificate']}, key: {tls['key']}}}}}",
    )

    ended = await fieldgate("check", config=config)

    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"{tmp_path}/acl.yaml:1:15: warning: 'any' has rules and is not in the users file '{tmp_path}/users'",
        f"{config}:2:12: warning: mqtt: '0.0.0.0:1883' takes passwords and events unencrypted from the network; "
        "tls: {certificate: server.pem, key: server.key} encrypts",
        f"{config}:3:47: warning: certificate: the certificate has expired on {(now - timedelta(1)).date()}: "
        "clients that look at it do not connect",
        f"{tmp_path}/users:1:1: warning: the file holds password hashes and is open to everyone (mode 0644); "
        "0600 or 0640 is enough",
        f"{config}: ok",
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["0.0.0.0:1883", "'[::]:1883'", "192.168.1.5:1883", "gateway.local:1883"])
async def test_an_open_door_to_the_network_is_refused_by_check_and_run(tmp_path: Path, address: str) -> None:
    """FAULTS 5.6: the gateway does not start with it."""
    config = write(tmp_path, f"{{mqtt: {address}}}")

    checked = await fieldgate("check", config=config)
    ran = await fieldgate("run", config=config)

    assert (checked.code, ran.code) == (1, 78)
    assert checked.out.startswith(f"{config}:2:12: mqtt: ")
    assert "can be reached from other machines, which needs authentication" in checked.out
    assert ran.err.startswith(f"{config}:2:12: mqtt: ")


async def test_the_user_of_a_token_may_have_rules_and_no_password(tmp_path: Path) -> None:
    """It is known by its token; only 'any' is a slip. And a token belongs into a file of its own."""
    write_private(tmp_path / "users", users_text(amy="apple"))
    write_private(
        tmp_path / "acl.yaml",
        "users:\n  roof: [{allow: publish, topic: http/roof}]\n  any: [{allow: publish, topic: a}]\n",
    )
    auth = "{users: users, acl: acl.yaml, tokens: {roof: 0123456789abcdef}}"
    config = write(tmp_path, f"{{http: 127.0.0.1:8080, auth: {auth}}}")

    ended = await fieldgate("check", config=config)

    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"{tmp_path}/acl.yaml:3:9: warning: 'any' has rules and is not in the users file '{tmp_path}/users'",
        f"{config}:2:79: warning: roof: a token stands in the file itself; "
        "write ${credential:NAME} or ${file:/PATH}",
        f"{config}: ok",
    ]
