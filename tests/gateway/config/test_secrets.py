"""Secrets come from where they are kept, and go nowhere but to the broker."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate.config import Config, MqttUplinkConfig, Secret, load
from fieldgate.config.explain import effective_values
from fieldgate.config.loader import load_as_written, read
from fieldgate.config.secrets import MASK, Resolved
from fieldgate.errors import ConfigError

PLANTED = "Tr0ub4dor-and-3"
KEY = "VHIwdWI0ZG9yLWFuZC0z"


def config_with(tmp_path: Path, password: str, *, more: str = "") -> Path:
    file = tmp_path / "fieldgate.yaml"
    file.write_text(
        f"uplinks:\n  cloud:\n    mqtt: {{url: mqtts://b.example, username: u, password: '{password}'}}\n{more}",
        encoding="utf-8",
    )
    return file


def revealed(file: Path) -> str:
    password = load(file).config.uplinks["cloud"].mqtt.password
    assert password is not None
    return password.reveal()


def test_a_credential_of_systemd_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way that the service uses: the file is readable for the service only, and only while it runs."""
    (tmp_path / "cloud-password").write_text(PLANTED + "\n", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert revealed(config_with(tmp_path, "${credential:cloud-password}")) == PLANTED


def test_a_private_file_is_read(tmp_path: Path) -> None:
    """The way without systemd."""
    key = tmp_path / "key"
    key.write_text(PLANTED + "\r\n", encoding="utf-8")
    key.chmod(0o600)

    assert revealed(config_with(tmp_path, f"${{file:{key}}}")) == PLANTED


def test_a_relative_secret_file_is_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other relative path of the file is, wherever the gateway was started."""
    (tmp_path / "key").write_text(PLANTED, encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    monkeypatch.chdir("/")

    assert revealed(config_with(tmp_path, "${file:key}")) == PLANTED
    with pytest.raises(ConfigError, match=f"the secret file '{tmp_path}/other' cannot be read: no such file"):
        load(config_with(tmp_path, "${file:other}"))


def test_a_command_that_needs_no_secret_looks_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the status in a shell has neither systemd's credentials nor the service's user."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "fieldgate.yaml"
    file.write_text(
        "uplinks:\n  cloud:\n    mqtt:\n"
        "      url: wss://b.example/${env:FIELDGATE_NOT_SET}\n"
        "      username: ${file:nowhere}\n"
        "      password: ${credential:cloud-password}\n"
        "      certificate: ${credential:plant-7.crt}\n"
        "      key: nowhere.key\n"
        "      headers: {Authorization: 'Bearer ${credential:token}'}\n"
        "      proxy: {url: 'http://${env:FIELDGATE_NOT_SET}:1', username: a, password: '${credential:p}'}\n"
        "  hub: {mqtt: {url: mqtts://hub.example, sas: {key: '${credential:key}'}}}\n",
        encoding="utf-8",
    )

    loaded = load_as_written(file)

    mqtt = loaded.config.brokers_up["cloud"]
    assert str(mqtt.username) == "${file:nowhere}"
    assert str(mqtt.certificate) == "${credential:plant-7.crt}"
    assert mqtt.password is not None
    assert not mqtt.password.is_resolved
    with pytest.raises(RuntimeError, match=r"\$\{credential:cloud-password\} was kept as it is written"):
        mqtt.password.reveal()
    with pytest.raises(ConfigError):  # the gateway needs them all
        load(file)


def test_a_reference_that_is_none_is_told_by_every_command(tmp_path: Path) -> None:
    """What is wrong as it is written is no question of who reads it."""
    with pytest.raises(ConfigError, match="is not one that is known"):
        load_as_written(config_with(tmp_path, "${vault:x}"))


def test_an_environment_variable_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of containers."""
    monkeypatch.setenv("FIELDGATE_TEST_PASSWORD", PLANTED)

    assert revealed(config_with(tmp_path, "${env:FIELDGATE_TEST_PASSWORD}")) == PLANTED


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o601])
def test_a_file_that_everyone_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """CVE-2017-9868 was a file like this; the person must be told, not served."""
    key = tmp_path / "key"
    key.write_text(PLANTED, encoding="utf-8")
    key.chmod(mode)

    with pytest.raises(ConfigError) as caught:
        load(config_with(tmp_path, f"${{file:{key}}}"))

    assert caught.value.problems == [
        f"{tmp_path}/fieldgate.yaml:3:59: password: the secret file '{key}' is open to everyone (mode {mode:04o}); "
        "allowed: 0600, 0640"
    ]


@pytest.mark.parametrize("name", ["../passwd", "/etc/passwd", "", ".."])
def test_a_credential_is_a_name_and_no_way_out_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Else a reference could read any file."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    with pytest.raises(ConfigError, match="is not the name of a credential"):
        load(config_with(tmp_path, f"${{credential:{name}}}"))


def test_a_secret_that_never_ends_is_refused(tmp_path: Path) -> None:
    """A pipe or a disk in place of the file must not hang the start."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    large = tmp_path / "large"
    large.write_bytes(b"x" * (64 * 1024 + 1))
    large.chmod(0o600)

    with pytest.raises(ConfigError, match="is not a file"):
        load(config_with(tmp_path, f"${{file:{pipe}}}"))
    with pytest.raises(ConfigError, match="is too long; allowed: 65536 bytes"):
        load(config_with(tmp_path, f"${{file:{large}}}"))


def test_what_was_resolved_is_not_resolved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that looks like a reference is still that password."""
    monkeypatch.setenv("FIELDGATE_TEST_PASSWORD", "${env:HOME}")

    assert revealed(config_with(tmp_path, "a${env:FIELDGATE_TEST_PASSWORD}b")) == "a${env:HOME}b"


def test_a_doubled_dollar_is_a_plain_one(tmp_path: Path) -> None:
    """Somebody's password begins with ${ ."""
    assert revealed(config_with(tmp_path, "$${env:HOME} costs $5")) == "${env:HOME} costs $5"


def test_an_environment_of_bytes_that_are_no_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail much later, when the CONNECT is encoded."""
    monkeypatch.setenv("FIELDGATE_TEST_PASSWORD", os.fsdecode(b"p\xffq"))

    with pytest.raises(ConfigError, match=r"what \$\{env:FIELDGATE_TEST_PASSWORD\} stands for is not a text"):
        load(config_with(tmp_path, "${env:FIELDGATE_TEST_PASSWORD}"))


@given(st.text(max_size=40).filter(lambda text: "${" not in text and "\0" not in text))
def test_a_text_without_a_reference_is_itself(text: str) -> None:
    """Only ${ is special."""
    assert Secret.parse(text).reveal() == text


def test_a_secret_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One planted secret in every place that takes one; then everything that can be printed is searched for it."""
    monkeypatch.setenv("FIELDGATE_TEST_SECRET", PLANTED)
    file = tmp_path / "fieldgate.yaml"
    file.write_text(
        "uplinks:\n  cloud:\n    mqtt:\n"
        "      url: mqtts://${env:FIELDGATE_TEST_SECRET}.example\n"
        "      username: ${env:FIELDGATE_TEST_SECRET}\n"
        "      password: ${env:FIELDGATE_TEST_SECRET}\n"
        "  hub:\n    mqtt:\n"
        "      url: wss://b.example\n"
        "      sas: {key: '${env:FIELDGATE_TEST_KEY}'}\n"
        "      headers: {Authorization: 'Bearer ${env:FIELDGATE_TEST_SECRET}'}\n"
        "      proxy: {url: 'http://p.example:1', username: u, password: '${env:FIELDGATE_TEST_SECRET}'}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("FIELDGATE_TEST_KEY", KEY)

    loaded = load(file)
    hub = loaded.config.uplinks["hub"].mqtt
    assert hub.sas is not None
    assert hub.sas.key.reveal() == KEY
    assert hub.headers["Authorization"].reveal() == f"Bearer {PLANTED}"

    mqtt = loaded.config.uplinks["cloud"].mqtt
    assert mqtt.url.reveal() == f"mqtts://{PLANTED}.example"
    assert mqtt.username is not None
    assert mqtt.username.reveal() == PLANTED
    shown = [
        repr(loaded),
        str(loaded.config),
        f"{mqtt.password} {mqtt.password!r} {mqtt.username} {mqtt.url!r}",
        loaded.config.model_dump_json(),
        str(loaded.config.model_dump()),
        json.dumps(list(effective_values(loaded.config))),
        str(loaded.origins),
        str(loaded.warnings),
    ]
    assert not any(PLANTED in text or KEY in text for text in shown)
    assert MASK in shown[0]


def test_a_secret_is_in_no_error_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People paste error messages into tickets."""
    monkeypatch.setenv("FIELDGATE_TEST_SECRET", f"https://user:{PLANTED}@example")
    bad_lines = [
        f"password: [{PLANTED}]",
        f"password: {{{PLANTED}: 1}}",
        f"password: *{PLANTED}",
        f"password: !{PLANTED} x",
        f"password: '${{{PLANTED}}}'",
        f"password: '{PLANTED}${{vault:x}}'",
        f"password: '{PLANTED}${{env:FIELDGATE_NOT_SET}}'",
        f"pasword: {PLANTED}",
        f"{{password: {PLANTED}, password: {PLANTED}}}",
        f"url: mqtts://user:{PLANTED}@b.example",
        "url: ${env:FIELDGATE_TEST_SECRET}",
        "username: [${env:FIELDGATE_TEST_SECRET}]",
        f"sas: {{key: [{PLANTED}]}}",
        f"sas: {{key: {PLANTED}}}",
        f"sas: {{kei: {PLANTED}}}",
        f"headers: {{X-Key: [{PLANTED}]}}",
        f"headers: {{X-Key: *{PLANTED}}}",
        f"headers: {{X-Key: '{PLANTED}\t'}}",
        f"headers: [{PLANTED}]",
        f"proxy: http://user:{PLANTED}@p.example:3128",
        f"proxy: {{url: http://user:{PLANTED}@p.example:3128}}",
        "proxy: ${env:FIELDGATE_TEST_SECRET}",
        f"proxy: {{url: http://p.example:3128, password: [{PLANTED}]}}",
    ]
    for line in bad_lines:
        file = tmp_path / "fieldgate.yaml"
        file.write_text(f"uplinks:\n  cloud:\n    mqtt:\n      {line}\n", encoding="utf-8")

        errors = read(file).errors

        assert errors, line
        assert not any(PLANTED in str(error) for error in errors), (line, errors)


def test_the_search_for_a_planted_secret_would_find_one() -> None:
    """The mutant of the two tests above: a password in a plain text field is in everything that is printed."""
    mqtt = MqttUplinkConfig(url="mqtts://b.example", topic=f"x/{PLANTED}")

    assert PLANTED in repr(mqtt)
    assert PLANTED in mqtt.model_dump_json()


def test_an_address_shows_itself_as_it_was_written() -> None:
    """A URL is no secret; only what a reference stands for is hidden."""
    plain = Resolved.parse("mqtts://b.example")

    assert str(plain) == "mqtts://b.example"
    assert plain.is_literal
    assert not Resolved.parse("$${").references


def test_secrets_compare_by_what_they_hold() -> None:
    """A reload asks whether anything changed; a rotated password is a change."""
    assert Secret("a") == Secret("a", written="${env:A}")
    assert Secret("a") != Secret("b")
    assert Secret("a") != Resolved("a")
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_config_made_in_code_resolves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests and tools write models, not files."""
    monkeypatch.setenv("FIELDGATE_TEST_PASSWORD", PLANTED)
    config = Config(
        uplinks={"a": {"mqtt": {"url": "mqtt://localhost:9", "password": "${env:FIELDGATE_TEST_PASSWORD}"}}}
    )

    password = config.uplinks["a"].mqtt.password

    assert password is not None
    assert password.reveal() == PLANTED


def test_a_secret_cannot_be_pickled() -> None:
    """Nothing should store it by accident; a pickle would."""
    with pytest.raises(TypeError):
        pickle.dumps(Secret(PLANTED))
