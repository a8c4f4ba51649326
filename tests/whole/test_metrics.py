"""Metrics of a whole gateway: what Prometheus reads is what has happened."""

from __future__ import annotations

import asyncio
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema

from fieldgate.contract_export.kinds import all_kinds
from fieldgate_simulators.broker import Broker
from fieldgate_simulators.link import Link
from gateway_kit import Gateway, Publisher, Upstream, eventually, running
from ports import free_port
from rule_gateway import rule_gateway, say
from scrape_kit import OPENMETRICS, Series, promtool, series

UP = {("uplink", "up")}


async def scrape(port: int, *headers: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers=dict(one.split(": ") for one in headers)
    )
    answer = await asyncio.to_thread(urllib.request.urlopen, request, timeout=20)
    return str(answer.read().decode())


def value(found: Series, name: str, *labels: tuple[str, str]) -> float | None:
    """A series of the gateway, by its labels."""
    return found.get((f"fieldgate_{name}", frozenset(labels)))


def metrics_gateway(folder: Path, port: int, uplink_port: int) -> Gateway:
    uplinks = {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{uplink_port}"}}}
    gateway = rule_gateway(folder, uplinks=uplinks)
    gateway.settings["metrics"] = {"listen": f"127.0.0.1:{port}"}
    return gateway


async def test_what_is_told_is_what_has_happened(tmp_path: Path) -> None:
    """Through an outage and after it: the backlog, the disk, the rules and what became of every event."""
    port = free_port()
    async with Broker() as broker, Link("127.0.0.1", broker.port) as link:
        link.refuse()
        async with running(metrics_gateway(tmp_path, port, link.port)) as gateway:
            device = Publisher(gateway.port, total=300)
            device.start()
            await device.finished()
            await say(gateway, "b1", temperature=95.5)
            await eventually("it is told that the uplink is away", lambda: _is_away(port))
            down = series(await scrape(port))
            link.restore()
            await gateway.drained("up")
            page = await scrape(port)
            openmetrics = series(await scrape(port, OPENMETRICS), "openmetrics")
            status = await gateway.status()
            device.close()

    up = series(page)
    listener = ("source", f"127.0.0.1:{gateway.port}"), ("kind", "mqtt")
    assert value(down, "uplink_up", *UP) == 0
    assert (value(down, "uplink_backlog_events", *UP) or 0) >= 301
    assert value(down, "received_total", *listener, ("result", "event")) == 301
    assert value(down, "settle_seconds_count") == 302  # and the alert, which is safe together with its cause
    assert value(down, "settle_seconds_bucket", ("le", "+Inf")) == 302
    assert (value(down, "journal_fsync_seconds_count") or 0) >= 1
    assert value(down, "journal_events") == value(down, "uplink_backlog_events", *UP)
    assert value(down, "alerts", ("severity", "critical")) == 1
    assert value(down, "rule_firings_total") == 1
    assert value(down, "rule_evaluations_total") == 1  # the rule is on boilers, and one boiler spoke once
    assert value(up, "uplink_up", *UP) == 1
    assert value(up, "uplink_state", *UP, ("state", "connected")) == 1
    assert value(up, "uplink_backlog_events", *UP) == 0
    assert value(up, "uplink_unaccounted_events", *UP) == 0
    assert value(up, "uplink_delivered_events_total", *UP) == status["uplinks"]["up"]["acked"]
    assert value(up, "events_accepted_total") == status["events_in"]
    assert (value(up, "journal_bytes") or 0) > 0
    assert value(up, "store_up", ("store", "journal")) == 1
    assert up.keys() == openmetrics.keys()
    _check_with_promtool(page)


async def test_vitals_go_upstream_by_their_contract(tmp_path: Path) -> None:
    """A platform that cannot call its gateways hears how they are, and can check what it hears."""
    kind = next(one for one in all_kinds([]) if one.name == "vitals")
    async with Broker() as broker:
        upstream = Upstream(broker.port)
        upstream.start()
        gateway = rule_gateway(tmp_path, uplinks={"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}"}}})
        gateway.settings["vitals"] = {"every": "1s"}
        gateway.settings["sources"] = [
            {"name": "gone", "mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}", "subscribe": ["#"]}}
        ]
        async with running(gateway):
            await say(gateway, "b1", temperature=95.5)
            told = await eventually("it is told", lambda: _vitals_with(upstream, events=3))
        upstream.close()

    checker = jsonschema.Draft202012Validator(kind.data)
    data = {name: value for name, value in told["data"].items() if name not in ("device_", "seq_")}
    checker.validate(data)
    assert not checker.is_valid(data | {"journal": {}})  # the control
    assert data["amiss"] == ["source:gone"]
    assert data["alerts"] == 1
    assert data["uplinks"]["up"]["up"] is True
    assert data["journal"]["full"] == ""


def _vitals_with(upstream: Upstream, *, events: int) -> dict[str, Any] | None:
    return next(
        (
            one
            for one in list(upstream.arrived)
            if one["type"] == "fieldgate.vitals" and one["data"]["events"] >= events
        ),
        None,
    )


async def _is_away(port: int) -> bool:
    return value(series(await scrape(port)), "uplink_state", *UP, ("state", "backoff")) == 1


def _check_with_promtool(page: str) -> None:
    if (tool := promtool()) is not None:
        checked = subprocess.run([tool, "check", "metrics"], input=page.encode(), capture_output=True, timeout=30)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
