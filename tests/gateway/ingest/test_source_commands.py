"""Commands to devices behind a broker that is read: the source's core by script, and a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from command_gateway import boiler_gateway, give
from fieldgate.config.source import SourceConfig
from fieldgate.decide.orders import Job, Order, Outcome, Status
from fieldgate.ingest.source_commands import SourceCommands
from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.mqtt.client_happenings import Announced
from fieldgate.mqtt.packets import Publish
from fieldgate_devices.command import Publication
from fieldgate_devices.command_model import ReplySpec
from fieldgate_devices.command_reply import Reply
from fieldgate_simulators.broker import Broker
from gateway_kit import eventually, running


class Session:
    """Where a source announces; has room for so many."""

    def __init__(self, *, version: int = 5, room: int = 100) -> None:
        self.version = version
        self.room = room
        self.sent: list[Publish] = []

    def announce(self, message: Publish, now_s: float) -> int:
        if len(self.sent) >= self.room:
            return 0
        self.sent.append(message)
        return len(self.sent)


class Rig:
    def __init__(self, **more: Any) -> None:
        config = SourceConfig.model_validate(
            {"name": "hall", "mqtt": {"url": "mqtt://b", "subscribe": ["boiler/#"]}, **more}
        )
        self.topics = SourceTopics(config)
        self.commands = SourceCommands("hall", self.topics, is_remapped=bool(config.remap))
        self.commands.connected(max_packet_bytes=200)
        self.session = Session()
        self.outcomes: list[Outcome] = []

    def job(self, *, mark: str = "m", payload: bytes = b"{}", reply: Reply | None = None) -> Job:
        order = Order(
            device="b7", name="set", arguments={}, origin="cli", id="i", received_boot_ns=0, received_wall_ns=0
        )  # fmt: skip
        request = Publication("boiler/b7/set", payload, 1, False, reply)
        return Job(order=order, mark=mark, request=request, topic="boiler/b7", expires_at_s=60.0, gives_up_at_s=10.0)

    def execute(self, job: Job) -> None:
        self.commands.execute(job, self.outcomes.append)

    def fill(self, now_s: float = 0.0) -> None:
        self.commands.fill(self.session, now_s)  # type: ignore[arg-type]  # what of a session is asked for


def test_it_is_done_when_the_broker_has_it_and_its_echo_is_no_event() -> None:
    """What the gateway publishes is never an event of itself."""
    rig = Rig()
    before = rig.topics.place("boiler/b7/set")
    rig.execute(rig.job())
    rig.fill()
    rig.commands.announced(Announced(1, 0, ""))

    (message,) = rig.session.sent
    assert (message.topic, message.qos) == ("boiler/b7/set", 1)
    assert message.properties is not None
    assert message.properties.message_expiry_s == 60
    assert rig.outcomes == [Outcome(Status.DONE, "the broker of source 'hall' has it")]
    assert before is not None
    assert rig.topics.place("boiler/b7/set") is None


@pytest.mark.parametrize(
    ("reason", "says"),
    [(0x10, "no client of that broker is subscribed to 'boiler/b7/set'"), (0x87, "the broker refused it: ")],
)
def test_a_broker_that_cannot_deliver_it_is_believed(reason: int, says: str) -> None:
    rig = Rig()
    rig.execute(rig.job())
    rig.fill()
    rig.commands.announced(Announced(1, reason, ""))

    assert rig.outcomes[0].status is Status.REFUSED
    assert rig.outcomes[0].reason.startswith(says)


def test_a_lost_connection_leaves_it_open_for_what_was_sent_and_refuses_the_rest() -> None:
    """Nothing is sent again later, when it would be old."""
    rig = Rig()
    rig.session.room = 1
    rig.execute(rig.job())
    rig.execute(rig.job(mark="n"))
    rig.fill()
    rig.commands.lost()
    rig.commands.connected(max_packet_bytes=None)
    rig.fill()

    assert [one.status for one in rig.outcomes] == [Status.TIMEOUT, Status.REFUSED]
    assert len(rig.session.sent) == 1


def test_what_waits_too_long_for_room_is_refused_as_stale() -> None:
    rig = Rig()
    rig.execute(rig.job())
    rig.fill(60.0)

    assert rig.outcomes == [Outcome(Status.REFUSED, "stale: it was too old before it could be sent")]
    assert rig.session.sent == []


def test_what_is_given_up_before_it_was_sent_is_not_sent() -> None:
    rig = Rig()
    job = rig.job()
    rig.execute(job)

    assert rig.commands.cancel(job) is True
    rig.fill()
    assert rig.session.sent == []
    assert rig.commands.cancel(job) is False


def test_with_a_reply_the_brokers_word_is_not_enough() -> None:
    rig = Rig()
    reply = Reply(ReplySpec.model_validate({"mqtt": "boiler/b7/ok"}), {})
    rig.execute(rig.job(reply=reply))
    rig.fill()
    rig.commands.announced(Announced(1, 0, ""))
    before = list(rig.outcomes)
    rig.commands.replies.hear("boiler/b7/ok", b"{}")

    assert before == []
    assert rig.outcomes == [Outcome(Status.DONE)]


def test_what_cannot_be_sent_says_why() -> None:
    remapped = Rig(remap=[{"match": "boiler/{device}", "to": "x/{device}"}])
    away = Rig()
    away.commands.lost()

    assert "remap" in remapped.commands.problem(remapped.job())
    assert away.commands.problem(away.job()) == "the broker of source 'hall' is not connected"
    assert "takes no message of" in Rig().commands.problem(Rig().job(payload=b"x" * 200))


async def test_a_device_behind_a_broker_is_told_something_there(tmp_path: Path) -> None:
    """The gateway is at a broker as one client among others: the device is another one."""
    async with Broker() as broker, aiomqtt.Client("127.0.0.1", broker.port) as device:
        gateway = boiler_gateway(tmp_path)
        gateway.settings["sources"] = [
            {"name": "hall", "mqtt": {"url": f"mqtt://127.0.0.1:{broker.port}", "subscribe": ["site/#"]}}
        ]
        await device.subscribe("site/boiler/b7/set", qos=1)
        async with running(gateway):

            async def is_known() -> bool:
                await device.publish("site/boiler/b7/telemetry", b'{"temperature": 20}', qos=1)
                return bool((await gateway.status())["devices"]["known"])

            await eventually("the device is known", is_known)
            answer = await give(gateway, "b7", 5)
            message = await anext(device.messages)

    assert (answer["status"], answer["reason"]) == ("done", "the broker of source 'hall' has it")
    assert str(message.topic) == "site/boiler/b7/set"
    assert json.loads(message.payload) == {"n": 5}
