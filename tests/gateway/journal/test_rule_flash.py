"""How much of the flash the state of real rules costs, on a virtual clock with a real file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from fieldgate.clock import os_boot_id
from fieldgate_devices.event import Address, Event, Stamp
from fieldgate_rules.engine import Engine
from fieldgate_rules.reading import read_rules
from rule_keeper_rig import KeeperSite
from rule_why_kit import CATALOGUE

HOT = b"""
  - id: hot
    on: {profile: boiler}
    when: temperature > 80
    for: 30s
    do: [{log: hot}]"""
MEAN = b"""
  - id: mean
    on: {profile: boiler}
    window: {size: 5m, values: {mean: {avg: temperature}, energy: {integral: flow, per: 1h}}}
"""
PER_DAY = 86_400


class Boilers(KeeperSite):
    """An engine with two rules, fed by boilers that say what a test wants."""

    records: Engine

    def say(self, temperature: float, *, count: int = 1) -> None:
        now_ns = round(self.loop.now_s * 1e9)
        stamp = Stamp(1, 1_767_225_600 * 10**9 + now_ns, now_ns)
        data = msgspec.json.encode({"temperature": temperature, "flow": 2.0})
        addresses = [Address(f"b{number}", "boiler", f"site/boiler/b{number}", 1) for number in range(count)]
        self.records.feed([Event(address, stamp, data, True, 0) for address in addresses], stamp)

    def tick(self) -> None:
        now_ns = round(self.loop.now_s * 1e9)
        self.records.tick(Stamp(1, 1_767_225_600 * 10**9 + now_ns, now_ns))


def site(folder: Path, rules: bytes, monkeypatch: pytest.MonkeyPatch) -> Boilers:
    """A gateway's engine with these rules."""
    read = read_rules({"flash.yaml": b"rules:" + rules}, CATALOGUE)
    assert read.is_valid, read.problems
    stamp = Stamp(1, 1_767_225_600 * 10**9, 1000 * 10**9)
    engine = Engine(read.rules, gateway="g", stamp=stamp, os_boot=os_boot_id())
    engine.start(stamp)
    return Boilers(folder, engine, monkeypatch)


@pytest.fixture
def boilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boilers:
    return site(tmp_path, HOT + MEAN, monkeypatch)


def test_a_timer_that_flaps_ten_times_a_second_stays_below_ninety_megabytes_a_day(boilers: Boilers) -> None:
    """Once a minute of it is over: its timer every 5 s, its window every 30 s."""

    def flap(step: int) -> None:
        boilers.tick()
        boilers.say(85 if step % 2 else 70)

    boilers.passes(120, flap)
    before = boilers.flash_bytes
    boilers.passes(600, flap)

    assert 0 < (boilers.flash_bytes - before) * PER_DAY / 600 < 90_000_000


def test_a_gateway_whose_devices_are_silent_writes_nothing(boilers: Boilers) -> None:
    """Rules with windows and timers are in force; an hour without an event."""
    boilers.say(70, count=50)
    boilers.passes(900, lambda _: boilers.tick())
    before = (boilers.keeper.commits, boilers.flash_bytes)

    boilers.passes(3600, lambda step: boilers.tick() if step % 10 == 0 else None)

    assert (boilers.keeper.commits, boilers.flash_bytes) == before


def test_windows_of_fifty_devices_stay_below_ninety_megabytes_a_day(boilers: Boilers) -> None:
    """Each says something every ten seconds, and no timer runs."""

    def say(step: int) -> None:
        boilers.tick()
        if step % 100 == 0:
            boilers.say(70, count=50)

    boilers.passes(1200, say)

    assert 0 < boilers.flash_bytes * PER_DAY / 1200 < 90_000_000


def test_a_condition_that_is_never_true_costs_no_flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a rule remembers is written only if it is another than what was written before."""
    boilers = site(tmp_path, HOT, monkeypatch)
    boilers.say(70, count=50)
    boilers.passes(40)
    before = boilers.keeper.commits

    boilers.passes(600, lambda step: boilers.say(70, count=50) if step % 100 == 0 else None)

    assert boilers.keeper.commits == before
