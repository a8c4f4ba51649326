"""Read everything again, and use it as a whole or not at all (P7): SIGHUP, ``fieldgate reload``.

Configuration, profiles, rules, users, ACLs and certificates are read and checked in a thread while the gateway goes
on. If anything of it is wrong nothing changes, and what is wrong is said until a reload succeeds. Else all of it counts
from one turn of the loop to the next. What of the configuration cannot change while the gateway runs is named; it
counts after a restart (`fieldgate.config.changes`).

Files are also looked at once a second, each kind by itself; a reload does not wait for that, and sees them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import structlog

from fieldgate.config import Config
from fieldgate.config.changes import Changes, compare
from fieldgate.config.listen import ListenConfig
from fieldgate.config.loader import load
from fieldgate.errors import ConfigError, FieldgateError
from fieldgate.ingest.access_files import Access, AccessFiles
from fieldgate.ingest.profile_files import LoadedProfiles
from fieldgate.net.server_tls import ServerTls, TlsFileError, load_server_tls
from fieldgate.pipeline import Pipeline
from fieldgate.rule_files import LoadedRules
from fieldgate.threads import leave_signals_to_main

if TYPE_CHECKING:
    from fieldgate.ingest.mqtt_source import MqttSource

__all__ = ["Outcome", "Reloader"]

log = structlog.get_logger("fieldgate")

_LOGGED: Final = 5


class _Refused(FieldgateError):
    """Something is wrong, and nothing may change."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a reload: with ``problems`` nothing has changed.

    ``changed`` are keys of the configuration that count now, ``needs_restart`` those that do not yet.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    profiles: int = 0
    rules: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """All that was read, valid, and not in use yet. ``access`` and ``tls`` are by listener."""

    changes: Changes
    warnings: tuple[str, ...]
    profiles: LoadedProfiles
    rules: LoadedRules
    access: tuple[Access, ...]
    tls: tuple[ServerTls | None, ...]


def _nobody() -> None:
    pass


@dataclass(slots=True)
class Reloader:
    """Reloads ``pipeline`` from ``path``, the file that it was made from; None: what a start would find.

    ``began`` and ``ended`` are called around each reload, on the loop.
    """

    pipeline: Pipeline
    path: Path | None
    began: Callable[[], None] = _nobody
    ended: Callable[[], None] = _nobody
    last: Outcome | None = None
    reloads: int = 0
    is_over: bool = False
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the last reload changed nothing; empty if it did, or there was none."""
        return self.last.problems if self.last is not None else ()

    def end(self) -> None:
        """Change nothing any more: the gateway stops."""
        self.is_over = True

    async def run(self, wanted: asyncio.Event) -> None:
        """Reload whenever ``wanted`` is set, until cancelled; what is asked for meanwhile is done once more."""
        while True:
            await wanted.wait()
            wanted.clear()
            await self.reload()

    async def reload(self) -> Outcome:
        """Reload now, after whoever is at it; never raises for what is wrong with the files."""
        async with self._one_at_a_time:
            if self.is_over:
                return Outcome(problems=("the gateway stops",))
            self.began()
            try:
                self.last = await self._reload()
                _say(self.last)
            finally:
                self.reloads += 1
                self.ended()
            return self.last

    async def _reload(self) -> Outcome:
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reload", initializer=leave_signals_to_main)
        try:
            read = await loop.run_in_executor(pool, self._read, self.pipeline.config)
        except _Refused as refused:
            return Outcome(problems=tuple(refused.problems))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if self.is_over:
            return Outcome(problems=("the gateway stops",))
        self._use(read)
        return Outcome(
            warnings=read.warnings,
            changed=read.changes.counts,
            needs_restart=read.changes.needs_restart,
            profiles=len(read.profiles.catalogue.contracts),
            rules=len(read.rules.rules.rules),
        )

    def _read(self, running: Config) -> _Read:
        """In the thread. Whatever is wrong is found, not only the first of it."""
        try:
            loaded = load(self.path)
        except ConfigError as error:
            raise _Refused(error.problems) from error
        changes = compare(running, loaded.config)
        problems: list[str] = []
        profiles = self.pipeline.profiles.read()
        problems += profiles.problems
        rules = self.pipeline.rules.files.read(profiles.catalogue)
        problems += rules.problems
        access = tuple(AccessFiles(one.auth).load() for one in changes.config.listen)
        problems += dict.fromkeys(problem for one in access for problem in one.problems)
        tls = tuple(_tls(number, one, problems) for number, one in enumerate(changes.config.listen))
        if problems:
            raise _Refused(problems)
        return _Read(changes, tuple(loaded.warnings), profiles, rules, access, tls)

    def _use(self, read: _Read) -> None:
        """All at once: nothing of the gateway runs in between, and nothing here can be refused any more."""
        pipeline, config = self.pipeline, read.changes.config
        pipeline.config = config
        for listener, settings, access, tls in zip(
            pipeline.listeners, config.listen, read.access, read.tls, strict=True
        ):
            listener.reconfigure(settings, access, tls)
        for uplink in pipeline.uplinks:
            uplink.reconfigure(config.uplinks[uplink.name])
            pipeline.outbox.feeds[uplink.name].limit(
                max_size_bytes=config.uplinks[uplink.name].max_size, max_age_s=config.uplinks[uplink.name].max_age
            )
        for source, written in zip(pipeline.sources, config.sources, strict=True):
            if written.mqtt is not None:
                cast("MqttSource", source).reconfigure(written)
        pipeline.profiles.take(read.profiles)
        pipeline.rules.files.take(read.rules)
        pipeline.kick()


def _tls(number: int, listen: ListenConfig, problems: list[str]) -> ServerTls | None:
    if listen.tls is None:
        return None
    try:
        return load_server_tls(listen.tls)
    except TlsFileError as error:
        problems.append(f"listen[{number}].tls.{error}")
        return None


def _say(outcome: Outcome) -> None:
    for problem in outcome.problems[:_LOGGED]:
        log.error("config.refused", problem=problem, meaning="nothing has changed; what was read before goes on")
    if len(outcome.problems) > _LOGGED:
        log.error(
            "config.refused", problem=f"and {len(outcome.problems) - _LOGGED} more", meaning="nothing has changed"
        )
    if outcome.problems:
        return
    for warning in outcome.warnings:
        log.warning("config.warned", problem=warning)
    log.info(
        "config.reloaded",
        changed=" ".join(outcome.changed) or "nothing",
        profiles=outcome.profiles,
        rules=outcome.rules,
    )
    if outcome.needs_restart:
        log.warning("config.needs_restart", keys=" ".join(outcome.needs_restart), meaning="the old values are in force")
