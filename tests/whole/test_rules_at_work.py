"""Rules in a running gateway, from outside: alerts, commands, what becomes of events, hot reload, the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiomqtt

from command_gateway import Boiler
from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, Upstream, eventually, running
from listener_kit import RawClient
from ports import free_port
from rule_gateway import HOT, hear, rule_gateway, say, stored, write_rules


def to(port: int) -> dict[str, Any]:
    return {"mqtt": {"url": f"mqtt://127.0.0.1:{port}"}}


async def fieldgate(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldgate", *words, "-c", str(gateway.config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def rules_of(gateway: Gateway) -> dict[str, Any]:
    status = await gateway.status()
    return dict(status["rules"])


# -- alerts -----------------------------------------------------------------------------------------------------------


async def test_an_alert_goes_upstream_and_is_retained_until_it_is_over(tmp_path: Path) -> None:
    """The platform gets it with the event that raised it, a display in the hall shows it while it lasts."""
    async with Broker() as broker, running(rule_gateway(tmp_path, uplinks={"up": to(broker.port)})) as gateway:
        upstream = Upstream(broker.port)
        upstream.start()
        try:
            await say(gateway, "b1", temperature=91.25)
            await eventually("the alert is upstream", lambda: len(upstream.arrived) == 2)
            async with hear(gateway, "fieldgate/g/alerts/#") as display:
                await eventually("it is retained", lambda: len(display) == 1)
                await say(gateway, "b1", temperature=77)
                await say(gateway, "b1", temperature=60)
                await eventually("its end is told", lambda: len(display) == 3)
            await eventually("its end is upstream", lambda: len(upstream.arrived) == 5)
            status = await gateway.status()
        finally:
            upstream.close()

        raised, over, removal = display
        assert raised.retain
        assert str(raised.topic) == "fieldgate/g/alerts/hot/b1"
        assert json.loads(bytes(raised.payload))["text"] == "b1 is at 91.2 °C"
        assert json.loads(bytes(over.payload))["state"] == "resolved"
        assert removal.payload == b""
        assert status["local_delivery"]["retained"] == 0
        by_id = {one["id"]: one for one in upstream.arrived}
        alerts = [one for one in upstream.arrived if one["type"] == "fieldgate.alert"]
        assert [one["data"]["state"] for one in alerts] == ["raised", "resolved"]
        causes = [by_id[one["cause"]] for one in alerts]
        assert [one["data"]["temperature"] for one in causes] == [91.25, 60]


BY_HAND = HOT.replace("text:", "resolve: false, text:")


async def test_an_alert_lasts_over_a_restart_and_can_be_resolved_by_hand(tmp_path: Path) -> None:
    """Somebody must have looked at it: a restart is no end, `fieldgate rules resolve` is."""
    gateway = rule_gateway(tmp_path, BY_HAND)
    async with running(gateway):
        await say(gateway, "b1", temperature=90)
        await eventually("it is raised", lambda: _has_alerts(gateway, 1))
        await say(gateway, "b1", temperature=20)
        assert await gateway.stop() == 0
        await gateway.start()

        status = await fieldgate(gateway, "rules", "status")
        resolved = await fieldgate(gateway, "rules", "resolve", "hot", "--key", "b1")
        left = await rules_of(gateway)

    assert status[0] == 0
    assert "CRITICAL b1: b1 is at 90.0 °C" in status[1]
    assert (resolved, left["alerts"]) == ((0, "1 alert resolved\n", ""), 0)


async def test_what_was_resolved_by_hand_is_raised_when_it_is_so_again(tmp_path: Path) -> None:
    """Its end by hand is told as any other, and is no end of the rule."""
    async with running(rule_gateway(tmp_path, BY_HAND)) as gateway:
        await say(gateway, "b1", temperature=90)
        await eventually("it is raised", lambda: _has_alerts(gateway, 1))
        await say(gateway, "b1", temperature=20)

        assert (await fieldgate(gateway, "rules", "resolve", "hot"))[:2] == (0, "1 alert resolved\n")
        await say(gateway, "b1", temperature=91)

        await eventually("its end is told", lambda: _states_are(gateway, ["raised", "resolved", "raised"]))


async def test_an_alert_that_is_not_there_is_not_resolved(tmp_path: Path) -> None:
    """A slip of the pen ends with 1 and ends no other alert."""
    async with running(rule_gateway(tmp_path, BY_HAND)) as gateway:
        await say(gateway, "b1", temperature=90)
        await eventually("it is raised", lambda: _has_alerts(gateway, 1))

        wrong_key = await fieldgate(gateway, "rules", "resolve", "hot", "--key", "b9")
        wrong_rule = await fieldgate(gateway, "rules", "resolve", "hat")
        left = await rules_of(gateway)

    assert (wrong_key[0], wrong_rule[0]) == (1, 1)
    assert "there is no rule 'hat'" in wrong_rule[2]
    assert left["alerts"] == 1


async def test_a_reload_that_changes_nothing_ends_nothing_and_is_told_nobody(tmp_path: Path) -> None:
    """`fieldgate rules reload` may stand in a script that runs every hour."""
    async with running(rule_gateway(tmp_path, BY_HAND)) as gateway:
        await say(gateway, "b1", temperature=90)
        await eventually("it is raised", lambda: _has_alerts(gateway, 1))

        assert await fieldgate(gateway, "rules", "reload") == (0, "1 rule in force\n", "")
        await say(gateway, "b2", temperature=91)
        await eventually("the rule goes on", lambda: _has_alerts(gateway, 2))
        told = await stored(gateway, "rules")

    assert told == []


async def _has_alerts(gateway: Gateway, count: int) -> bool:
    return int((await rules_of(gateway))["alerts"]) == count


SILENCE = """
rules:
  - id: silence
    on: {device: b1}
    absent: 1s
    do:
      - alert: {severity: warning, text: "{device} says nothing"}
"""


async def test_a_timer_raises_an_alert_without_any_event(tmp_path: Path) -> None:
    """A device that died says nothing: the alarm comes of time, and nobody waits for it to be safe."""
    async with running(rule_gateway(tmp_path, SILENCE)) as gateway:
        (raised,) = await eventually("it is raised", lambda: stored(gateway, "alert"))
        await say(gateway, "b1", temperature=20)
        await eventually("it is over", lambda: _states_are(gateway, ["raised", "resolved"]))

        assert (raised["device"], raised["lane"], "cause" in raised) == ("b1", "high", False)


async def _states_are(gateway: Gateway, states: list[str]) -> bool:
    return [one["data"]["state"] for one in await stored(gateway, "alert")][: len(states)] == states


# -- commands and messages --------------------------------------------------------------------------------------------

PUMP = """
rules:
  - id: cool
    on: {profile: boiler, device: sensor}
    when: temperature > 80
    fires: each
    do:
      - command: {device: b0, set: {n: "{n}"}}
      - publish: {topic: "house/{device}", payload: {hot: true, at: "{temperature}"}}
      - log: {level: warning, text: "{device} is hot"}
"""


async def test_a_rule_switches_a_device_while_the_uplink_is_down(tmp_path: Path) -> None:
    """The pump runs because it is hot here, not because a cloud says so."""
    gateway = rule_gateway(tmp_path, PUMP, uplinks={"up": to(free_port())})
    async with running(gateway):
        boiler = Boiler(gateway, "b0")
        await boiler.connect()
        serving = asyncio.create_task(boiler.serve())
        async with hear(gateway, "house/#") as house:
            await say(gateway, "sensor", temperature=85, n=7)
            await eventually("the device has it", lambda: boiler.executed == {7: 1})
            await eventually("it is said in the house", lambda: len(house) == 1)
        serving.cancel()
        await RawClient.close_all()

        assert json.loads(bytes(house[0].payload)) == {"hot": True, "at": 85}
        (command,) = await eventually("it is on record", lambda: stored(gateway, "command"))
        assert (command["data"]["origin"], command["data"]["status"]) == ("rule:cool", "done")
        assert command["data"]["id"].startswith("cool/sensor/")
        assert "sensor is hot" in gateway.log_text()
        assert not [one for one in await stored(gateway) if one["topic"].startswith("house/")], (
            "never an event of itself"
        )
        assert (await rules_of(gateway))["done"] == {"commands": 1, "publishes": 1, "log_lines": 1}


async def test_a_command_that_is_refused_is_counted_and_said_once(tmp_path: Path) -> None:
    async with running(rule_gateway(tmp_path, PUMP)) as gateway:
        for number in range(3):
            await say(gateway, "sensor", temperature=85, n=number)
        await eventually("all are refused", lambda: _has_refused(gateway, 3))

        assert gateway.log_text().count("rule.command_not_done") == 1
        _, out, _ = await fieldgate(gateway, "status")
        assert "rules    1 in force   fired 3 times" in out
        assert "not done: commands refused 3" in out


async def _has_refused(gateway: Gateway, count: int) -> bool:
    return (await rules_of(gateway))["done"].get("commands_refused") == count


# -- what becomes of events -------------------------------------------------------------------------------------------

SHAPES = """
rules:
  - {id: noise, on: {profile: boiler}, when: "temperature < 0", do: [{drop: true}]}
  - {id: fahrenheit, on: {profile: boiler}, do: [{set: {fahrenheit: "{temperature * 1.8 + 32}"}}]}
  - {id: urgent, on: {profile: boiler}, when: "temperature > 80", do: [{lane: high}, {route: [a]}]}
  - {id: copy, on: {profile: boiler}, when: "temperature < 0", do: [{emit: {type: cold, fields: {n: "{n}"}}}]}
"""


async def test_events_are_altered_dropped_and_routed_and_all_are_acknowledged(tmp_path: Path) -> None:
    """Each PUBACK comes, also of what rules leave nothing of; the registry knows each device as it spoke."""
    async with Broker() as one, Broker() as other:
        gateway = rule_gateway(tmp_path, SHAPES, uplinks={"a": to(one.port), "b": to(other.port)})
        a, b = Upstream(one.port), Upstream(other.port)
        a.start()
        b.start()
        try:
            async with running(gateway):
                for number, temperature in enumerate((20, -5, 90)):
                    await say(gateway, "b1", temperature=temperature, n=number)
                await gateway.drained()
                await eventually("both have theirs", lambda: (len(a.arrived), len(b.arrived)) == (3, 2))
                status = await gateway.status()
        finally:
            a.close()
            b.close()

    said = [(one["type"].removeprefix("fieldgate."), one["data"]) for one in b.arrived]
    assert said == [("boiler", {"temperature": 20, "n": 0, "fahrenheit": 68}), ("cold", {"n": 1})]
    assert "cause" not in b.arrived[1], "it was dropped and has no number"
    (urgent,) = [one for one in a.arrived if one["data"].get("n") == 2]
    assert urgent["data"]["fahrenheit"] == 194
    assert status["events_in"] == 3


async def _are_known(gateway: Gateway, devices: int) -> bool:
    return int((await gateway.status())["devices"]["known"]) == devices


KILN = """
rules:
  - id: kiln
    on: {device: k1}
    when: temperature > 80
    do:
      - alert: {severity: warning, text: "{device} was hot"}
      - command: {device: b0, set: {n: 1}}
      - publish: {topic: house/hot}
"""


async def test_what_is_replayed_raises_alerts_and_switches_nothing(tmp_path: Path) -> None:
    """A message of yesterday that was understood only today is news for people, and none for a pump."""
    gateway = rule_gateway(tmp_path, KILN)
    gateway.settings["devices"]["unknown"] = "quarantine"
    async with running(gateway):
        async with aiomqtt.Client("127.0.0.1", gateway.port) as client:
            await client.publish("kiln/k1", b'{"temperature": 95}', qos=1)
        profile = 'profile: kiln\nmatch: {mqtt: "kiln/{device}"}\nfields: {temperature: {type: float}}\n'
        (tmp_path / "devices.d" / "kiln.yaml").write_text(profile)
        await eventually("the profile is there", lambda: "profiles.loaded" in gateway.log_text())
        async with hear(gateway, "house/#") as house:
            code, _, err = await fieldgate(gateway, "dead-letters", "replay", "--all")
            assert code == 0, err
            await eventually("it is raised", lambda: _are_stored(gateway, "alert", 1))

        rules = await rules_of(gateway)
        assert rules["fired"] == 1
        assert rules["done"] == {"alerts": 1}
        assert house == []


# -- hot reload -------------------------------------------------------------------------------------------------------


async def test_rules_are_changed_while_the_gateway_runs_all_or_nothing(tmp_path: Path) -> None:
    """Row 78 of FAULTS.md: the old rules go on, and there is one alarm."""
    async with running(rule_gateway(tmp_path)) as gateway:
        await say(gateway, "b1", temperature=90)
        write_rules(tmp_path, HOT.replace("hot", "warm").replace("> 80", "> hitze"), "more.yaml")
        await eventually("it is refused", lambda: _is_said(gateway, "refused", 1))
        refused = (await stored(gateway, "rules"))[0]
        await say(gateway, "b2", temperature=90)
        _, shown, _ = await fieldgate(gateway, "status")
        _, _, noted = await fieldgate(gateway, "rules", "status")
        assert (await fieldgate(gateway, "rules", "reload"))[0] == 1

        write_rules(tmp_path, HOT.replace("hot", "warm").replace("80", "85"), "more.yaml")
        await eventually("mended, both are in force", lambda: _in_force(gateway, 2))
        (tmp_path / "rules.d" / "boiler.yaml").unlink()
        await eventually("the other one is gone", lambda: _in_force(gateway, 1))
        await eventually("both changes are told", lambda: _is_said(gateway, "loaded", 2))
        await eventually("its alerts are over", lambda: _are_stored(gateway, "alert", 4))

        assert refused["lane"] == "high"
        assert refused["data"]["problems"][0].startswith(f"{tmp_path}/rules.d/more.yaml:5:")
        assert f"PROBLEM  {tmp_path}/rules.d has changed and is not in use as it is" in shown
        assert noted.startswith(f"what the folder holds is not, or not all, in force: {tmp_path}/rules.d/more.yaml:5:")
        said = [(one["data"]["outcome"], one["data"]["changed"]) for one in await stored(gateway, "rules")]
        assert said == [("refused", []), ("loaded", ["warm"]), ("loaded", ["hot"])]
        states = [(one["device"], one["data"]["state"]) for one in await stored(gateway, "alert")]
        assert states[:2] == [("b1", "raised"), ("b2", "raised")]
        assert sorted(states[2:]) == [("b1", "resolved"), ("b2", "resolved")], "a rule that is gone holds no alert"
        assert gateway.log_text().count("event=rules.refused") == 1


async def _is_said(gateway: Gateway, outcome: str, count: int) -> bool:
    return [one["data"]["outcome"] for one in await stored(gateway, "rules")].count(outcome) == count


async def _are_stored(gateway: Gateway, kind: str, count: int) -> bool:
    return len(await stored(gateway, kind)) == count


async def _in_force(gateway: Gateway, count: int) -> bool:
    rules = await rules_of(gateway)
    return int(rules["count"]) == count and not rules["problems"]


async def test_an_edit_of_one_rule_leaves_the_alerts_of_others_alone(tmp_path: Path) -> None:
    """Home Assistant's automations lose their timers with any edit; these do not."""
    both = HOT + HOT.replace("rules:\n", "").replace("id: hot", "id: warm")
    async with running(rule_gateway(tmp_path, both)) as gateway:
        await say(gateway, "b1", temperature=90)
        await eventually("both hold", lambda: _has_alerts(gateway, 2))

        write_rules(tmp_path, both.replace("id: warm", "id: warm\n    throttle: 1h"))
        await eventually("it is read", lambda: _is_said(gateway, "loaded", 1))

        states = [(one["data"]["rule"], one["data"]["state"]) for one in await stored(gateway, "alert")]
        assert ("hot", "resolved") not in states


async def test_a_rule_that_is_wrong_at_the_start_stops_nobody(tmp_path: Path) -> None:
    """P7: devices are heard, valid rules work, and the mistake is named with its place."""
    gateway = rule_gateway(tmp_path)
    write_rules(tmp_path, HOT.replace("id: hot", "id: bad").replace("temperature >", "temprature >"), "bad.yaml")
    async with running(gateway):
        await say(gateway, "b1", temperature=90)

        rules = await rules_of(gateway)
        assert rules["count"] == 1
        assert rules["problems"][0].startswith(f"{tmp_path}/rules.d/bad.yaml:5:")
        assert [one["data"]["rule"] for one in await stored(gateway, "alert")] == ["hot"]
        await eventually("it is told upstream", lambda: _is_said(gateway, "refused", 1))


async def test_a_profile_that_takes_a_field_away_does_not_take_the_rules_down(tmp_path: Path) -> None:
    """The rules are read again with the profiles: what they do not fit any more is an alarm, and the old ones go on."""
    async with running(rule_gateway(tmp_path)) as gateway:
        profile = tmp_path / "devices.d" / "boiler.yaml"
        profile.write_text(profile.read_text().replace("temperature:", "heat:"))
        await eventually("it is refused", lambda: _is_said(gateway, "refused", 1))

        assert (await rules_of(gateway))["count"] == 1


# -- the gateway itself -----------------------------------------------------------------------------------------------

UPLINK = """
rules:
  - id: offline
    on: {gateway: [uplink_down, uplink_up]}
    group_by: uplink
    when: kind == "uplink_down"
    do:
      - alert: {severity: warning, text: "{uplink}: {reason}"}
"""


async def test_an_uplink_that_is_down_is_an_alert_until_it_is_up(tmp_path: Path) -> None:
    port = free_port()
    async with running(rule_gateway(tmp_path, UPLINK, uplinks={"cloud": to(port)})) as gateway:
        await eventually("it is raised", lambda: _has_alerts(gateway, 1))
        async with Broker(port=port):
            await eventually("it is over", lambda: _has_alerts(gateway, 0))
