"""What rules send outward, through a real gateway, its disk, a kill -9 and a restart with other uplinks."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from command_kit import fieldgate
from gateway_kit import Gateway, eventually, running
from ports import free_port
from routed_gateway import SCRIPT
from uplink_kit import mosquitto
from webhook_kit import ScriptedHook, answer

KINDS = ["plain", "to-cloud", "to-site", "to-nobody", "alert"]
EACH = 12


def broker(port: int, topic: str, **more: Any) -> dict[str, Any]:
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "topic": f"{topic}/{{topic}}", "status_topic": "off"}
    return {"mqtt": mqtt, **more}


async def publish_all(gateway: Gateway, *kinds: str) -> None:
    """Each kind in turn, at QoS 1; returns when all are acknowledged, and so on disk."""
    async with aiomqtt.Client("127.0.0.1", gateway.port) as device, asyncio.TaskGroup() as messages:
        for number in range(EACH):
            for kind in kinds:  # together: each alone would wait for a commit of its own
                messages.create_task(device.publish(f"{kind}/d", b'{"n":%d}' % number, qos=1), name=f"{kind}-{number}")


class Received:
    """What came to one broker, by uplink and kind; with a session that misses nothing."""

    def __init__(self) -> None:
        self.got: list[aiomqtt.Message] = []

    @asynccontextmanager
    async def at(self, port: int) -> AsyncIterator[Received]:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("#", qos=1)
            task = asyncio.create_task(self._read(client), name="reader")
            yield self
            task.cancel()
            await asyncio.wait([task])

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self.got.append(message)

    def kinds(self, uplink: str) -> dict[str, int]:
        """How many different events of each kind."""
        ids = {(str(one.topic).split("/")[1], json.loads(one.payload)["id"]) for one in self._of(uplink)}
        return dict(Counter(kind for kind, _ in ids))

    def _of(self, uplink: str) -> list[aiomqtt.Message]:
        return [one for one in self.got if str(one.topic).startswith(f"{uplink}/")]


@pytest.mark.parametrize("drain", ["strict", "live_first"])
async def test_routed_events_come_from_disk_to_whom_the_rule_named_and_to_nobody_else(drain: str, tmp_path: Path):
    """kill -9 while every uplink is down: what was acknowledged goes where it was to go, and the accounts are exact."""
    port, hook = free_port(), ScriptedHook()
    hook.port = free_port()
    uplinks = {
        "cloud": broker(port, "cloud", drain=drain),
        "site": broker(port, "site", format="cloudevents"),
        "pager": {"webhook": {"url": f"http://127.0.0.1:{hook.port}/x"}},
    }
    gateway = Gateway(tmp_path, uplinks=uplinks)
    await gateway.start(*SCRIPT)
    await publish_all(gateway, *KINDS)
    before = await gateway.status()
    await eventually("the log says it", lambda: "events.routed_nowhere" in gateway.log_text())
    down = await fieldgate("status", config=gateway.config)
    await gateway.kill()

    async with mosquitto(tmp_path, port=port), Received().at(port) as received, hook.serving(), running(gateway):
        status = await gateway.drained()
        await eventually("cloud has its own", lambda: sum(received.kinds("cloud").values()) == 3 * EACH)
        await eventually("site has its own", lambda: sum(received.kinds("site").values()) == 3 * EACH)
        shown = await fieldgate("status", config=gateway.config)
        verified = await fieldgate("journal", "verify", config=gateway.config)

    assert before["routed_nowhere"] == EACH
    assert f"{EACH} NOWHERE" in down.out
    assert gateway.log_text().count("events.routed_nowhere") == 1
    assert received.kinds("cloud") == {"plain": EACH, "to-cloud": EACH, "alert": EACH}
    assert received.kinds("site") == {"plain": EACH, "to-site": EACH, "alert": EACH}
    told = [json.loads(request.body)["data"]["n"] for request in hook.requests]
    assert list(dict.fromkeys(told)) == list(range(EACH))
    assert "uplink   pager   ready   for " in shown.out
    assert f"to 127.0.0.1:{hook.port}   not required" in shown.out
    assert verified.code == 0, verified.out
    for name, count in (("cloud", 3 * EACH), ("site", 3 * EACH), ("pager", EACH)):
        one = status["uplinks"][name]
        assert (one["routed"], one["delivered"], one["pending"], one["unaccounted"]) == (count, count, 0, 0), name


async def test_what_was_routed_to_an_uplink_that_is_gone_holds_up_nothing(tmp_path: Path):
    """An installer takes an uplink out; what only that one was to get leaves the disk with the rest."""
    port = free_port()
    gateway = Gateway(tmp_path, uplinks={"cloud": broker(port, "cloud"), "site": broker(port, "site")})
    await gateway.start(*SCRIPT)
    await publish_all(gateway, "to-cloud", "plain")
    await gateway.kill()
    gateway.settings["uplinks"] = {"site": broker(port, "site")}

    async with mosquitto(tmp_path, port=port), Received().at(port) as received, running(gateway):
        status = await gateway.drained()
        await eventually("site has its own", lambda: received.kinds("site") == {"plain": EACH})

        async def is_empty() -> bool:
            return bool((await gateway.status())["journal"]["events"] == 0)

        await eventually("nothing is kept for the one that is gone", is_empty)

    assert received.kinds("cloud") == {}
    one = status["uplinks"]["site"]
    assert (one["routed"], one["delivered"], one["unaccounted"]) == (EACH, EACH, 0)


async def test_a_dead_webhook_holds_up_no_device_and_no_other_uplink(tmp_path: Path):
    """A pager that hangs is the pager's problem; its alerts wait on disk, and what waited arrives when it is back."""
    hook = ScriptedHook(*[None] * 1_000)
    async with mosquitto(tmp_path) as port, Received().at(port) as received, hook.serving():
        pager = {"webhook": {"url": f"http://127.0.0.1:{hook.port}/x", "timeout": "200ms"}}
        gateway = Gateway(tmp_path, uplinks={"cloud": broker(port, "cloud"), "pager": pager})
        await gateway.start(*SCRIPT)
        try:
            await publish_all(gateway, "alert", "plain")
            await eventually("cloud has all", lambda: received.kinds("cloud") == {"alert": EACH, "plain": EACH})
            status = await gateway.status()
            hook.replies.clear()
            await gateway.drained()
        finally:
            await gateway.kill()

    assert status["uplinks"]["pager"]["pending"] == EACH
    assert status["uplinks"]["cloud"]["delivered"] == 2 * EACH
    assert status["unsettled_bytes"] < 100_000
    delivered = [json.loads(request.body)["data"]["n"] for request in hook.requests]
    assert list(dict.fromkeys(delivered)) == list(range(EACH))


async def test_a_message_of_a_rule_survives_a_kill_and_is_retained_at_the_broker(tmp_path: Path):
    """An alarm that says "siren on" is as safe as any event."""
    port = free_port()
    gateway = Gateway(tmp_path, uplinks={"cloud": broker(port, "cloud", format="cloudevents-batch")})
    await gateway.start(*SCRIPT)
    await publish_all(gateway, "siren")
    await gateway.kill()

    async with mosquitto(tmp_path, port=port), running(gateway):
        await gateway.drained()
        async with aiomqtt.Client("127.0.0.1", port) as late:
            await late.subscribe("house/#", qos=1)
            siren = await anext(late.messages)

    assert (str(siren.topic), siren.payload, siren.retain) == ("house/siren", b'{"n":%d}' % (EACH - 1), True)


async def test_a_webhook_that_lets_nobody_in_gets_it_all_once_its_token_is_put_right(tmp_path: Path):
    """Whoever changes a token finds out by the status and not by alerts that are gone; a restart changes nothing."""
    hook = ScriptedHook()
    hook.on_request = lambda request: answer(200 if request.headers["authorization"] == "Bearer right" else 401)
    token = tmp_path / "token"
    token.write_text("wrong")
    token.chmod(0o600)
    async with hook.serving():
        pager = {"url": f"http://127.0.0.1:{hook.port}/x", "authorization": "Bearer ${file:token}"}
        gateway = Gateway(tmp_path, uplinks={"pager": {"webhook": pager}})
        await gateway.start(*SCRIPT)
        try:
            await publish_all(gateway, "alert", "plain")
            await eventually("it is refused", lambda: "uplink.refused" in gateway.log_text())
            shown = await fieldgate("status", config=gateway.config)
            await gateway.kill()
            await gateway.start(*SCRIPT)
            await eventually("again", lambda: gateway.log_text().count("uplink.refused") == 2)
            token.write_text("right")
            reloaded = await fieldgate("reload", config=gateway.config)
            status = await gateway.drained()
        finally:
            await gateway.kill()

    assert "REFUSED, a person must mend this" in shown.out
    assert "the server answers 401" in shown.out
    assert reloaded.code == 0, reloaded.err
    told = [
        json.loads(one.body)["data"]["n"] for one in hook.requests if one.headers["authorization"].endswith("right")
    ]
    assert told == list(range(EACH))
    pager = status["uplinks"]["pager"]
    assert (pager["delivered"], pager["parked"], pager["unaccounted"]) == (EACH, 0, 0)


async def test_what_a_webhook_refuses_can_be_sent_again_by_hand(tmp_path: Path):
    """A server that cannot read our words is mended a day later; the alerts of the night are still there."""
    hook = ScriptedHook()
    hook.on_request = lambda _request: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    async with hook.serving():
        gateway = Gateway(tmp_path, uplinks={"pager": {"webhook": {"url": f"http://127.0.0.1:{hook.port}/x"}}})
        await gateway.start(*SCRIPT)
        try:
            await publish_all(gateway, "alert", "plain")

            async def all_parked() -> bool:
                return bool((await gateway.status())["uplinks"]["pager"]["parked"] == EACH)

            await eventually("all are parked", all_parked)
            listed = await fieldgate("parked", "list", config=gateway.config)
            del hook.on_request
            hook.on_request = lambda _request: b"HTTP/1.1 204 OK\r\n\r\n"
            retried = await fieldgate("parked", "retry", "--all", config=gateway.config)
            status = await gateway.drained()

            async def none_parked() -> bool:
                return bool((await gateway.status())["uplinks"]["pager"]["delivered"] == EACH)

            await eventually("all are delivered", none_parked)
        finally:
            await gateway.kill()

    assert "400 Bad Request" in listed.out
    assert retried.code == 0, retried.out + retried.err
    assert status["uplinks"]["pager"]["unaccounted"] == 0
