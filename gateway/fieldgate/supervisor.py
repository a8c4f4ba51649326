"""Run the parts of the gateway, restart what fails, and stop in the right order.

Only the journal's failure ends the process; a listener or uplink that fails is restarted with back-off (P8).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.answers import handlers
from fieldgate.answers.audit import AuditKeeper
from fieldgate.answers.log_level import tend_log
from fieldgate.control import ControlServer, socket_path
from fieldgate.errors import FieldgateError, JournalError
from fieldgate.observe.systemd_notify import ServiceManager, watchdog_timeout_s
from fieldgate.pipeline import Pipeline
from fieldgate.reload import Reloader
from fieldgate.service import Service

__all__ = ["StopIncomplete", "is_service", "keep_alive", "stop_signals", "supervise"]

log = structlog.get_logger("fieldgate")

_STOP_DEADLINE_S: Final = 5.0
_RESTART_BASE_S: Final = 0.5
_RESTART_CAP_S: Final = 10.0
_STABLE_S: Final = 60.0
_WELL_AFTER_S: Final = 2.0  # a part that has run for so long has no problem any more
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopIncomplete(FieldgateError):
    """The gateway had to end before everything was written."""


def is_service(env: Mapping[str, str] = os.environ) -> bool:
    """Whether SIGHUP is a word to a service and not the end of the terminal that it was typed into.

    systemd says which start of a service this is (``INVOCATION_ID``), or listens (``NOTIFY_SOCKET``); what has no
    terminal at all (a container, another service manager) loses none.
    """
    if "INVOCATION_ID" in env or "NOTIFY_SOCKET" in env:
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return True
    return False


@contextmanager
def stop_signals(hang_up: asyncio.Event | None = None) -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM and SIGINT set, once or a hundred times, now or while the process ends.

    SIGHUP sets ``hang_up``; without one it is a terminal that was closed, which asks to stop as well unless ``nohup``
    said that it shall not. The loop's own handlers would not do: it takes them down as it ends, and a signal that any
    thread got then (uvloop has some) would kill what ended well.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def hear(number: int, _frame: FrameType | None) -> None:
        event = hang_up if number == signal.SIGHUP and hang_up is not None else stop
        loop.call_soon_threadsafe(event.set)

    heard = [
        number
        for number in _SIGNALS
        if number != signal.SIGHUP or hang_up is not None or signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in heard:
        signal.signal(number, hear)
    try:
        yield stop
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)


async def keep_alive(
    name: str, run: Callable[[], Awaitable[None]], *, rng: random.Random, problems: dict[str, str]
) -> None:
    """Run ``run`` for ever: when it raises or returns, start it again after a growing pause.

    ``problems`` holds why, under ``name``, until it has run well for a while; the log says it once.
    """
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        started_s = clock.boot_s()
        well = loop.call_later(_WELL_AFTER_S, problems.pop, name, None)
        try:
            await run()
            problem = "ended"
        except (FieldgateError, OSError) as error:
            problem = str(error)
        except Exception as error:  # a defect in one part must not stop the others (P8)
            problem = repr(error)
            log.error("task.failed", task=name, exc_info=True)
        finally:
            well.cancel()
        attempt = 1 if clock.boot_s() - started_s > _STABLE_S else attempt + 1
        pause_s = rng.uniform(0.1, min(_RESTART_CAP_S, _RESTART_BASE_S * 2 ** min(attempt, 10)))
        if problems.get(name) != problem:
            log.warning("task.restarting", task=name, problem=problem, pause_s=round(pause_s, 1))
        problems[name] = problem
        await asyncio.sleep(pause_s)


async def supervise(
    pipeline: Pipeline,
    stop: asyncio.Event,
    *,
    manager: ServiceManager | None = None,
    config_path: Path | None = None,
    hang_up: asyncio.Event | None = None,
) -> None:
    """Run until ``stop`` is set, then stop within five seconds; ``manager`` hears how it goes.

    Reads everything from ``config_path`` again when ``hang_up`` is set, or when it is asked to.

    Raises:
        JournalError: the journal has failed.
        StopIncomplete: not everything was written in time.
    """
    rng = random.Random()
    problems: dict[str, str] = {}
    reloader = Reloader(pipeline, config_path)
    audit = AuditKeeper(pipeline)
    answers = handlers(pipeline, problems, reloader) | audit.handlers()
    control = ControlServer(socket_path(pipeline.config.journal.path), answers)
    tasks: list[asyncio.Task[None]] = []
    service = Service(
        pipeline,
        manager or ServiceManager({}),
        problems=problems,
        is_whole=lambda: not any(task.done() for task in tasks),
        watchdog_s=watchdog_timeout_s(),
        refused=lambda: reloader.problems,
    )
    reloader.began, reloader.ended = service.reloading, service.reloaded
    parts = (
        pipeline.parts()
        | {"control": control.run, "log": tend_log, "audit": audit.run}
        | _told_parts(pipeline, problems)
    )
    if hang_up is not None:
        parts["reload"] = partial(reloader.run, hang_up)
    if manager is not None and manager.listens:
        parts["service"] = service.run
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        tasks.append(group.create_task(_stop_with_journal(pipeline, stop), name="journal"))
        for name, run in parts.items():
            tasks.append(group.create_task(keep_alive(name, run, rng=rng, problems=problems), name=name))
        try:
            await stop.wait()
        finally:
            log.info("gateway.stopping")
            reloader.end()
            service.stopping()
            failure = await _stop_in_time(pipeline)
            for task in tasks:
                task.cancel()
    failure = pipeline.keeper.failure or failure
    if failure is not None:
        raise failure


def _told_parts(pipeline: Pipeline, problems: dict[str, str]) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return those that tell how the gateway is, as far as they are wanted; they bring what others do without."""
    config = pipeline.config
    parts: dict[str, Callable[[], Awaitable[None]]] = {}
    if config.metrics.listen is not None:
        from fieldgate.answers.metrics import Metrics
        from fieldgate.scrape.listener import MetricsListener

        listener = MetricsListener(config.metrics, Metrics(pipeline, problems).collect)
        parts |= {"metrics": listener.run, "metrics:answer": listener.answer}
    if config.vitals.every is not None:
        from fieldgate.answers.vitals import Vitals

        parts["vitals"] = Vitals(pipeline, problems, every_s=config.vitals.every).run
    return parts


async def _stop_with_journal(pipeline: Pipeline, stop: asyncio.Event) -> None:
    with contextlib.suppress(JournalError):
        await pipeline.keeper.run()
    stop.set()


async def _stop_in_time(pipeline: Pipeline) -> Exception | None:
    """Stop in order; return what kept it from being complete."""
    try:
        async with asyncio.timeout(_STOP_DEADLINE_S):
            await pipeline.stop()
    except TimeoutError:
        return StopIncomplete(
            f"not stopped within {_STOP_DEADLINE_S:g} s: what was not written was not acknowledged and will come again"
        )
    except (FieldgateError, OSError) as error:
        return error
    return None
