"""``fieldgate diag``: secrets are planted wherever one can stand, and none may come out."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import Result
from typer.testing import CliRunner

from access_kit import users_text, write_private
from fieldgate.cli.app import build_app
from fieldgate.doctor import bundle as bundle_module
from fieldgate.doctor import scrub
from fieldgate.doctor.bundle import Bundle, BundleError
from fieldgate.doctor.scrub import Scrubber
from fieldgate.doctor.sync_speed import SyncTimes
from way_kit import own_certificate

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

PLANTED = {
    "literal password": "Lit3ral'Pass\"word",
    "password file": "fr0m-a-f?le&x",
    "environment": "fr0m-the-envir0nment",
    "credential": "fr0m-a-credent1al",
    "sas key": b64encode(b"fr0m-the-shared-access").decode(),
    "header": "x-header-valu3-9",
    "proxy password": "pr0xy-pass-77",
    "bearer token of a device": "dev1ce-t0ken-0123456789",
    "metrics token": "metr1cs-t0ken-0123456789",
    "authorization of a webhook": "Bearer wh-auth-0123456789",
    "path of a webhook": "B00KPATHxyz123456",
    "query of a URL": "qu3ry-t0ken-55",
    "comment": "c0mment-secret-12",
    "rule": "rul3-webhook-secret",
    "profile": "pr0file-passw0rd",
    "log": "l0g-only-passw0rd",
    "number": "83726154",
}
CONFIG = """\
gateway: {id: plant-7}
# the old password was c0mment-secret-12
listen:
  - {http: 127.0.0.1:0, auth: {tokens: {weather: dev1ce-t0ken-0123456789}}}
  - {mqtt: 127.0.0.1:0, auth: {users: users}}
uplinks:
  one: {mqtt: {url: 'mqtts://b.example', username: amy, password: "Lit3ral'Pass\\"word",
               certificate: own.crt, key: own.key}}
  two: {mqtt: {url: 'mqtts://c.example', username: bob, password: '${file:pw}'}}
  three: {mqtt: {url: 'wss://d.example/mqtt?token=qu3ry-t0ken-55', password: '${env:FG_PLANTED}', username: eve,
                 headers: {X-Key: x-header-valu3-9}, proxy: {url: 'http://p.example:3128', username: u,
                 password: pr0xy-pass-77}}}
  four: {mqtt: {url: 'mqtts://e.example', password: '${credential:cloud}', username: joe}}
  five: {mqtt: {url: 'mqtts://f.example', sas: {key: SAS}}}
  six: {webhook: {url: 'https://hooks.example/T0/B00KPATHxyz123456', authorization: 'Bearer wh-auth-0123456789',
                  headers: {X-Number: '83726154'}}}
metrics: {listen: 127.0.0.1:0, auth: {token: metr1cs-t0ken-0123456789}}
rules: {path: rules.d}
devices: {path: devices.d}
journal: {path: state, max_size: 64MB}
""".replace("SAS", PLANTED["sas key"])


def fieldgate(*words: object) -> Result:
    return CliRunner().invoke(build_app(), list(map(str, words)))


def forms(secret: str) -> set[str]:
    """How a secret may look in what programs write."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
        b64encode(secret.encode()).decode().rstrip("="),
        b64encode(f"amy:{secret}".encode()).decode().rstrip("="),
    }


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A folder full of secrets; answers all of them, with those of the key file and the users file."""
    monkeypatch.chdir(tmp_path)
    times = SyncTimes(1, 1.0, 1.0, 1.0, 1.0)  # how fast this disk is, others measure
    monkeypatch.setattr("fieldgate.doctor.storage_facts.measure_syncs", lambda *_args, **_more: times)
    monkeypatch.setenv("FG_PLANTED", PLANTED["environment"])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    for name in ("credentials", "rules.d", "devices.d", "state"):
        (tmp_path / name).mkdir()
    write_private(tmp_path / "credentials/cloud", PLANTED["credential"])
    write_private(tmp_path / "pw", PLANTED["password file"] + "\n")
    users = users_text(amy="x")
    write_private(tmp_path / "users", users)
    own_certificate(trustme.CA(), tmp_path, name="own")
    (tmp_path / "fieldgate.yaml").write_text(CONFIG)
    (tmp_path / "rules.d/told.yaml").write_text(
        f"# {PLANTED['comment']}\nid: told\nauthorization: {PLANTED['rule']}\nurl: https://x.example/?a={PLANTED['rule']}\n"
    )
    (tmp_path / "devices.d/one.yaml").write_text(f"id: one\npassword: {PLANTED['profile']}\n")
    secrets = {**PLANTED, "users": users.strip().partition(":")[2]}
    secrets["key"] = (tmp_path / "own.key").read_text().splitlines()[3]
    lines = ["timestamp=2026-06-01T12:00:00Z level=info event=gateway.started version=1"]
    for name, secret in secrets.items():
        if name in ("log", "rule", "profile", "comment"):
            continue
        lines += [f'level=warning event=test problem="{form} is here"' for form in forms(secret)]
    lines.append(f"level=info event=x url=mqtt://u:{PLANTED['log']}@h password={PLANTED['log']}")
    lines.append(f"level=info event=x header='Authorization: Basic {b64encode(PLANTED['log'].encode()).decode()}'")
    lines.append((tmp_path / "own.key").read_text())
    lines.append("level=debug event=payload.seen payload=a-payload-at-debug")
    (tmp_path / "gateway.log").write_text("\n".join(lines) + "\n")
    return secrets


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        assert {os.path.dirname(one.name) for one in archive}  # noqa: PTH120 - of names, not paths
        return {
            one.name.partition("/")[2]: archive.extractfile(one).read().decode()  # type: ignore[union-attr]
            for one in archive.getmembers()
        }


def found_in(content: dict[str, str], secrets: dict[str, str]) -> dict[str, list[str]]:
    """Which secret stands where."""
    return {
        name: places
        for name, secret in secrets.items()
        if (places := [member for member, text in content.items() if any(form in text for form in forms(secret))])
    }


def diag(*words: str) -> dict[str, str]:
    ended = fieldgate("diag", "bundle.tar.gz", "--offline", "--log", "gateway.log", *words)
    assert ended.exit_code == 0, ended.output
    return members(Path("bundle.tar.gz"))


def test_no_planted_secret_comes_out(planted: dict[str, str]) -> None:
    content = diag()

    assert found_in(content, planted) == {}
    assert {"config.yaml", "config-effective.json", "doctor.json", "log.txt", "files.json", "manifest.json",
            "versions.json", "README.txt", "rules.d/told.yaml", "devices.d/one.yaml"} <= set(content)  # fmt: skip
    assert "event=gateway.started version=1" in content["log.txt"]
    assert "a-payload-at-debug" not in content["log.txt"]
    assert "${file:pw}" in content["config.yaml"]  # where a secret is, is none
    assert "mqtts://b.example" in content["config.yaml"]
    assert "id: told" in content["rules.d/told.yaml"]


def test_the_doctor_itself_shows_no_secret_either(planted: dict[str, str]) -> None:
    """Its output is pasted into tickets, and goes through no scrubber."""
    shown, as_json = fieldgate("doctor", "--offline"), fieldgate("doctor", "--offline", "--json")

    assert found_in({"text": shown.output, "json": as_json.output}, planted) == {}
    assert json.loads(as_json.output)["findings"]


def test_without_the_scrubber_the_planted_secrets_would_come_out(
    planted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: the test above sees what it looks for. Comments are never in it."""
    monkeypatch.setattr(Scrubber, "text", lambda _self, text: text)
    monkeypatch.setattr(Scrubber, "tree", lambda _self, value, **_more: value)

    assert set(planted) - set(found_in(diag(), planted)) == {"comment"}


def test_a_configuration_that_cannot_be_used_gives_nothing_away_either(planted: dict[str, str], tmp_path: Path) -> None:
    """Whoever asks for help often has such a one: what the model refuses is in no model."""
    broken = CONFIG.replace("mqtts://b.example", "mqtts://amy:Us3r-1nfo-pass@b.example").replace(
        "six:", "bogus: 1\n  six:"
    )
    (tmp_path / "fieldgate.yaml").write_text(broken)
    with (tmp_path / "gateway.log").open("a") as log:
        log.write("level=info event=x said Us3r-1nfo-pass\n")

    content = diag()

    assert found_in(content, {**planted, "user info": "Us3r-1nfo-pass"}) == {}
    assert "bogus" in content["config.yaml"]


def test_what_stands_on_the_line_of_a_secret_is_one_where_nobody_can_read_the_file(
    planted: dict[str, str], tmp_path: Path
) -> None:
    """An anchor before it, a mapping around it: a reader would know, a line does not say."""
    lines = "uplinks: [\n a: {password: &pw Anch0red-secret}\n b: {headers: {X-Api: Headed-secret}}\n"
    (tmp_path / "fieldgate.yaml").write_text(lines)
    with (tmp_path / "gateway.log").open("a") as log:
        log.write("level=info event=x said Anch0red-secret and Headed-secret\n")

    content = diag()

    assert "config.yaml" not in content
    assert not [name for name, text in content.items() if "Anch0red" in text or "Headed" in text]


def test_a_pipe_in_the_rules_folder_holds_nothing_up(planted: dict[str, str], tmp_path: Path) -> None:
    """Whoever edits rules may put one there; the person who makes a bundle would wait for ever."""
    os.mkfifo(tmp_path / "rules.d/pipe.yaml")

    content = diag()

    assert "no plain file" in json.loads(content["manifest.json"])["left_out"]["rules.d/pipe.yaml"]
    assert "rules.d/told.yaml" in content


def test_a_configuration_that_is_no_yaml_is_left_out_and_that_is_said(planted: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "fieldgate.yaml").write_text("uplinks: [password: " + PLANTED["literal password"])

    content = diag()

    assert "config.yaml" not in content
    assert "cannot be read as YAML" in json.loads(content["manifest.json"])["left_out"]["config.yaml"]
    assert "Lit3ral" not in str(content)


def test_the_bundle_is_private_whole_and_replaces_nothing_unasked(planted: dict[str, str], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        diag()
    finally:
        os.umask(before)
    path = tmp_path / "bundle.tar.gz"
    first = path.read_bytes()

    again = fieldgate("diag", "bundle.tar.gz", "--offline")
    forced = fieldgate("diag", "bundle.tar.gz", "--offline", "--force")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.exit_code == 1
    assert "is there already" in str(again.exception)
    assert forced.exit_code == 0
    assert path.read_bytes() != first
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one of the reasons for asking for help."""
    bundle = Bundle(Scrubber([]))
    bundle.add_text("a.txt", "x")
    real = os.fsync

    def full(fd: int) -> None:
        real(fd)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module.os, "fsync", full)

    with pytest.raises(BundleError, match="no space left on device"):
        bundle.write(tmp_path / "b.tar.gz", made_s=0, is_replaced=False, top="t")
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_bounded_and_what_is_cut_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes by mail. Of a log the end is kept."""
    monkeypatch.setattr(bundle_module, "_MAX_MEMBER_BYTES", 1000)
    monkeypatch.setattr(bundle_module, "_MAX_BYTES", 8000)
    bundle = Bundle(Scrubber([]))
    bundle.add_text("log.txt", "".join(f"line {number}\n" for number in range(300)), keeps_end=True)
    bundle.add_json("big.json", ["x" * 100] * 20)
    for number in range(30):
        bundle.add_text(f"rules.d/{number}.yaml", "y: 1\n" * 190)

    assert bundle.size_bytes <= 8000
    assert bundle.members["log.txt"].endswith(b"line 299\n")
    assert bundle.members["log.txt"].startswith(b"line ")
    assert {"log.txt", "big.json", "rules.d/29.yaml"} <= set(bundle.left_out)


def test_a_name_that_is_no_archive_is_refused(planted: dict[str, str]) -> None:
    ended = fieldgate("diag", "bundle.zip")

    assert ended.exit_code == 2


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("password=abc123 rest", "password=••• rest"),
        ('{"client_secret": "s3"}', '{"client_secret": "•••"}'),
        ("mqtt://u:p@h:1883", "mqtt://•••@h:1883"),
        ("https://h/x?sig=1&a=2 end", "https://h/x?••• end"),
        ("Authorization: Bearer abcdef.ghi", "Authorization: ••• •••"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "•••"),
        ("amy:$scrypt$ln=14,r=8,p=1$AAAA$BBBB", "amy:•••"),
        ("password: ${file:/etc/pw}", "password: ${file:/etc/pw}"),
        ("write ${credential:NAME} there", "write ${credential:NAME} there"),
        ("credential: abc", "credential: •••"),
        ('data.token == "s3 cret" and x', 'data.token == "•••" and x'),
        (r'password="a \" b" end', 'password="•••" end'),
        ("https://hooks.example/services/T0/B00KPATHxyz123456 end", "https://hooks.example/services/T0/••• end"),
        ("https://h.example/b/OLDpathOfAWebhookABC/x", "https://h.example/b/•••/x"),
        (
            "https://h.example/sendMessage/what-the-watchdog-asks.md",
            "https://h.example/sendMessage/what-the-watchdog-asks.md",
        ),
        ("https://h.example/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/x", "https://h.example/bot•••/x"),
        ("as ghp_abcdefghijklmnopqrstuvwxyz0123456789", "as •••"),
        ("are 'username' and 'password' right?", "are 'username' and 'password' right?"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "•••\n"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "•••"),
    ],
)
def test_what_only_looks_like_a_secret_goes_too(text: str, clean: str) -> None:
    """A log holds what nobody foresaw."""
    assert Scrubber([]).text(text) == clean


def test_a_short_secret_is_taken_out_as_a_word_only() -> None:
    """Else a password of one letter would make the bundle unreadable."""
    assert Scrubber(["ab"]).text("ab cab ab.") == "••• cab •••."


def test_values_keep_their_shape() -> None:
    scrubber = Scrubber(["s3cret-thing"])
    clean: Any = scrubber.tree({"a": [1, None, True, "x s3cret-thing"], "token": {"b": 5}, "password": None})

    assert clean == {"a": [1, None, True, "x •••"], "token": {"b": "•••"}, "password": None}
    assert scrubber.removed == 2
    assert scrub.is_reference("${file:x}")
