"""Rules on what comes by HTTP, from serial ports and from Modbus units, and their commands back to these."""

from __future__ import annotations

from pathlib import Path

from gateway_kit import eventually
from ruled_site import Site, ruled_site

ALERTS = """
rules:
  - id: storm
    on: {profile: station}
    when: wind > 20
    until: wind < 15
    do: [{alert: {severity: critical, text: "{wind:.0f} m/s at {device}"}}]
  - id: heavy
    on: {profile: my_scale}
    when: weight > 10 and state == "ST"
    for: 500ms
    until: weight < 5
    do: [{alert: {text: "{device} bears {weight:.1f} kg"}}]
  - id: flowing
    on: {device: pump-1}
    when: flow > 5
    for: 500ms
    do: [{alert: {text: "{device} gives {flow:.1f} L/min"}}]
"""


async def test_an_alert_comes_of_http_of_a_port_and_of_registers(tmp_path: Path) -> None:
    """What a rule says of a device does not depend on the wire by which it speaks."""
    async with ruled_site(tmp_path, ALERTS) as site:
        assert await site.posts("mast", wind=25) == 204
        site.weighs(12.5)
        site.unit.set("flow", 9.5)
        for rule in ("storm", "heavy", "flowing"):
            await site.comes("alert", rule=rule, state="raised")
        assert await site.posts("mast", wind=3) == 204
        site.weighs(1)
        site.unit.set("flow", 0.0)
        over = [await site.comes("alert", rule=rule, state="resolved") for rule in ("storm", "heavy", "flowing")]
        raised = await site.events("alert", state="raised")

    assert {one["data"]["text"] for one in raised} == {
        "25 m/s at mast",
        "scale bears 12.5 kg",
        "pump-1 gives 9.5 L/min",
    }
    assert [len(one) for one in over] == [1, 1, 1]
    assert [one["device"] for (one,) in over] == ["mast", "scale", "pump-1"]


COMMANDS = """
rules:
  - id: tare
    on: {profile: station}
    when: rain
    do: [{command: {device: scale, tare: {}}}]
  - id: show
    on: {device: pump-1}
    when: flow > 5
    do: [{command: {device: scale, show: {text: "{flow:.1f}"}}}]
  - id: limit
    on: {device: scale}
    when: weight > 10
    do: [{command: {device: pump-1, set_limit: {limit: 3}}}]
  - id: start
    on: {device: scale}
    when: weight < 1
    do: [{command: {device: pump-1, start: {}}}]
"""


async def test_what_one_way_says_is_a_command_on_another(tmp_path: Path) -> None:
    """The station's rain tares the scale, the scale limits the pump, the pump writes on the scale's display."""
    async with ruled_site(tmp_path, COMMANDS) as site:
        assert await site.posts("mast", wind=1, rain=True) == 204
        await site.is_told(b"T\r\n")
        site.unit.set("flow", 7.2)
        await site.is_told(b"D7.2\r\n")
        site.weighs(12)
        await eventually("the limit is written", lambda: site.unit.get("limit") == 3)
        site.weighs(0.5)
        await eventually("it runs", lambda: site.unit.get("is_on") is True)
        done = [(await site.comes("command", origin=f"rule:{one}", status="done"))[0] for one in ("tare", "limit")]

    assert [one["device"] for one in done] == ["scale", "pump-1"]


AWAY = """
rules:
  - id: missed
    on: {device: [scale, pump-1]}
    absent: 2s
    do: [{alert: {text: "nothing of {device}"}}]
  - id: limit
    on: {profile: station}
    when: wind > 20
    fires: each
    do:
      - command: {device: pump-1, set_limit: {limit: 3}}
      - command: {device: scale, tare: {}}
"""


async def test_what_was_pulled_out_is_missed_and_a_command_to_it_is_refused(tmp_path: Path) -> None:
    """A cable is pulled and a bus is dead: rules on silence tell, commands say why not, and both come back alone."""
    async with ruled_site(tmp_path, AWAY) as site:
        site.weighs(1)
        site.scale.unplug()
        site.unit.faults.is_silent = True
        for device in ("scale", "pump-1"):
            await site.comes("alert", rule="missed", state="raised", key=device)
        assert await site.posts("mast", wind=25) == 204
        refused = [*await site.comes("command", name="tare"), *await site.comes("command", name="set_limit")]
        site.unit.faults.is_silent = False
        site.scale.plug()
        site.weighs(1)
        for device in ("scale", "pump-1"):
            await site.comes("alert", rule="missed", state="resolved", key=device)
        assert await site.posts("mast", wind=25) == 204
        await site.is_told(b"T\r\n")
        await eventually("the limit is written", lambda: site.unit.get("limit") == 3)

    reasons = {one["device"]: (one["data"]["status"], one["data"]["reason"]) for one in refused}
    assert reasons == {
        "scale": ("refused", "the port of source 'scale' is not open"),
        "pump-1": ("timeout", "no answer within 0.5 s"),
    }
    assert site.gateway.log_text().count("rule.command_done_again") == 2


FIGURES = """
rules:
  - id: mean
    on: [{profile: station}, {profile: my_scale}, {profile: pump}]
    window:
      size: 2s
      values: {events: {count: true}}
  - id: light
    on: {profile: my_scale}
    when: weight < 1
    do: [{drop: true}]
  - id: calm
    on: {profile: station}
    when: wind < 1
    do: [{drop: true}, {emit: {type: calm, fields: {wind: "{wind}"}}}]
  - id: seldom
    on: {profile: pump}
    do: [{sample: {per: 1h}}]
"""


async def test_windows_drops_and_samples_do_not_care_for_the_way(tmp_path: Path) -> None:
    """A station whose message a rule drops gets its 204; a pump that is asked ten times a second is sent once."""
    async with ruled_site(tmp_path, FIGURES) as site:
        for wind in (0.5, 5):
            assert await site.posts("mast", wind=wind) == 204
        site.weighs(0.1)
        site.weighs(20)
        for device in ("mast", "scale", "pump-1"):
            await eventually(f"a window of {device}", lambda device=device: _has_window(site, device))
        made = await site.comes("calm", wind=0.5)
        kept = {kind: len(await site.events(kind)) for kind in ("station", "my_scale", "pump")}

    assert len(made) == 1
    assert kept == {"station": 1, "my_scale": 1, "pump": 1}


async def _has_window(site: Site, device: str) -> bool:
    return any(one["device"] == device for one in await site.events("mean"))
