"""What works on the way to a broker and may surprise: secrets in the file, plain ways, a certificate's end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fieldgate import clock
from fieldgate.config.broker_checks import broker_errors, broker_warnings
from fieldgate.config.loader import read
from fieldgate.config.uplink import MqttUplinkConfig
from way_kit import own_certificate

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme")

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def warnings(**mqtt: Any) -> list[tuple[str, str]]:
    found = broker_warnings((), MqttUplinkConfig.model_validate({"url": "mqtts://b.example", **mqtt}))
    return [(".".join(map(str, finding.loc)), finding.message) for finding in found]


@pytest.mark.parametrize(
    ("url", "login", "words"),
    [
        ("mqtt://b.example", {}, "sends events unencrypted over the network; mqtts:// encrypts"),
        ("ws://b.example", {"username": "u", "password": "${env:P}"}, "events and the password unencrypted"),
        ("ws://b.example", {"sas": {"key": "${env:P}"}}, "sends events and the token unencrypted"),
    ],
)  # fmt: skip
def test_a_plain_way_over_the_network_is_said(
    monkeypatch: pytest.MonkeyPatch, url: str, login: Any, words: str
) -> None:
    """It may be meant; it is not found out later from a packet trace."""
    monkeypatch.setenv("P", "AAAA")

    ((loc, message),) = warnings(url=url, **login)

    assert loc == "url"
    assert words in message


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1", "ws://localhost", "mqtts://b.example", "wss://b.example"])
def test_tls_and_this_machine_need_no_warning(url: str) -> None:
    """A check that always warns is read by nobody."""
    assert warnings(url=url) == []


def test_every_secret_that_stands_in_the_file_is_told() -> None:
    """Each with what to write in its place, none with what it is."""
    found = warnings(
        url="wss://b.example",
        sas={"key": "c2VjcmV0"},
        headers={"Authorization": "Bearer c2VjcmV0", "X-Region": "eu"},
        proxy={"url": "http://p.example:1", "username": "u", "password": "c2VjcmV0"},
    )

    assert [loc for loc, _ in found] == ["sas.key", "proxy.password", "headers.Authorization"]
    assert all("stands in the file itself; write ${credential:NAME} or ${file:/PATH}" in text for _, text in found)
    assert not any("c2VjcmV0" in text for _, text in found)


@pytest.mark.parametrize(
    ("validity", "words"),
    [
        ({"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, "has expired at "),
        ({"not_before": NOW - 9 * DAY, "not_after": NOW + 13 * DAY}, "expires at "),
        ({"not_before": NOW + DAY, "not_after": NOW + 99 * DAY}, "is not valid before "),
        ({"not_before": NOW - 9 * DAY, "not_after": NOW + 15 * DAY}, None),
    ],
)
def test_the_dates_of_our_own_certificate_are_told_in_time(tmp_path: Path, validity: Any, words: str | None) -> None:
    """Two weeks before it ends; the day after it is an outage."""
    files = own_certificate(trustme.CA(), tmp_path, **validity)

    found = warnings(**files.settings)

    assert [loc for loc, _ in found] == ([] if words is None else ["certificate"])
    assert all(f"{str(files.certificate)!r} {words}" in text for _, text in found)


def test_a_clock_that_is_not_set_says_nothing_about_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 1970 no certificate is valid yet."""
    files = own_certificate(trustme.CA(), tmp_path, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    monkeypatch.setattr(clock, "is_synced", lambda: False)

    assert warnings(**files.settings) == []


def test_a_file_that_is_no_certificate_is_left_to_the_errors(tmp_path: Path) -> None:
    """One mistake, one message."""
    (tmp_path / "c.pem").write_text("no certificate", encoding="utf-8")

    assert warnings(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem")) == []


@pytest.mark.parametrize(
    "keys", [{"ca": "{}/f.pem"}, {"certificate": "{}/f.pem", "key": "{}/f.pem"}], ids=["ca", "certificate"]
)
def test_a_file_that_cannot_be_opened_is_told_as_every_other_mistake(tmp_path: Path, keys: dict[str, str]) -> None:
    """Who runs `fieldgate check` may have fewer rights than the service; a name of 300 letters cannot be opened by root
    either."""
    folder = tmp_path / ("x" * 300)
    broker = MqttUplinkConfig.model_validate(
        {"url": "mqtts://b.example", **{key: path.format(folder) for key, path in keys.items()}}
    )

    found = [(finding.loc[-1], finding.message) for finding in broker_errors((), broker)]

    assert [key for key, _ in found] == list(keys)
    assert all("cannot be read: file name too long" in message for _, message in found)


@pytest.mark.parametrize("key", ["username", "password"])
def test_a_log_in_longer_than_mqtt_can_say_is_refused_without_showing_it(key: str) -> None:
    """It would fail at every connect, after `check` had said that all is well."""
    login = {"username": "u", "version": "5", key: "x" * 65_536}

    with pytest.raises(ValidationError) as caught:
        MqttUplinkConfig.model_validate({"url": "mqtts://b.example", **login})

    (error,) = caught.value.errors()
    assert error["loc"] == (key,)
    assert error["msg"] == "Value error, a user name or password is longer than MQTT allows; allowed: 65535 bytes"


def test_a_certificate_or_key_that_is_none_is_named(tmp_path: Path) -> None:
    """OpenSSL says "pem lib" and not which of the two files."""
    leaf = trustme.CA().issue_cert("plant-7.example")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "own.crt")
    (tmp_path / "garbage").write_text("garbage\n", encoding="utf-8")
    (tmp_path / "garbage").chmod(0o600)
    texts = []
    for certificate, key in (("garbage", "garbage"), ("own.crt", "garbage")):
        file = tmp_path / "fieldgate.yaml"
        file.write_text(
            f"uplinks: {{up: {{mqtt: {{url: mqtts://b.example, certificate: {certificate}, key: {key}}}}}}}\n",
            encoding="utf-8",
        )
        texts += [problem.message for problem in read(file).errors]

    assert texts == [
        f"key: '{tmp_path}/garbage' holds no whole certificate in PEM form",
        f"key: '{tmp_path}/garbage' holds no whole private key in PEM form",
    ]
