"""Where the commands about what is stored get their answers: the running gateway, or the files of a stopped one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any, Final

from fieldgate import clock
from fieldgate.answers.dead_letters import ChosenLetters
from fieldgate.answers.parked import Chosen
from fieldgate.assembly import route_of
from fieldgate.config import Config
from fieldgate.control import ControlError, GatewayNotRunning, socket_path, stream
from fieldgate.errors import FieldgateError
from fieldgate.journal.accounts import PendingCount
from fieldgate.journal.dead_letter_inspection import StoredLetters, purge_stored
from fieldgate.journal.facts import dead_letter_facts, event_facts, parked_facts, stats_facts, verify_facts
from fieldgate.journal.history import HistoryQuery, NewestEvents, Place, history_step
from fieldgate.journal.inspection import Inspection
from fieldgate.journal.records import VerifyReport
from fieldgate.journal.uplink_state import NOBODY_NAME, Route

__all__ = ["answers"]

_NEEDS_GATEWAY: Final = {
    "journal.replay": "a replay",
    "dead-letters.replay": "sending dead letters through again",
    "parked.retry": "sending a parked event again",
    "parked.drop": "dropping a parked event",
}


async def answers(config: Config, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Ask the running gateway; without one, read the files, which changes nothing in them."""
    folder = config.journal.path
    try:
        async for item in stream(socket_path(folder), request):
            yield item
    except GatewayNotRunning as error:
        if request["do"] in _NEEDS_GATEWAY:
            raise FieldgateError(f"{error}; {_NEEDS_GATEWAY[request['do']]} needs the running gateway") from error
    else:
        return
    if not folder.is_dir():
        raise ControlError(f"{folder}: there is no journal yet; it is made when the gateway first runs")
    if request["do"].startswith("dead-letters."):
        for item in _of_dead_letters(config, request):
            yield item
        return
    with closing(Inspection.open(folder, max_size_bytes=config.journal.max_size_bytes)) as stored:
        for item in _of_files(stored, config, request):
            yield item


def _of_files(stored: Inspection, config: Config, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match request["do"]:
        case "journal.stats":
            yield {**stats_facts(stored), "notes": stored.notes}
        case "journal.verify":
            yield _verify(stored, config)
        case "journal.tail":
            if request["follow"]:
                raise ControlError("no gateway is running here, so nothing new is stored; leave out --follow")
            newest_seq = max((lane.last_seq or 0 for lane in stored.stats().lanes), default=0)
            newest = NewestEvents(HistoryQuery(device=request["device"]), request["count"], newest_seq=newest_seq)
            while not newest.step(stored):
                pass
            yield from (event_facts(event, gateway=config.gateway.id) for event in newest.events)
        case "parked.list" | "parked.show" as asked:
            chosen = Chosen(request["uplink"], request["ids"])
            for one in stored.parked(chosen.takes):
                yield parked_facts(
                    one,
                    gateway=config.gateway.id,
                    now_journal_s=stored.journal_s(),
                    has_data=asked == "parked.show",
                )
        case _:
            yield from _read(stored, config, request)


def _of_dead_letters(config: Config, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    asked = request["do"]
    chosen = ChosenLetters(**{key: value for key, value in request.items() if key != "do"})
    folder, now_ns = config.journal.path, clock.wall_ns()
    query = chosen.query(now_journal_s=0.0)  # its clock stands still: what came while the time was not set is shown
    if asked == "dead-letters.purge":
        gone = purge_stored(folder, query, max_size_bytes=config.devices.dead_letters.max_size)
        yield {"purged": len(gone), "unknown": chosen.missing(gone)}
        return
    with closing(StoredLetters(folder)) as stored:
        for letter in stored.letters(query):
            kept_for_s = max(0, (now_ns - letter.received_wall_ns) // 10**9) if letter.is_synced else None
            yield dead_letter_facts(letter, kept_for_s=kept_for_s, has_data=asked == "dead-letters.show")
        if stored.damaged:
            raise ControlError(f"{stored.damaged} damaged letters are not shown")


def _read(stored: Inspection, config: Config, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    query = HistoryQuery.of(
        since=request["since"],
        device=request["device"],
        now_wall_ns=clock.wall_ns(),
        now_journal_s=stored.journal_s(),
    )
    position: list[Place] | None = None
    while True:
        step = history_step(stored, query=query, position=position)
        position = step.position
        yield from (event_facts(event, gateway=config.gateway.id) for event in step.events)
        if position is None:
            return


def _verify(stored: Inspection, config: Config) -> dict[str, Any]:
    report = VerifyReport(0, 0, 0, 0, 0, ())
    if (walk := stored.verification()) is not None:
        while not walk.step():
            pass
        report = walk.report()
    filters = {name: route_of(name, uplink).takes for name, uplink in config.uplinks.items()}
    count = PendingCount(stored, filters or {NOBODY_NAME: Route(NOBODY_NAME).takes})
    while not count.step():
        pass
    return verify_facts(report, count.facts(), notes=stored.notes)
