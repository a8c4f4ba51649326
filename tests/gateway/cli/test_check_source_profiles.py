"""``fieldgate check`` looks for the profiles that sources name."""

from __future__ import annotations

from pathlib import Path

from command_kit import fieldgate

CONFIG = """\
gateway: {id: g}
uplinks: {cloud: {mqtt: {url: "mqtt://127.0.0.1:1999"}}}
sources:
  - {name: a, serial: {port: /dev/serial/by-id/a, profile: scael}}
  - name: b
    modbus: {url: "tcp://x", units: [{unit: 1, profile: sdm121}, {unit: 2, profile: tasmota}]}
"""


async def test_profiles_that_are_not_there_or_have_no_registers_are_named(tmp_path: Path) -> None:
    """A misspelt profile is found at the desk, not at the meter."""
    config = tmp_path / "fieldgate.yaml"
    config.write_text(CONFIG, encoding="utf-8")

    answer = await fieldgate("check", config=config)

    assert answer.code == 1
    assert [line.partition("fieldgate.yaml:")[2] for line in answer.out.splitlines()[:-1]] == [
        "4:60: profile: there is no profile 'scael'; 'fieldgate devices list' prints those that are there",
        "6:57: profile: there is no profile 'sdm121'; did you mean 'sdm120'?",
        "6:85: profile: 'tasmota' has no registers (modbus), so nothing can be read",
    ]


SCALE = """\
profile: scale
decode: {regex: {pattern: "(?P<weight>[0-9.]+)kg"}}
fields: {weight: {type: float, unit: kg}}
commands:
  tare: {serial: 'T\\r\\n'}
  zero: {serial: Z}
  show: {serial: 'D{text}\\r\\n', payload: {text: {type: string}}}
  light: {serial: 'L{on}', payload: {on: {type: int}}}
"""
FIXED = """\
profile: fixed
decode: {regex: {pattern: "(?P<weight>[0-9.]+)kg"}}
fields: {weight: {type: float, unit: kg}}
commands:
  set: {serial: 'S{text}', payload: {text: {type: string}}}
  stop: {serial: STOP}
"""
PORTS = """\
gateway: {id: g}
uplinks: {cloud: {mqtt: {url: "mqtt://127.0.0.1:1999"}}}
sources:
  - {name: a, serial: {port: /dev/serial/by-id/a, profile: scale}}
  - {name: b, serial: {port: /dev/serial/by-id/b, profile: fixed, framing: {fixed: {size: 8, sync: 42 4d}}}}
"""


async def test_commands_that_a_port_cannot_carry_are_named(tmp_path: Path) -> None:
    """Manuals say T CR LF; the framing adds the end itself, and refuses a second one. Else only the night tells."""
    config = tmp_path / "fieldgate.yaml"
    config.write_text(PORTS, encoding="utf-8")
    (tmp_path / "devices.d").mkdir()
    for name, text in (("scale", SCALE), ("fixed", FIXED)):
        (tmp_path / "devices.d" / f"{name}.yaml").write_text(text, encoding="utf-8")

    answer = await fieldgate("check", config=config)

    end = "the payload holds an end of line itself; leave it out, the framing adds it"
    port = "cannot be written to this port"
    assert answer.code == 0, answer.out
    assert [line.partition("serial: the command ")[2] for line in answer.out.splitlines() if port in line] == [
        f"'show' of 'scale' {port}: {end}",
        f"'tare' of 'scale' {port}: {end}",
        f"'stop' of 'fixed' {port}: the frame would have 6 bytes; all have 8 (size)",
    ]
