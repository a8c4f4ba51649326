"""The rules with the loop, their files and their state on disk: timers, reloads, what they are told of the gateway.

The host (`fieldgate.decide.rule_host`) is asked by the flow itself. What became of a change of the files is an event of
type ``rules`` of the gateway, in lane high where they were refused. Its data::

    outcome      "loaded" or "refused"
    rules        how many rules are in force
    changed      ids of those that are new, mean something else or are gone (of a refusal: none)
    problems     what is wrong, each with its place; the first ones of many
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from fieldgate import clock
from fieldgate.decide.gateway_notices import GatewayNotices, buffer_thresholds
from fieldgate.decide.rule_host import RuleHost
from fieldgate.device_watch import Tell
from fieldgate.journal.rule_keeper import RuleKeeper
from fieldgate.rule_files import LoadedRules, RuleWatch
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Lane, Stamp
from fieldgate_rules.effects import Notice

__all__ = ["GatewayFacts", "RuleDesk", "say"]

log = structlog.get_logger("fieldgate")

_EVERY_S: Final = 1.0
_PAUSE_S: Final = 0.01  # between two turns, where something is due again at once
_TOLD: Final = 20  # problems, and changed rules, in the event
_LOGGED: Final = 5


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """What rules are told of: why each uplink is not connected, how full the buffer is (see `GatewayNotices`)."""

    gateway: str
    uplinks: Callable[[], Mapping[str, str | None]]
    used_percent: Callable[[], Awaitable[float]]


def say(name: str, /, *, level: str, **facts: object) -> None:
    """Write a line; implements `fieldgate.decide.actuator.Say`."""
    log.log(_LEVELS[level], name, **facts)


_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class RuleDesk:
    """``host`` decides, ``files`` say by which rules. ``tell`` takes the events of reloads."""

    def __init__(
        self,
        host: RuleHost,
        files: RuleWatch,
        keeper: RuleKeeper,
        *,
        facts: GatewayFacts,
        now_stamp: Callable[[], Stamp],
        tell: Tell,
    ) -> None:
        self.host = host
        self.files = files
        self.keeper = keeper
        self.decide = host.decide
        self.done = host.done
        self._facts = facts
        self._notices = GatewayNotices(facts.gateway)
        self._thresholds: frozenset[int] = frozenset()
        self._now_stamp = now_stamp
        self._tell = tell
        self._is_refused = False  # what was told last
        self._wake = asyncio.Event()
        host.changed = self._changed
        files.use, files.refused = self._use, self._refused

    # -- running --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the rules, once everybody is there who carries out effects."""
        self.keeper.watch(self.host)
        self._thresholds = buffer_thresholds(self.host.rules)
        self.host.begin(self._now_stamp())

    async def run(self) -> None:
        """Keep the time, the files and the state, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keeper.run(), name="rules:state")
            tasks.create_task(self.files.run(), name="rules:files")
            tasks.create_task(self._look_at_gateway(), name="rules:gateway")
            tasks.create_task(self._keep_time(), name="rules:time")

    async def stop(self) -> None:
        """Do what is due, and write everything. What comes due from then on the next process does, once."""
        self.files.close()
        self.host.end(self._now_stamp())
        await self.keeper.stop()

    def _changed(self) -> None:
        """Something is due earlier than was said, or is to be written soon."""
        host = self.host
        if host.urgent:
            self.keeper.attention()
        due_s = host.due_s
        if due_s is not None and due_s < host.wakes_s:
            self._wake.set()

    async def _keep_time(self) -> None:
        """Call the engine when something is due, and once a second while anything is: clocks may step (P6)."""
        host = self.host
        while not host.is_over:
            self._wake.clear()
            due_s, now_s = host.due_s, clock.boot_s()
            host.wakes_s = float("inf") if due_s is None else min(due_s, now_s + _EVERY_S)
            pause_s = None if due_s is None else max(_PAUSE_S, host.wakes_s - now_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            if host.wakes_s <= clock.boot_s():
                host.tick(self._now_stamp())

    # -- what rules are told of -----------------------------------------------------------------------------------

    def happened(self, kind: str, device: str = "", /, **fields: object) -> None:
        """Tell rules what has happened to the gateway, or to ``device``."""
        self.host.notice([Notice(kind, device or self._facts.gateway, fields)], self._now_stamp())

    async def _look_at_gateway(self) -> None:
        while True:
            notices = self._notices.uplinks(self._facts.uplinks())
            if self._thresholds:
                notices += self._notices.buffer(await self._facts.used_percent(), self._thresholds)
            if notices:
                self.host.notice(notices, self._now_stamp())
            for rule, problem in self.host.new_failures().items():
                log.error("rule.failed", rule=rule, problem=problem, meaning="the event goes on, as do all other rules")
            await asyncio.sleep(_EVERY_S)

    def resolve(self, rule: str, key: str | None) -> int:
        """End alerts by hand; return how many."""
        return self.host.resolve(rule, key, self._now_stamp())

    # -- the files ------------------------------------------------------------------------------------------------

    def use_profiles(self, catalogue: Catalogue) -> None:
        """From now on by these contracts; the rules are read again."""
        self.files.use_profiles(catalogue)

    def _use(self, loaded: LoadedRules) -> None:
        before = {rule.id: rule.fingerprint for rule in self.host.rules.rules}
        after = {rule.id: rule.fingerprint for rule in loaded.rules.rules}
        changed = sorted(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))
        self._thresholds = buffer_thresholds(loaded.rules)
        self.host.use(loaded.rules, self._now_stamp())
        if changed or self._is_refused:
            self._is_refused = False
            log.info("rules.loaded", rules=len(after), changed=len(changed), warnings=len(loaded.warnings))
            self._say("loaded", changed, (), Lane.NORMAL)

    def _refused(self, problems: tuple[str, ...], meaning: str) -> None:
        for problem in problems[:_LOGGED]:
            log.error("rules.refused", problem=problem, meaning=meaning)
        if len(problems) > _LOGGED:
            log.error("rules.refused", problem=f"and {len(problems) - _LOGGED} more", meaning=meaning)
        self._is_refused = True
        self._say("refused", [], problems, Lane.HIGH)
        self.happened("rules_refused", problem=problems[0])

    def _say(self, outcome: str, changed: list[str], problems: tuple[str, ...], lane: Lane) -> None:
        data = {
            "outcome": outcome,
            "rules": len(self.host.rules.rules),
            "changed": changed[:_TOLD],
            "problems": list(problems[:_TOLD]),
        }
        self._tell("rules", self._facts.gateway, msgspec.json.encode(data), lane)
