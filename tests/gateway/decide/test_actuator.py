"""What becomes of effects: commands at the desk, messages and alerts at the local broker, lines in the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from fieldgate.decide.actuator import EFFECT, Actuator, alert_topic
from fieldgate.decide.orders import Answer, Hears, Order, Status
from fieldgate.mqtt.packets import Publish, Subscription
from fieldgate.mqtt.topics import topic_problem
from fieldgate_devices.event import Stamp
from fieldgate_rules.effects import AlertChange, Cause, DeviceCommand, LocalPublish, LogLine
from session_kit import Client, Server

CAUSE = Cause("r-1-1")


class Desk:
    """Answers each order as the test says."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.told_ids: list[str] = []
        self.joined: list[str] = []
        self.answer = (Status.DONE, "")

    def submit(self, order: Order, hears: Hears) -> None:
        self.orders.append(order)
        status, reason = self.answer
        hears.settled(order)
        hears.answered(
            order, Answer(id=order.id, device=order.device, name=order.name, status=status, reason=reason, at_ns=0)
        )

    def note(self, order: Order, answer: Answer) -> None:
        raise AssertionError("no rule needs it")

    def join(self, origin: str, hears: Hears) -> None:
        self.joined.append(origin)

    def told(self, order: Order, answer: Answer) -> None:
        self.told_ids.append(order.id)


class World:
    def __init__(self, *, formerly: Sequence[str] = ()) -> None:
        self.server = Server()
        self.desk = Desk()
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.actuator = Actuator(
            self.desk,
            self.server.broker,
            gateway="g",
            say=lambda name, /, *, level, **facts: self.lines.append((level, name, facts)),
            formerly=formerly,
        )

    def client(self, *filters: str) -> Client:
        client = self.server.connect("c", version=5)
        client.subscribe(*(Subscription(one, 1) for one in filters))
        client.received()
        return client

    def do(self, *effects: Any) -> None:
        self.actuator.carry_out(effects, Stamp(1, 5_000, int(self.server.now_s * 1e9)))


def alert(state: Any = "raised", *, group: str = "b1", key: str = "b1", reason: str = "") -> AlertChange:
    return AlertChange(
        rule="hot", group=group, cause=CAUSE, state=state, key=key, severity="critical", text="hot!",
        fields={"limit": 80, "rule": "not mine"}, since_boot_ns=1, since_wall_ns=1_700_000_000 * 10**9, reason=reason,
    )  # fmt: skip


def publish(topic: str, *, id: str = "hot/b1/m/0") -> LocalPublish:
    return LocalPublish(rule="hot", group="b1", cause=CAUSE, id=id, topic=topic, payload=b"on", qos=1, retain=False)


def command(*, id: str = "hot/b1/m/1", device: str = "pump") -> DeviceCommand:
    return DeviceCommand(
        rule="hot", group="b1", cause=CAUSE, id=id, device=device, name="switch", arguments={"on": True}
    )


def messages(client: Client) -> list[Publish]:
    return [one for one in client.received() if isinstance(one, Publish)]


# -- commands ---------------------------------------------------------------------------------------------------------


def test_a_command_is_an_order_with_the_rule_as_its_origin_and_the_effect_id() -> None:
    """After a crash the same effect is the same order, which is carried out once."""
    world = World()

    world.do(command())

    (order,) = world.desk.orders
    assert (order.device, order.name, order.arguments) == ("pump", "switch", {"on": True})
    assert (order.origin, order.id, order.is_ours) == ("rule:hot", "hot/b1/m/1", False)
    assert world.desk.told_ids == ["hot/b1/m/1"], "else it is told again after each restart"


def test_a_refusal_is_said_once_for_each_reason_and_counted_each_time() -> None:
    """A rule that fires each second at a pump that is off must not fill the log."""
    world = World()
    for status, reason in [(Status.REFUSED, "away"), (Status.REFUSED, "away"), (Status.TIMEOUT, ""), (Status.DONE, "")]:
        world.desk.answer = (status, reason)
        world.do(command())
    world.desk.answer = (Status.REFUSED, "away")

    world.do(command())

    said = [(name, facts.get("problem")) for _, name, facts in world.lines]
    assert said == [
        ("rule.command_not_done", "refused: away"),
        ("rule.command_not_done", "timeout"),
        ("rule.command_done_again", None),
        ("rule.command_not_done", "refused: away"),
    ]
    assert world.actuator.counts == {"commands": 5, "commands_refused": 4}
    assert world.actuator.refused == {"hot": 4}


# -- messages ---------------------------------------------------------------------------------------------------------


def test_a_local_message_reaches_subscribers_and_bears_its_effect_id() -> None:
    world = World()
    client = world.client("house/#")

    world.do(publish("house/alarm"))

    (message,) = messages(client)
    assert (message.topic, message.payload) == ("house/alarm", b"on")
    assert message.properties is not None
    assert message.properties.user == ((EFFECT, "hot/b1/m/0"),)


@pytest.mark.parametrize("topic", ["", "a/+/b", "a/#", "$SYS/x", "a\0b", "a\nb", "x/" * 300], ids=repr)
def test_what_is_no_topic_is_refused_and_said_once(topic: str) -> None:
    """A text with a device's name in it may become anything."""
    world = World()

    world.do(publish(topic), publish(topic))

    assert world.actuator.counts == {"publishes_refused": 2}
    assert [name for _, name, _ in world.lines] == ["rule.publish_refused"]


def test_a_line_for_the_log_keeps_its_level() -> None:
    world = World()

    world.do(LogLine(rule="hot", group="b1", cause=CAUSE, level="warning", text="it is hot"))

    assert world.lines == [("warning", "rule.said", {"rule": "hot", "group": "b1", "text": "it is hot"})]


# -- alerts -----------------------------------------------------------------------------------------------------------


def test_an_alert_is_retained_while_it_lasts() -> None:
    """A display that is switched on during an alarm shows it; one that is switched on later shows nothing."""
    world = World()
    world.do(alert())
    during = world.client("fieldgate/+/alerts/#")
    (raised,), _ = world.server.broker.retained.search("#")

    world.do(alert("resolved", reason="it is cool"))

    over, removal = messages(during)
    assert raised.topic == over.topic == removal.topic == "fieldgate/g/alerts/hot/b1"
    assert json.loads(over.payload) == {
        "state": "resolved", "rule": "hot", "key": "b1", "severity": "critical", "text": "hot!",
        "since": "2023-11-14T22:13:20.000000Z", "reason": "it is cool", "limit": 80,
    }  # fmt: skip
    assert removal.payload == b""
    assert world.server.broker.retained.count == 0


@pytest.mark.parametrize(
    ("group", "key", "topic"),
    [
        ("b1", "b1", "b1"),
        ("hall/b+1#", "hall/b+1#", "hall%2Fb%2B1%23"),
        ("50%2F", "50%2F", "50%252F"),
        ("", "", "all"),
        ("", "b1", "all/b1"),
        ("all", "all", "%61ll"),
        ("all", "b1", "%61ll/b1"),
        ("%61ll", "%61ll", "%2561ll"),
        ("b1", "all", "b1/all"),
        ("b1", "", "b1/"),
        ("b1", "door/2", "b1/door%2F2"),
        ("a\nb", "a\nb", "a%0Ab"),
        ("a\0b", "\x7f", "a%00b/%7F"),
        ("\x85", "\ufffe", "%C2%85/%EF%BF%BE"),
        ("ü/☃", "ü/☃", "ü%2F☃"),
    ],
)
def test_the_topic_of_an_alert_has_one_level_for_each_part(group: str, key: str, topic: str) -> None:
    """Two alerts never share a topic: the retained message of one would hide the other."""
    assert alert_topic("g", "hot", group, key) == f"fieldgate/g/alerts/hot/{topic}"


def test_no_two_alerts_share_a_topic() -> None:
    """All groups and keys that look like each other in one way or the other."""
    words = ("", "all", "%61ll", "%2561ll", "a", "a/", "/a", "a/all", "all/a", "%", "%2F", "~", " ")
    named = [(group, key) for group in words for key in words]

    assert len({alert_topic("g", "hot", group, key) for group, key in named}) == len(named)
    assert not [one for one in named if topic_problem(alert_topic("g", "hot", *one), max_levels=200)]


def test_a_name_that_is_longer_than_a_topic_has_an_alert_too() -> None:
    """A device is called as its topic says, which may have 65,535 bytes: it would end the connection of each client."""
    world = World()
    display = world.client("fieldgate/g/alerts/#")
    names = ["%" * 30_000, "%" * 30_001, "d" * 65_000]

    world.do(*(alert(group=name, key=name) for name in names))

    got = [one.topic.rpartition("/")[2] for one in messages(display)]
    assert len(set(got)) == 3
    assert [len(one) < 300 for one in got] == [True, True, True]
    assert got[2].startswith("ddd"), "who reads it is to see which it is"
    world.do(*(alert("resolved", group=name, key=name) for name in names))
    assert world.server.broker.retained.count == 0


def test_alerts_of_an_earlier_process_that_do_not_last_any_more_are_removed() -> None:
    """Killed between the end of an alert and the moment that its message was forgotten on disk."""
    world = World()
    world.do(alert(), alert(group="b2", key="b2"))
    world.server.broker.publish("fieldgate/other/alerts/hot/b1", b"x", retain=True, now_s=0.0)

    world.actuator.begin(["hot"], [alert()])

    kept = {one.topic for one in world.server.broker.retained.messages()}
    assert kept == {"fieldgate/g/alerts/hot/b1", "fieldgate/other/alerts/hot/b1"}
    assert world.desk.joined == ["rule:hot"]


def test_alerts_under_the_name_that_a_gateway_had_before_are_removed() -> None:
    """A display would show them for ever: nobody ends an alert of a gateway that is not called so any more."""
    world = World(formerly=["g", "old"])
    for gateway in ("old", "other"):
        world.server.broker.publish(f"fieldgate/{gateway}/alerts/hot/b1", b"x", retain=True, now_s=0.0)

    world.actuator.begin([], [alert()])

    assert [one.topic for one in world.server.broker.retained.messages()] == ["fieldgate/other/alerts/hot/b1"]
