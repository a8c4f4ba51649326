"""Engines on a virtual clock, of rules written as YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from condition_kit import BOILER
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Address, Event, Extra, Lane, Stamp, TimeQuality
from fieldgate_devices.reading import read_catalogue
from fieldgate_rules.effects import Decided, Notice
from fieldgate_rules.engine import Engine, EngineLimits
from fieldgate_rules.reading import read_rules
from fieldgate_rules.rule import RuleSet

__all__ = ["CATALOGUE", "World", "rules_of"]

START_NS = 1_767_225_600 * 10**9  # 2026-01-01T00:00:00Z
BOOT_NS = 1_000 * 10**9


def _catalogue() -> Catalogue:
    catalogue, files = read_catalogue({}, {"boiler.yaml": BOILER.encode()})
    assert not [problem for one in files for problem in one.problems]
    return catalogue


CATALOGUE = _catalogue()


@cache
def rules_of(text: str) -> RuleSet:
    """The rules of a file, which must be right but for warnings."""
    read = read_rules({"r.yaml": text.encode()}, CATALOGUE)
    assert read.is_valid, [str(problem) for problem in read.problems]
    return read.rules


def known_of(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event says, as whoever decoded it has it at hand."""
    return fields


class World:
    """One gateway's rules and its clocks. ``done`` are effects and new events with the second at which they came."""

    def __init__(
        self,
        rules: RuleSet | str,
        *,
        limits: EngineLimits | None = None,
        is_known: bool = True,
        os_boot: str = "boot-1",
    ) -> None:
        self.rules = rules_of(rules) if isinstance(rules, str) else rules
        self.limits = limits or EngineLimits()
        self.at_ns = 0
        self.boot_base_ns = BOOT_NS
        self.wall_base_ns = START_NS
        self.is_known = is_known
        self.os_boot = os_boot
        self.done: list[tuple[float, str, Any]] = []
        self.engine = self._new()
        self._note(self.engine.start(self.stamp))

    @property
    def stamp(self) -> Stamp:
        """The present moment."""
        quality = TimeQuality.SYNCED if self.is_known else TimeQuality.UNSYNCED
        return Stamp(1, self.wall_base_ns + self.at_ns, self.boot_base_ns + self.at_ns, quality)

    def _new(self) -> Engine:
        return Engine(self.rules, gateway="gw", stamp=self.stamp, os_boot=self.os_boot, limits=self.limits)

    def to(self, at_s: float) -> None:
        """Time goes on to ``at_s``; what is due meanwhile is done at its own moment."""
        end_ns = round(at_s * 1e9)
        while (due_s := self.engine.due_s) is not None:
            due_ns = max(round(due_s * 1e9) - self.boot_base_ns, self.at_ns)
            if due_ns > end_ns:
                break
            self.at_ns = due_ns
            self._note(self.engine.tick(self.stamp))
        self.at_ns = max(end_ns, self.at_ns)

    def say(
        self, fields: Mapping[str, Any], *, device: str = "b1", at_s: float | None = None, type_: str = "boiler",
        made_at_s: float | None = None, is_replayed: bool = False, lane: int = Lane.NORMAL, is_known: bool = False,
    ) -> Decided | None:  # fmt: skip
        """A device says something; return what the engine answers. ``is_known``: it need not decode the event."""
        if at_s is not None:
            self.to(at_s)
        extra = None
        if made_at_s is not None or is_replayed:
            made_ns = None if made_at_s is None else START_NS + round(made_at_s * 1e9)
            extra = Extra(made_ns, is_replayed)
        data = msgspec.json.encode(fields)
        event = Event(Address(device, type_, f"t/{device}"), self.stamp, data, True, 0, lane, extra=extra)
        return self._note(self.engine.feed([event], self.stamp, [known_of(fields)] if is_known else None))

    def notice(self, kind: str, device: str = "gw", **fields: Any) -> Decided | None:
        """Something happens to the gateway."""
        return self._note(self.engine.notice(Notice(kind, device, fields), self.stamp))

    def restart(self, *, after_s: float = 0.0, is_same_boot: bool = True, was_stopped: bool = True) -> None:
        """The gateway ends with everything written, and another process goes on."""
        if was_stopped:
            self.engine.stop(self.stamp)
        rows = {key: row for key, row in self.engine.everything().items() if row is not None}
        self.at_ns += round(after_s * 1e9)
        if not is_same_boot:
            self.os_boot += "+"
            self.boot_base_ns = 5 * 10**9 - self.at_ns
        self.engine = self._new()
        self.engine.restore(rows, was_stopped=was_stopped)
        self._note(self.engine.start(self.stamp))

    def _note(self, decided: Decided | None) -> Decided | None:
        at_s = self.at_ns / 1e9
        if decided is not None:
            for effect in decided.effects:
                self.done.append((at_s, type(effect).__name__, effect))
            for derived in decided.derived:
                self.done.append((at_s, derived.event.address.type, msgspec.json.decode(derived.event.data)))
        return decided

    def times(self, kind: str = "LogLine") -> list[float]:
        """When effects or events of a kind came."""
        return [at_s for at_s, one, _ in self.done if one == kind]

    def made(self, type_: str) -> list[dict[str, Any]]:
        """The data of all events of a type that rules have made."""
        return [data for _, one, data in self.done if one == type_]

    def outcomes(self, rule: str) -> Sequence[str]:
        """How a rule has decided, one after the other."""
        return [one.outcome for one in self.engine.decisions(rule)]
