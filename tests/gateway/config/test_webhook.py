"""``uplinks.NAME.webhook``: what is a default of its own, what is a secret, what may surprise, and how it is routed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract_export_kit import KINDS
from fieldgate.assembly import route_of
from fieldgate.config import Config, load
from fieldgate.config.explain import effective_values
from fieldgate.config.uplink import UplinkConfig
from fieldgate.config.urls import split_webhook_url
from fieldgate.contract_export.asyncapi import asyncapi_document
from fieldgate_devices.event import Extra
from uplink_kit import make_event
from webhook_kit import alert

URL = "https://alerts.example/hooks/plant-7"


def uplink(**more: Any) -> UplinkConfig:
    return UplinkConfig.model_validate({"webhook": {"url": URL}, **more})


def warnings_of(folder: Path, uplinks: str) -> list[str]:
    file = folder / "fieldgate.yaml"
    file.write_text(f"uplinks:\n{uplinks}", encoding="utf-8")
    return [warning.removeprefix(f"{file}:") for warning in load(file).warnings]


def test_a_webhook_holds_up_nothing_and_forgets_after_a_day_unless_told_otherwise():
    """A pager that is dead must not fill the disk of a plant, and yesterday's alert is of no use."""
    plain, told = uplink(), uplink(required=True, max_age="7d")

    assert (plain.required, plain.max_age) == (False, 86_400.0)
    assert (told.required, told.max_age) == (True, 7 * 86_400.0)
    broker = UplinkConfig.model_validate({"mqtt": {"url": "mqtts://b.example"}})
    assert (broker.required, broker.max_age) == (True, None)


def test_what_is_in_effect_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch):
    """`fieldgate config show` is what people paste into tickets."""
    monkeypatch.setenv("PAGER_TOKEN", "t0ken")
    monkeypatch.setenv("PAGER_URL", "https://alerts.example/T000/s3cret")
    webhook = {"url": "${env:PAGER_URL}", "authorization": "Bearer ${env:PAGER_TOKEN}", "headers": {"X-Api-Key": "k3y"}}
    config = Config.model_validate({"uplinks": {"pager": {"webhook": webhook}}})
    shown = {".".join(map(str, loc)): value for loc, value in effective_values(config)}

    assert shown["uplinks.pager.required"] is False
    assert shown["uplinks.pager.webhook.url"] == "${env:PAGER_URL}"
    for secret in ("t0ken", "s3cret", "k3y"):
        assert secret not in json.dumps(shown) + repr(config)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://h.example", ("h.example", 443, True, "/")),
        ("http://h.example/a/b?c=d&e", ("h.example", 80, False, "/a/b?c=d&e")),
        ("https://[::1]:8443/x", ("::1", 8443, True, "/x")),
    ],
)
def test_a_url_falls_into_what_a_request_needs(url: str, parts: tuple[str, int, bool, str]):
    """Host and port for the connection, path and query for the request line."""
    assert split_webhook_url(url) == parts


def test_what_works_and_may_surprise_is_said(tmp_path: Path):
    """Tokens in the open, and a gateway whose events go nowhere."""
    cloud = "  cloud: {mqtt: {url: mqtts://b.example}}\n"
    plain = "  a: {webhook: {url: 'http://h.example/x', authorization: 'Bearer x', headers: {X-Token: y, Title: z}}}\n"

    found = warnings_of(tmp_path, cloud + plain)
    alone = warnings_of(tmp_path, "  a: {webhook: {url: https://h.example/x}}\n")

    assert len(found) == 3
    assert "'http://h.example/x' sends alerts and the log-in unencrypted over the network" in found[0]
    assert "authorization: the log-in stands in the file itself" in found[1]
    assert "X-Token: the log-in stands in the file itself" in found[2]
    assert ["there is no other uplink: all others go nowhere and are not kept" in one for one in alone] == [True]
    assert warnings_of(tmp_path, cloud + "  a: {webhook: {url: https://h.example/x}}\n") == []


def test_the_outbox_gives_it_what_names_it_and_what_its_filter_takes():
    """``only`` narrows it further: a pager of the night shift for one hall."""
    every = route_of("pager", uplink())
    some = route_of("pager", uplink(only={"devices": ["hall-2.*"]}))

    assert every.is_told_only
    assert every.takes(alert(1))
    assert not every.takes(alert(1, extra=Extra(notify=("other",))))
    assert not every.takes(make_event(1))
    assert not some.takes(alert(1))
    assert every.filter not in ("", some.filter)  # else its accounts would not be made anew when it changes


def test_a_broker_that_becomes_a_webhook_of_the_same_name_counts_anew():
    """The name is the same, what it gets is not."""
    broker = UplinkConfig.model_validate({"mqtt": {"url": "mqtts://b.example"}})

    assert route_of("x", broker).filter != route_of("x", uplink()).filter
    assert not route_of("x", broker).is_told_only


def test_rules_know_what_kind_of_uplink_it_is():
    """A message goes to brokers only, an alert's notice to webhooks only."""
    broker = UplinkConfig.model_validate({"mqtt": {"url": "mqtts://b.example"}})
    own = UplinkConfig.model_validate({"mqtt": "self"})

    assert [one.kind for one in (broker, own, uplink())] == ["mqtt", "self", "webhook"]


def test_the_exported_contract_is_that_of_the_brokers():
    """Nobody subscribes to a webhook."""
    both = {"cloud": {"mqtt": {"url": "mqtts://b.example"}}, "pager": {"webhook": {"url": URL}}}
    with_it = Config.model_validate({"gateway": {"id": "g"}, "uplinks": both})
    without = Config.model_validate({"gateway": {"id": "g"}, "uplinks": {"cloud": both["cloud"]}})

    assert asyncapi_document(with_it, KINDS, version="1") == asyncapi_document(without, KINDS, version="1")
