"""Row 49: an upstream broker with a bridge back to the gateway. Nothing may go round in circles."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_kit import fieldgate
from gateway_kit import Gateway, Publisher, Upstream, eventually, oracle, running
from uplink_kit import free_port, mosquitto


def bridge_to(port: int) -> tuple[str, ...]:
    """Whatever comes from the gateway goes back to it, under ``mirror/``."""
    return (
        "connection back", f"address 127.0.0.1:{port}", "topic # out 1 fieldgate/ mirror/", "try_private false",
        "bridge_protocol_version mqttv311", "restart_timeout 1 1", "notifications false",
    )  # fmt: skip


FORMS = [("5", "cloudevents"), ("3.1.1", "cloudevents"), ("3.1.1", "cloudevents-batch")]


@pytest.mark.parametrize(("version", "form"), FORMS)
async def test_a_bridge_that_brings_everything_back_amplifies_nothing(tmp_path: Path, version: str, form: str) -> None:
    """mosquitto bridges 3.1.1: no property tells it; each echo is counted, acknowledged and left alone."""
    upstream_port = free_port()
    url = f"mqtt://127.0.0.1:{upstream_port}"
    gateway = Gateway(tmp_path, uplinks={"up": {"mqtt": {"url": url, "version": version}, "format": form}})
    async with running(gateway), mosquitto(tmp_path, *bridge_to(gateway.port), port=upstream_port):
        upstream = Upstream(upstream_port)
        upstream.start()
        device = Publisher(gateway.port, total=100)
        device.start()
        await device.finished()

        messages = 1 if form == "cloudevents-batch" else 100

        async def have_come_back() -> bool:
            listener = (await gateway.status())["listeners"][0]
            return listener["echoes"] >= messages and listener["unacknowledged"] == 0

        await eventually("they come back", have_come_back)
        status = await gateway.drained()
        await eventually("everything is there", lambda: not upstream.missing([device]))
        shown = await fieldgate("status", config=gateway.config)
        device.close()
        upstream.close()

    oracle(upstream, [device])
    assert status["events_in"] == 100
    assert "LOOP: " in shown.out
    assert gateway.log_text().count("listener.echo_found") == 1


async def test_without_the_guard_it_goes_round_in_circles(tmp_path: Path) -> None:
    """The control: the same bridge with messages that bear nothing to know them by (raw over 3.1.1)."""
    upstream_port = free_port()
    uplink = {"mqtt": {"url": f"mqtt://127.0.0.1:{upstream_port}", "version": "3.1.1"}, "format": "raw"}
    gateway = Gateway(tmp_path, uplinks={"up": uplink})
    async with running(gateway), mosquitto(tmp_path, *bridge_to(gateway.port), port=upstream_port):
        device = Publisher(gateway.port, total=10)
        device.start()
        await device.finished()

        async def is_amplified() -> bool:
            return (await gateway.status())["events_in"] > 30

        await eventually("it is amplified", is_amplified)
        device.close()
