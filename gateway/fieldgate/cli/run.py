"""``fieldgate run``: the gateway itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Final

import structlog
import typer

from fieldgate import clock, crash
from fieldgate.cli.options import ConfigFile, usable_config
from fieldgate.config.loader import SEARCH_PATHS, LoadedConfig
from fieldgate.errors import FieldgateError
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalBusy, JournalRefused
from fieldgate.journal.restoring import finish_cut_restore
from fieldgate.observe.log import configure
from fieldgate.pipeline import Pipeline
from fieldgate.supervisor import stop_signals, supervise

__all__ = ["register"]

EX_CONFIG: Final = os.EX_CONFIG
_LOG_DEADLINE_S: Final = 1.0

log = structlog.get_logger("fieldgate")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("run")
    def run(
        config: ConfigFile = None,
        log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    ) -> None:
        """Run the gateway until SIGTERM or Ctrl-C."""
        if log_level not in ("debug", "info", "warning", "error"):
            raise typer.BadParameter(f"{log_level!r} is none of debug, info, warning, error", param_hint="--log-level")
        loaded = usable_config(config, exit_code=EX_CONFIG)
        writer = configure(level=log_level)
        try:
            if _finish_cut_restore(loaded):
                loaded = usable_config(config, exit_code=EX_CONFIG)
            code = _run(loaded)
        finally:
            writer.close(deadline_s=_LOG_DEADLINE_S)
        raise typer.Exit(code)


def _finish_cut_restore(loaded: LoadedConfig) -> bool:
    """Finish a restore that was cut short; the configuration is another one then."""
    try:
        is_finished = finish_cut_restore(loaded.config.journal.path)
    except FieldgateError as error:
        log.error("gateway.failed", problem=str(error))
        raise typer.Exit(EX_CONFIG) from error
    if is_finished:
        log.warning("restore.finished", meaning="it had been cut short; what was here before is kept beside")
    return is_finished


def _run(loaded: LoadedConfig) -> int:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(loaded))
    except (JournalBusy, JournalRefused) as error:
        log.error("gateway.failed", problem=str(error))
        return EX_CONFIG
    except (FieldgateError, OSError) as error:
        log.error("gateway.failed", problem=str(error))
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop has no wheel on some boards; asyncio's own loop serves there."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(loaded: LoadedConfig) -> None:
    with stop_signals() as stop:
        config = loaded.config
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
        if "FIELDGATE_CRASH_AT" in os.environ or "FIELDGATE_MUTANT" in os.environ:
            crash.install(pipeline)
        await supervise(pipeline, stop)
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
