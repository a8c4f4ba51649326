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
