"""Run the parts of the gateway, restart what fails, and stop in the right order.

Only the journal's failure ends the process; a listener or uplink that fails is restarted with back-off (P8).
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable

import structlog

from fieldgate import clock
from fieldgate.answers import handlers
from fieldgate.control import ControlServer, socket_path
from fieldgate.errors import FieldgateError
from fieldgate.pipeline import Pipeline

__all__ = ["keep_alive", "supervise"]

log = structlog.get_logger("fieldgate")

_STOP_DEADLINE_S = 5.0
_RESTART_BASE_S = 0.5
_RESTART_CAP_S = 30.0
_STABLE_S = 60.0


async def keep_alive(name: str, run: Callable[[], Awaitable[None]], *, rng: random.Random) -> None:
    """Run ``run`` for ever: when it raises or returns, say so once and start it again after a growing pause."""
    attempt = 0
    while True:
        started_s = clock.boot_s()
        try:
            await run()
            problem = "ended"
        except (FieldgateError, OSError) as error:
            problem = str(error)
        except Exception as error:  # a defect in one part must not stop the others (P8)
            problem = repr(error)
            log.error("task.failed", task=name, exc_info=True)
        attempt = 1 if clock.boot_s() - started_s > _STABLE_S else attempt + 1
        pause_s = rng.uniform(0.1, min(_RESTART_CAP_S, _RESTART_BASE_S * 2 ** min(attempt, 10)))
        log.warning("task.restarting", task=name, problem=problem, pause_s=round(pause_s, 1))
        await asyncio.sleep(pause_s)


async def supervise(pipeline: Pipeline) -> None:
    """Run until SIGTERM or SIGINT, then stop within five seconds; raises the journal's error if it fails."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    rng = random.Random()
    control = ControlServer(socket_path(pipeline.config.journal.path), handlers(pipeline))
    parts = pipeline.parts() | {"control": control.run}
    tasks = [loop.create_task(keep_alive(name, run, rng=rng), name=name) for name, run in parts.items()]
    journal = loop.create_task(pipeline.keeper.run(), name="journal")
    stopping = loop.create_task(stop.wait(), name="signals")
    try:
        await asyncio.wait({journal, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        log.info("gateway.stopping")
        stopping.cancel()
        try:
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await pipeline.stop()
        except TimeoutError:
            log.error(
                "gateway.failed",
                problem=f"not stopped within {_STOP_DEADLINE_S:g} s; what was not safe was not acknowledged",
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if journal.done() and not journal.cancelled() and (error := journal.exception()) is not None:
        raise error
    journal.cancel()
