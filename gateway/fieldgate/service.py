"""What the gateway and its service manager tell each other: ready, how it is, that it lives, that it stops.

`Service.run` is one part among those that the supervisor keeps alive. Whether the gateway lives is decided by
`observe.watchdog` from signs that are asked for here:

- ``journal``: its thread has come by, and no commit that was under way has stayed so;
- ``uplinks``: a turn went by in which every uplink's pump was let run. An uplink that is down has its turn, too;
- ``tasks``: no part of the gateway has ended without being started again.

That the loop is alive needs no sign: it is what asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.observe.status_line import LineFacts, UplinkFacts, status_line
from fieldgate.observe.systemd_notify import ServiceManager
from fieldgate.observe.watchdog import Watchdog
from fieldgate.pipeline import Pipeline

__all__ = ["Service"]

log = structlog.get_logger("fieldgate")

_TICK_S: Final = 1.0
_TICKS_A_TIMEOUT: Final = 8
_UNWATCHED_S: Final = 20.0  # how often a stop says that it gets on where there is no watchdog: half of this
_STRANDS: Final = ("journal", "uplinks", "tasks")


class Service:
    """Tells ``manager`` about ``pipeline``; ``problems`` is the supervisor's list of what keeps failing.

    ``is_whole`` says whether every part of the gateway is still there. With ``watchdog_s`` the manager wants to hear
    within that time that the gateway lives. ``refused`` says why the last reload changed nothing.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        manager: ServiceManager,
        *,
        problems: Mapping[str, str],
        is_whole: Callable[[], bool],
        watchdog_s: float | None,
        refused: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._pipeline = pipeline
        self._manager = manager
        self._problems = problems
        self._is_whole = is_whole
        self._refused = refused
        self._is_watched = watchdog_s is not None
        self._timeout_s = watchdog_s or _UNWATCHED_S
        self._tick_s = min(_TICK_S, self._timeout_s / _TICKS_A_TIMEOUT)
        self._watchdog = Watchdog(_STRANDS, timeout_s=self._timeout_s)
        self._status_due_s = 0.0
        self._is_ready = self._is_reloading = self._is_stopping = False
        self._is_pinging = False
        self._turns_asked: int | None = None
        self._is_late = False

    async def run(self) -> None:
        """Say that the gateway is ready once it is, then how it is, until cancelled."""
        if not self._is_ready:
            await self._until_listening()
            self._is_ready = True
            self._manager.ready(self._line())
        while True:
            self.tick(clock.boot_s())
            await asyncio.sleep(self._tick_s)

    def stopping(self) -> None:
        """The gateway ends. What is written meanwhile may take its time, as long as it gets on."""
        self._is_stopping = True
        self._watchdog = Watchdog(("journal",), timeout_s=self._timeout_s)
        self._manager.stopping("stopping: what is unsettled is being written")
        self._manager.needs_time(self._timeout_s)

    def reloading(self) -> None:
        """Everything is read again; `reloaded` follows."""
        if self._is_ready:
            self._is_reloading = True
            self._manager.reloading("reloading")

    def reloaded(self) -> None:
        """That is over, whatever came of it: the line says it."""
        self._is_reloading = False
        if self._is_ready and not self._is_stopping:
            self._manager.ready(self._line())

    def tick(self, now_s: float) -> None:
        """Tell what has changed, and that the gateway lives, if it does."""
        if now_s >= self._status_due_s and not (self._is_reloading or self._is_stopping):
            self._status_due_s = now_s + _TICK_S
            self._manager.status(self._line())
        self._ask(self._watchdog.asks(now_s))
        if self._watchdog.is_late(now_s) != self._is_late:
            self._is_late = not self._is_late
            if self._is_late:
                log.error("service.no_progress", missing=" ".join(self._watchdog.missing))
        self._feed_if_due()
        self._manager.flush()

    async def _until_listening(self) -> None:
        """A listener that cannot listen is no reason to wait: that is in the status, and tried again for ever."""
        for listener in self._pipeline.listeners:
            while not listener.started.is_set() and f"ingest:{listener.name}" not in self._problems:
                try:
                    async with asyncio.timeout(self._tick_s):
                        await listener.started.wait()
                except TimeoutError:
                    self._manager.status("starting: not all listeners are there yet")

    # -- signs of life --------------------------------------------------------------------------------------------

    def _ask(self, strands: tuple[str, ...]) -> None:
        """Ask who was not heard; answers of the loop itself are there at the next tick at the latest."""
        keeper = self._pipeline.keeper
        for strand in strands:
            match strand:
                case "journal":
                    if not self._is_pinging:
                        self._is_pinging = True
                        keeper.ping(self._came_by)
                case "uplinks":
                    if self._turns_asked is None:
                        self._turns_asked = keeper.turns
                        keeper.wake()
                    elif keeper.turns > self._turns_asked:
                        self._turns_asked = None
                        self._watchdog.heard(strand)
                case "tasks":
                    if self._is_whole():
                        self._watchdog.heard(strand)

    def _came_by(self, do_commits_go_on: bool) -> None:
        self._is_pinging = False
        if do_commits_go_on:
            self._watchdog.heard("journal")
            self._feed_if_due()

    def _feed_if_due(self) -> None:
        if not self._watchdog.may_feed(clock.boot_s()):
            return
        if self._is_watched:
            self._manager.alive()
        if self._is_stopping:
            self._manager.needs_time(self._timeout_s)

    # -- how it is ------------------------------------------------------------------------------------------------

    def _line(self) -> str:
        pipeline = self._pipeline
        feeds, in_memory = pipeline.outbox.feeds, pipeline.outbox.pending_in_memory
        return status_line(
            LineFacts(
                events_per_s=pipeline.rate_in.per_s,
                clients=sum(listener.crowd.clients for listener in pipeline.listeners),
                uplinks=[
                    UplinkFacts(
                        one.name,
                        one.status.state,
                        one.status.reason,
                        feeds[one.name].state.pending + in_memory(feeds[one.name]),
                    )
                    for one in pipeline.uplinks
                ],
                problems=list(self._all_problems()),
            )
        )

    def _all_problems(self) -> Iterator[str]:
        """The gravest first."""
        pipeline = self._pipeline
        if pipeline.keeper.full_cause is not None:
            yield f"the journal is full ({pipeline.keeper.full_cause})"
        for problem in self._refused():
            yield f"reload refused, nothing has changed: {problem}"
        for name, problem in self._problems.items():
            yield f"{name}: {problem}"
        for listener in pipeline.listeners:
            yield from listener.gate.access.problems
            if listener.certificate is not None and listener.certificate.warning:
                yield f"{listener.name}: {listener.certificate.warning}"
        for one in pipeline.uplinks:
            if one.status.login:
                yield f"uplink {one.name}: {one.status.login}"
        yield from pipeline.rules.files.problems
        yield from pipeline.profiles.problems
