"""What broke the engine once, or nearly did: each of these failed before it was mended."""

from __future__ import annotations

import msgspec
import pytest

from fieldgate_devices.event import Address, Event
from fieldgate_rules.engine import EngineLimits, turn
from fieldgate_rules.engine.stages.absence import Absent
from fieldgate_rules.engine.timers import Timers
from rule_engine_kit import World, rules_of

PUMP = "{command: {device: pump, s: {a: 1}}}"


def commands(world: World) -> list[tuple[float, str]]:
    return [(at_s, effect.id) for at_s, kind, effect in world.done if kind == "DeviceCommand"]


# -- nothing without end ----------------------------------------------------------------------------------------------


def test_rules_that_multiply_each_other_end_after_a_thousand() -> None:
    """Row 75: the limit of hops alone lets ten rules on each other make 10^8 events of one."""
    emits = ", ".join("{emit: {type: again, fields: {n: 1}}}" for _ in range(10))
    world = World(f"rules: [{{id: a, on: [{{profile: boiler}}, {{profile: again}}], do: [{emits}]}}]")

    world.say({"temperature": 20.0})

    assert len(world.made("again")) <= 10 * (turn.MAX_FOLLOWING + 10 + 1)
    assert "followed from one" in world.engine.errors["a"]


def test_rules_on_each_others_firing_that_multiply_end_too() -> None:
    """Eight rules, each on all of the others."""
    ids = "abcdefgh"
    rules = "\n".join(
        f"  - {{id: {one}, on: [{{profile: boiler}}, {{rule: [{', '.join(set(ids) - {one})}]}}], do: [{{log: x}}]}}"
        for one in ids
    )
    world = World(f"rules:\n{rules}\n")

    world.say({"temperature": 20.0})

    assert len(world.done) <= len(ids) * (turn.MAX_FOLLOWING + 1)
    assert world.engine.errors


def test_what_is_put_off_a_thousand_times_is_in_the_timers_once() -> None:
    """An `absent` of a day at 10 Hz would have a million entries."""
    world = World("rules: [{id: r, on: {profile: boiler}, absent: 1h, do: [{log: x}]}]")

    for number in range(2_000):
        world.say({"temperature": 20.0}, at_s=number / 100)
    world.to(20 + 3_600)

    assert world.times() == [19.99 + 3_600]
    assert len(world.engine._memory.timers) == 0


def test_a_timer_that_comes_earlier_than_before_is_not_missed() -> None:
    """Moved ahead, put off and cancelled: what counts is when it is due."""
    timers, one = Timers(), Absent(5.0)
    for due_s in (10.0, 4.0, 7.0):
        one.due_s = due_s
        timers.begin(one, "owner")

    assert timers.pop(6.9) is None
    assert timers.pop(7.0) == (7.0, one, "owner")
    assert timers.due_s is None


# -- the order of time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "late"),
    [
        ("when: temperature > 80, for: 10s", {"temperature": 20.0}),
        ("absent: 10s", {"temperature": 20.0}),
    ],
)
def test_what_was_due_before_an_event_came_is_not_changed_by_it(keys: str, late: dict[str, float]) -> None:
    """The loop may be busy for a moment: the event of after the timer must not cancel it."""
    world = World(f"rules: [{{id: r, on: {{profile: boiler}}, {keys}, do: [{{log: x}}]}}]")
    world.say({"temperature": 90.0}, at_s=0)
    world.at_ns = 11 * 10**9

    world.say(late)

    assert world.times() == [11]


# -- ids --------------------------------------------------------------------------------------------------------------


def test_a_rule_that_hears_of_two_others_in_one_turn_has_two_effect_ids() -> None:
    """One id is carried out once: the second command would be lost."""
    world = World(f"""
rules:
  - {{id: a, on: {{profile: boiler}}, do: [{{set: {{x: 1}}}}, {{log: a}}]}}
  - {{id: b, on: {{profile: boiler}}, do: [{{log: b}}]}}
  - {{id: c, on: {{rule: [a, b]}}, do: [{PUMP}]}}
""")

    world.say({"temperature": 20.0})

    assert len({id_ for _, id_ in commands(world)}) == 2


def test_two_devices_that_are_silent_at_once_are_two_causes() -> None:
    """Also for a rule that has one state for all."""
    world = World(f"rules: [{{id: r, on: {{gateway: silent}}, group_by: all, do: [{PUMP}]}}]")

    world.notice("silent", "b1")
    world.notice("silent", "b2")

    assert len({id_ for _, id_ in commands(world)}) == 2


# -- nobody switches a pump on yesterday's data -----------------------------------------------------------------------

FOLLOWING = {
    "on its firing": "  - {id: a, on: {profile: boiler}, do: [{log: a}]}\n  - {id: b, on: {rule: a}, do: [PUMP]}\n",
    "on what it emits": (
        "  - {id: a, on: {profile: boiler}, do: [{emit: {type: e, fields: {n: 1}}}]}\n"
        "  - {id: b, on: {profile: e}, do: [PUMP]}\n"
    ),
    "a timer": "  - {id: b, on: {profile: boiler}, when: temperature > 80, for: 5s, do: [PUMP]}\n",
}


@pytest.mark.parametrize("way", FOLLOWING)
def test_what_follows_from_an_old_or_replayed_event_is_as_old_as_that(way: str) -> None:
    """Not only the rule that is asked about the event itself."""
    text = "rules:\n" + FOLLOWING[way].replace("PUMP", PUMP)
    old, replayed, fresh = World(text), World(text), World(text)
    old.say({"temperature": 90.0}, at_s=1_000, made_at_s=900)
    replayed.say({"temperature": 90.0}, at_s=1_000, is_replayed=True)
    fresh.say({"temperature": 90.0}, at_s=1_000, made_at_s=990)
    for world in (old, replayed, fresh):
        world.to(1_010)

    assert [len(commands(world)) for world in (old, replayed, fresh)] == [0, 0, 1]


# -- alerts -----------------------------------------------------------------------------------------------------------

LINES = """
rules:
  - id: hot
    on: {profile: boiler}
    fires: each
    when: temperature > 80
    do: [{alert: {key: "{state}", text: "{temperature}", resolved: "{device} at {temperature}"}}]
"""


def alerts(world: World) -> list[tuple[float, str, str, str]]:
    return [(at_s, one.state, one.key, one.text) for at_s, kind, one in world.done if kind == "AlertChange"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_last_text_of_an_alert_comes_though_nothing_more_happens(*, is_restarted: bool) -> None:
    """Once a second at most, each key for itself; also over a restart."""
    world = World(LINES)
    for number, (value, state) in enumerate([(81, "idle"), (82, "idle"), (83, "heating"), (84, "idle")]):
        world.say({"temperature": float(value), "state": state}, at_s=number / 10)
    if is_restarted:
        world.done.clear()
        world.restart()
    world.to(10)
    world.say({"temperature": 20.0}, at_s=11)

    assert [one for one in alerts(world) if one[1] != "raised"] == [
        (pytest.approx(1.0), "updated", "idle", "84"),
        (11, "resolved", "idle", "b1 at 20"),
        (11, "resolved", "heating", "b1 at 20"),
    ]


def test_an_updated_alert_is_what_a_restart_says_again() -> None:
    """Its row is written with each change of its text, not only when it is raised."""
    world = World(LINES)
    world.say({"temperature": 81.0, "state": "idle"}, at_s=0)
    world.engine.changes(is_all=False)

    world.say({"temperature": 85.0, "state": "idle"}, at_s=5)

    assert world.engine.urgent == 1


def test_alerts_of_rules_that_changed_while_the_gateway_was_off_end_at_the_start() -> None:
    """Upstream they would last for ever."""
    world = World(LINES)
    world.say({"temperature": 85.0, "state": "idle"}, at_s=0)
    for text, reason in [
        (LINES.replace("> 80", "> 70"), "the rule has changed"),
        (LINES.replace("fires: each", "enabled: false"), "the rule is disabled"),
        ("rules: []", "the rule is gone"),
    ]:
        other = World(world.rules)
        other.say({"temperature": 85.0, "state": "idle"}, at_s=0)
        other.rules = rules_of(text)
        other.restart()

        (*_, last) = [one for _, kind, one in other.done if kind == "AlertChange"]
        assert (last.state, last.reason) == ("resolved", reason)
        assert other.made("alert")[-1]["state"] == "resolved"


def test_a_state_that_has_to_go_ends_its_alert() -> None:
    """Nobody would end it any more."""
    world = World(LINES, limits=EngineLimits(max_states=2))

    for number in range(3):
        world.say({"temperature": 85.0, "state": "idle"}, device=f"b{number}", at_s=number)

    ended = [one for _, kind, one in world.done if kind == "AlertChange" and one.state == "resolved"]
    assert [(one.group, one.reason) for one in ended] == [("b0", "too many states")]


def test_a_rule_in_shadow_mode_says_nothing_at_a_start_or_a_reload_either() -> None:
    """Its alerts are nobody's."""
    world = World(LINES.replace("fires: each", "mode: shadow\n    fires: each"))
    world.say({"temperature": 85.0, "state": "idle"}, at_s=0)
    world.restart()
    world._note(world.engine.resolve("hot", None, world.stamp))
    world._note(world.engine.use(rules_of("rules: []"), world.stamp))

    assert world.done == []


def test_an_alert_that_only_a_person_ends_stays() -> None:
    """`resolve: false`."""
    world = World(LINES.replace("alert: {key", "alert: {resolve: false, key"))
    world.say({"temperature": 85.0, "state": "idle"}, at_s=0)
    world.say({"temperature": 20.0, "state": "idle"}, at_s=2)
    before = [one[1] for one in alerts(world)]
    world._note(world.engine.resolve("hot", "idle", world.stamp))

    assert (before, [one[1] for one in alerts(world)]) == (["raised"], ["raised", "resolved"])


# -- values that nobody expects ---------------------------------------------------------------------------------------

HUGE = 10**400
EVERYTHING = """
rules:
  - {id: rate, on: {profile: boiler}, rate: {of: temperature, per: 1m, within: 60s, above: 5}, do: [{log: rate}]}
  - {id: by, on: {profile: boiler}, changed: temperature, by: 1, do: [{log: by}]}
  - {id: changed, on: {profile: boiler}, changed: [temperature], do: [{log: changed}]}
  - {id: grouped, on: {profile: boiler}, group_by: count, for: 0s, do: [{log: grouped}]}
  - {id: window, on: {profile: boiler}, window: {size: 1m, values: {a: {avg: temperature}, l: {last: count}}}}
  - {id: set, on: {profile: boiler}, when: temperature > 0, do: [{set: {flow: "{count * 1e12}"}}]}
"""


def test_numbers_of_any_size_poison_nothing() -> None:
    """JSON has integers without an end; a value that is no number of ours is unknown, and forgotten."""
    world = World(EVERYTHING)
    world.say({"temperature": HUGE, "count": HUGE}, at_s=1)
    for second in range(2, 130, 10):
        world.say({"temperature": second * 1.0, "count": 2**70}, at_s=second)
    world.restart()
    world.to(200)

    assert world.engine.errors == {}
    assert {effect.text for _, kind, effect in world.done if kind == "LogLine"} >= {"rate", "by", "changed"}


@pytest.mark.parametrize("group", ["\x00schedules", "x" * 10_000])
def test_a_value_that_is_no_name_of_a_group_is_in_none(group: str) -> None:
    """Devices choose it: it must neither fill the memory nor stand in the way of a restart."""
    world = World(
        "rules: [{id: r, on: {profile: boiler}, group_by: message, when: flow > 1, for: 10s, do: [{log: x}]}]"
    )
    world.say({"message": group, "flow": 2.0})
    world.restart()

    assert list(world.engine.slots("r")) == []
    assert world.engine.errors == {}


def test_bytes_that_a_rule_wants_to_set_something_in_stay_what_they_are() -> None:
    """There is nothing to set it in; the payload must not be lost for it."""
    world = World('rules: [{id: r, on: {device: "x*"}, do: [{set: {a: 1}}, {lane: high}]}]')
    event = Event(Address("x1", "generic", "x1"), world.stamp, b"\xff\x00", False, 0)

    decided = world.engine.feed([event], world.stamp)

    assert decided is not None
    (after,) = decided.events
    assert (after.data, after.is_json, after.lane) == (b"\xff\x00", False, 0)


def test_a_row_that_cannot_be_read_costs_one_state() -> None:
    """Of another version, or of a disk that lies."""
    world = World("rules: [{id: r, on: {profile: boiler}, when: flow > 1, for: 10s, do: [{log: x}]}]")
    for device in ("b1", "b2"):
        world.say({"flow": 2.0}, device=device, at_s=0)
    rows = {key: row for key, row in world.engine.everything().items() if row is not None}
    row = msgspec.msgpack.decode(rows["r", "b1", "state"])
    row[2] = {"holds": 3, "stages": {"for": [1]}}
    rows["r", "b1", "state"] = msgspec.msgpack.encode(row)
    world.engine = world._new()

    world.engine.restore(rows, was_stopped=True)
    world.engine.start(world.stamp)

    assert [slot.group for slot in world.engine.slots("r")] == ["b2"]
