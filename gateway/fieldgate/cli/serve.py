"""The gateway's process, from its configuration to its exit code: what ``fieldgate run`` does.

It knows nothing of the command line's library, which a gateway that runs for months need not have in memory
(`fieldgate.cli.plain_run`).
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from fieldgate import clock, crash
from fieldgate.config.loader import SEARCH_PATHS, LoadedConfig, load
from fieldgate.errors import ConfigError, FieldgateError
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalBusy, JournalRefused
from fieldgate.observe.log import configure
from fieldgate.observe.log_level import LEVELS
from fieldgate.observe.systemd_notify import ServiceManager
from fieldgate.pipeline import Pipeline
from fieldgate.supervisor import is_service, stop_signals, supervise

__all__ = ["serve"]

EX_CONFIG: Final = os.EX_CONFIG
_LOG_DEADLINE_S: Final = 1.0
_STDERR: Final = 2

log = structlog.get_logger("fieldgate")


def serve(path: Path | None, *, log_level: str) -> int:
    """Run the gateway of this configuration until it is told to stop; return the exit code.

    Where it is ended by a fault, or by a watchdog (SIGABRT), standard error says in which line each thread was.
    """
    faulthandler.enable(_STDERR)
    manager = ServiceManager()
    try:
        loaded = load(path)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        manager.status(f"FAILED: {error.problems[0]}")
        return EX_CONFIG
    writer = configure(level=LEVELS[LEVELS.index(log_level)])
    try:
        return _run(loaded, manager)
    finally:
        writer.close(deadline_s=_LOG_DEADLINE_S)


def _run(loaded: LoadedConfig, manager: ServiceManager) -> int:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(loaded, manager))
    except (FieldgateError, OSError) as error:
        log.error("gateway.failed", problem=str(error))
        manager.status(f"FAILED: {error}")
        return EX_CONFIG if isinstance(error, JournalBusy | JournalRefused) else 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop has no wheel on some boards; asyncio's own loop serves there."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(loaded: LoadedConfig, manager: ServiceManager) -> None:
    hang_up = asyncio.Event() if is_service() else None
    with stop_signals(hang_up) as stop:
        config = loaded.config
        manager.status(f"starting: the journal in {config.journal.path} is being opened")
        run = int.from_bytes(os.urandom(8), "big")
        journal = Journal.open(
            config.journal.path,
            run=run,
            os_boot=clock.os_boot_id(),
            gateway=config.gateway.id,
            boot_ns=clock.boot_ns(),
            wall_ns=clock.wall_ns(),
            max_size_bytes=config.journal.max_size_bytes,
        )
        _say_hello(loaded, journal, run=run)
        pipeline = Pipeline(config, journal, run=run)
        if crash.VARIABLES & os.environ.keys():
            crash.install(pipeline)
        await supervise(pipeline, stop, manager=manager, config_path=loaded.path, hang_up=hang_up)
        log.info("gateway.stopped", unacknowledged_bytes=pipeline.outbox.unsettled_bytes)


def _say_hello(loaded: LoadedConfig, journal: Journal, *, run: int) -> None:
    config, opened = loaded.config, journal.opened
    log.info(
        "gateway.started",
        version=version("fieldgate"),
        gateway=config.gateway.id,
        run=f"{run:016x}",
        config=str(loaded.path) if loaded.path else "built-in defaults",
        journal=str(config.journal.path),
        epoch=opened.epoch,
        pid=os.getpid(),
        python=sys.version.split()[0],
    )
    for note in opened.notes:
        log.warning("journal.note", note=note)
    for path in opened.set_aside:
        log.warning("journal.set_aside", file=str(path))
    if config.uplinks:
        for warning in loaded.warnings:
            log.warning("config.warned", problem=warning)
    else:
        log.warning(
            "gateway.no_uplink",
            meaning="events are kept here until the first uplink gets them",
            write="uplinks: {cloud: {mqtt: {url: 'mqtts://broker.example:8883'}}}",
            into=str(loaded.path or " or ".join(str(path) for path in SEARCH_PATHS)),
        )
