"""A gateway that is given another id: what rules remember of it under the old one is over."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate_rules.effects import AlertChange
from fieldgate_rules.engine import Engine
from rule_engine_kit import World

RULES = """
rules:
  - id: away
    on: {gateway: [uplink_down, uplink_up]}
    when: kind == "uplink_down"
    do: [{alert: {text: "{device}: {uplink} is away"}}]
  - id: each
    on: {gateway: [uplink_down, uplink_up]}
    group_by: uplink
    when: kind == "uplink_down"
    do: [{alert: {text: "{device}: {uplink} is away"}}]
  - {id: hot, on: {device: gw}, when: hot, do: [{alert: {text: "{device} is hot"}}]}
"""


class Renamed(World):
    """A gateway that is called gw until `rename`."""

    def rename(self, name: str, formerly: Sequence[str]) -> list[tuple[str, str, str, str]]:
        """Start under another id; return what is said of alerts then."""
        self.engine.stop(self.stamp)
        rows = {key: row for key, row in self.engine.everything().items() if row is not None}
        self.engine = Engine(self.rules, gateway=name, stamp=self.stamp, os_boot=self.os_boot, limits=self.limits)
        self.engine.restore(rows, was_stopped=True, formerly=formerly)
        self.done.clear()
        self._note(self.engine.start(self.stamp))
        return [(one.rule, one.state, one.key, one.reason) for _, _, one in self.done if isinstance(one, AlertChange)]


def world() -> Renamed:
    """Its uplink is down, and a device that is called like it is hot."""
    made = Renamed(RULES)
    made.notice("uplink_down", uplink="cloud", reason="gone")
    made.say({"hot": True}, device="gw", type_="generic")
    assert made.engine.alert_count() == 3
    return made


def test_alerts_about_a_gateway_of_another_id_end_and_those_of_devices_last() -> None:
    """Nobody would end them: nothing happens to a gateway of that id any more."""
    one = world()

    said = one.rename("plant-7", ["gw", "plant-7"])

    over = "the gateway has another id"
    assert said == [("hot", "raised", "gw", ""), ("away", "resolved", "gw", over), ("each", "resolved", "gw", over)]
    assert [(data["rule"], data["state"]) for data in one.made("alert")] == [("away", "resolved"), ("each", "resolved")]
    assert {key for key, row in one.engine.changes(is_all=True).items() if row is None} >= {
        ("away", "gw", "state"),
        ("each", "cloud", "state"),
    }


def test_what_is_still_so_is_raised_under_the_new_id() -> None:
    """The first look after a start tells how things are: nothing may take it for what is known."""
    one = world()
    one.rename("plant-7", ["gw", "plant-7"])
    one.done.clear()

    one.notice("uplink_down", device="plant-7", uplink="cloud", reason="gone")

    assert [(data["rule"], data["key"], data["state"]) for data in one.made("alert")] == [
        ("away", "plant-7", "raised"),
        ("each", "plant-7", "raised"),
    ]


def test_a_gateway_that_keeps_its_id_keeps_its_alerts() -> None:
    """The control: the present id is among those that it has had."""
    assert world().rename("gw", ["gw", "older"]) == [
        ("away", "raised", "gw", ""),
        ("each", "raised", "gw", ""),
        ("hot", "raised", "gw", ""),
    ]
