"""Carry out what rules answer with: commands, local messages, alerts, lines in the log.

It is given effects after the events that they come of were taken, so that these have their numbers. Effects leave at
once, whether an uplink is there or not, and may come again after a crash under the same effect id: a command is then
the same order (`Desk`), a local message says it (`EFFECT`). Nothing that is published here is an event.

An alert is retained on ``fieldgate/GATEWAY/alerts/RULE/GROUP`` while it lasts; under a further level, its key, where
that is not the group. The message that says that it is resolved is not retained, and an empty one that removes the
retained one follows [MQTT-3.3.1-6].

No clock, no log of its own: ``say`` writes lines.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, assert_never

import msgspec

from fieldgate.decide.orders import Answer, Desk, Order, Status
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.topics import DISCOURAGED, topic_problem, valid_topic
from fieldgate_devices.event import Stamp
from fieldgate_rules.alert_data import alert_data
from fieldgate_rules.effects import AlertChange, DeviceCommand, Effect, LocalPublish, LogLine

__all__ = ["EFFECT", "Actuator", "Say", "alert_topic", "rule_origin"]

EFFECT: Final = "fieldgate-effect"
"""The user property that bears the effect id of a local message."""

_MAX_LEVELS: Final = 200  # of a topic, as a listener allows them
_MAX_REFUSALS: Final = 1_000  # of which it is known what was said last
_ALL: Final = "all"  # stands in the topic for the one group of a rule with group_by: all
_CALLED_ALL: Final = "%61ll"  # as in a URL: nothing else that is written so is called so
_UNSAFE: Final = re.compile("[%/+#\0]|" + DISCOURAGED)
_MAX_LEVEL_BYTES: Final = 4_096  # of a topic, which has 65,535 at the most: of a longer one a hash stands for the rest
_BEGINNING: Final = 64


class Say(Protocol):
    """Writes a line to the log."""

    def __call__(self, name: str, /, *, level: str, **facts: object) -> None:
        """``name`` is one of `fieldgate.observe.log.NAMES`."""


def rule_origin(rule: str) -> str:
    """Return the origin of the orders of a rule."""
    return f"rule:{rule}"


def alert_topic(gateway: str, rule: str, group: str, key: str) -> str:
    """Return where an alert is retained; what no level of a topic should have is written as in a URL (%2F).

    No two alerts share a topic: a group that is called as the one group of all is written otherwise, and a key that is
    empty is a level without a name [MQTT 4.7.1.1].
    """
    place = _level(group) if group else _ALL
    levels = [_level(gateway), "alerts", _level(rule), _CALLED_ALL if group == _ALL else place]
    if key != group:
        levels.append(_level(key))
    return "/".join(("fieldgate", *levels))


def _level(text: str) -> str:
    """The same text is the same level, and no other text is."""
    level = _UNSAFE.sub(_escaped, text)
    if len(level.encode("utf-8", "surrogatepass")) <= _MAX_LEVEL_BYTES:
        return level
    rest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{_UNSAFE.sub(_escaped, text[:_BEGINNING])}~{rest}"


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


class Actuator:
    """Implements `fieldgate.decide.orders.Hears` for the commands of rules.

    ``counts`` are of this process, by what was done (``commands``, ``publishes``, ``alerts``, ``log_lines``) and what
    was not (``commands_refused``, ``publishes_refused``); ``refused`` counts the latter by rule. ``formerly`` are ids
    that the gateway has had before.
    """

    def __init__(
        self, desk: Desk, broker: LocalBroker, *, gateway: str, say: Say, formerly: Iterable[str] = ()
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._desk = desk
        self._broker = broker
        self._gateway = gateway
        self._known_as = {gateway, *formerly}
        self._say = say
        self._refusals: dict[tuple[str, str, str], str] = {}  # by origin, device and command: what was said last

    def begin(self, rules: Iterable[str], alerts: Iterable[AlertChange]) -> None:
        """Hear what becomes of commands that an earlier process gave, and forget its alerts but ``alerts``."""
        for rule in rules:
            self._desk.join(rule_origin(rule), self)
        lasting = {self._topic_of(one) for one in alerts}
        retained = self._broker.retained
        for gateway in self._known_as:
            for message in retained.search(f"fieldgate/{gateway}/alerts/#")[0]:
                if message.topic not in lasting:
                    retained.put(msgspec.structs.replace(message, payload=b""))

    def carry_out(self, effects: Sequence[Effect], stamp: Stamp) -> None:
        """Do all of it, in order."""
        tell = self._say
        for effect in effects:
            match effect:
                case DeviceCommand():
                    self._command(effect, stamp)
                case LocalPublish():
                    self._publish(effect, stamp.boot_ns / 1e9)
                case AlertChange():
                    self._alert(effect, stamp.boot_ns / 1e9)
                case LogLine():
                    self.counts["log_lines"] += 1
                    tell("rule.said", level=effect.level, rule=effect.rule, group=effect.group, text=effect.text)
                case _:
                    assert_never(effect)

    # -- commands -------------------------------------------------------------------------------------------------

    def _command(self, effect: DeviceCommand, stamp: Stamp) -> None:
        self.counts["commands"] += 1
        order = Order(
            device=effect.device,
            name=effect.name,
            arguments=dict(effect.arguments),
            origin=rule_origin(effect.rule),
            id=effect.id,
            received_boot_ns=stamp.boot_ns,
            received_wall_ns=stamp.wall_ns,
        )
        self._desk.submit(order, self)

    def settled(self, order: Order) -> None:
        """See `Hears`. Nobody is to be acknowledged."""

    def answered(self, order: Order, answer: Answer) -> None:
        """See `Hears`."""
        status, tell = answer.status, self._say
        if not status.is_final:
            return
        self._desk.told(order, answer)
        key = (order.origin, order.device, order.name)
        rule = order.origin.removeprefix("rule:")
        if status is Status.DONE:
            if self._refusals.pop(key, None) is not None:
                tell("rule.command_done_again", level="info", rule=rule, device=order.device, command=order.name)
            return
        self._refused("commands_refused", rule)
        problem = f"{status}: {answer.reason}" if answer.reason else str(status)
        if self._is_news(key, problem):
            facts: dict[str, Any] = {"device": order.device, "command": order.name}
            tell("rule.command_not_done", level="warning", rule=rule, **facts, problem=problem)

    # -- messages -------------------------------------------------------------------------------------------------

    def _publish(self, effect: LocalPublish, now_s: float) -> None:
        topic = effect.topic
        is_valid = valid_topic(topic)
        problem = topic_problem(topic, max_levels=_MAX_LEVELS) if is_valid else f"{topic[:100]!r} is no topic"
        key = (effect.rule, "publish", "")
        if problem:
            self._refused("publishes_refused", effect.rule)
            if self._is_news(key, problem):
                tell = self._say
                tell("rule.publish_refused", level="warning", rule=effect.rule, topic=topic[:100], problem=problem)
            return
        self._refusals.pop(key, None)
        self.counts["publishes"] += 1
        self._broker.publish(
            topic,
            effect.payload,
            qos=effect.qos,
            retain=effect.retain,
            properties=Properties(user=((EFFECT, effect.id),)),
            now_s=now_s,
        )

    def _alert(self, change: AlertChange, now_s: float) -> None:
        self.counts["alerts"] += 1
        topic, is_over = self._topic_of(change), change.state == "resolved"
        publish = self._broker.publish
        publish(topic, msgspec.json.encode(alert_data(change)), qos=1, retain=not is_over, now_s=now_s)
        if is_over:
            publish(topic, b"", qos=1, retain=True, now_s=now_s)

    def _topic_of(self, change: AlertChange) -> str:
        return alert_topic(self._gateway, change.rule, change.group, change.key)

    # -- what does not work -----------------------------------------------------------------------------------------

    def _refused(self, kind: str, rule: str) -> None:
        self.counts[kind] += 1
        self.refused[rule] += 1

    def _is_news(self, key: tuple[str, str, str], problem: str) -> bool:
        """Whether this was not what was said of it last."""
        if self._refusals.get(key) == problem:
            return False
        if len(self._refusals) >= _MAX_REFUSALS:
            self._refusals.clear()
        self._refusals[key] = problem
        return True
