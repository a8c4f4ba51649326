"""What the running gateway answers about dead letters: which, what is in one, send them through again, drop them.

They are read a piece at a time, so that neither a commit nor a device waits for a slow reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import msgspec

from fieldgate import clock
from fieldgate.control import BEAT, Answer, ControlError, Handler
from fieldgate.journal.dead_letter import DeadLetter, LetterQuery
from fieldgate.journal.facts import dead_letter_facts
from fieldgate.pipeline import Pipeline

__all__ = ["ChosenLetters", "dead_letter_handlers"]

_LOOK_EVERY_S: Final = 0.05
_BEAT_EVERY_S: Final = 1.0


class ChosenLetters(msgspec.Struct, forbid_unknown_fields=True):
    """Which dead letters a request is about; see `LetterQuery`."""

    numbers: list[int] | None = None
    profile: str | None = None
    reason: str | None = None
    topic: str | None = None
    since: str | None = None

    def query(self, *, now_journal_s: float) -> LetterQuery:
        """Return what to look for.

        Raises:
            HistoryError: ``since`` says no time.
        """
        return LetterQuery.of(**msgspec.structs.asdict(self), now_wall_ns=clock.wall_ns(), now_journal_s=now_journal_s)

    def missing(self, found: set[int]) -> list[int]:
        """Return the numbers that were asked for and not found."""
        return [number for number in self.numbers or () if number not in found]


def dead_letter_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {
        "dead-letters.list": partial(_list, pipeline, has_data=False),
        "dead-letters.show": partial(_list, pipeline, has_data=True),
        "dead-letters.replay": partial(_replay, pipeline),
        "dead-letters.purge": partial(_purge, pipeline),
    }


async def _list(pipeline: Pipeline, request: dict[str, Any], *, has_data: bool) -> Answer:
    chosen = msgspec.convert(request, ChosenLetters)
    now_s = await _journal_s(pipeline)
    async for letters in _found(pipeline, chosen.query(now_journal_s=now_s)):
        for letter in letters:
            yield _facts(letter, now_s, has_data=has_data)


async def _replay(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """A piece at a time: the next one goes when what became of the last one is on the disk.

    Nothing comes between reading a piece and sending it: what others replayed or dropped meanwhile must not go again.
    """
    chosen = msgspec.convert(request, ChosenLetters)
    box = pipeline.dead_letters.box
    seen: set[int] = set()
    again: list[DeadLetter] = []
    already = 0
    now_s = await _journal_s(pipeline)
    query, page = chosen.query(now_journal_s=now_s), None
    while page is None or not page.is_last:
        async for _ in _while(lambda: not pipeline.is_open()):
            yield BEAT
        page = await pipeline.dead_letters.read(query, after=0 if page is None else page.last_number)
        letters = page.letters
        seen.update(letter.number for letter in letters)
        free = [one for one in letters if not (box.is_replaying(one.number) or box.is_leaving((one.number,)))]
        already += len(letters) - len(free)
        replay = pipeline.replay(free)
        async for _ in _while(lambda: bool(replay.left)):  # noqa: B023 - it ends in this turn
            yield BEAT
        again += replay.again
    yield {
        "replayed": len(seen) - already,
        "events": len(seen) - already - len(again),
        "again": [_facts(letter, now_s) for letter in again],
        "already": already,
        "unknown": chosen.missing(seen),
    }


async def _purge(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    chosen = msgspec.convert(request, ChosenLetters)
    letters = pipeline.dead_letters
    numbers: set[int] = set()
    async for found in _found(pipeline, chosen.query(now_journal_s=await _journal_s(pipeline))):
        numbers.update(letter.number for letter in found)
    letters.box.purge(sorted(numbers))
    async for _ in _while(lambda: letters.box.is_leaving(numbers)):
        if letters.problem:
            raise ControlError(f"the dead letters are dropped as soon as the disk works: {letters.problem}")
        yield BEAT
    yield {"purged": len(numbers), "unknown": chosen.missing(numbers)}


def _facts(letter: DeadLetter, now_journal_s: int, *, has_data: bool = False) -> dict[str, Any]:
    return dead_letter_facts(letter, kept_for_s=max(0, now_journal_s - letter.heard_s), has_data=has_data)


async def _journal_s(pipeline: Pipeline) -> int:
    boot_ns = clock.boot_ns()
    return await pipeline.keeper.call(lambda journal: journal.journal_s(boot_ns))


async def _found(pipeline: Pipeline, query: LetterQuery) -> AsyncIterator[list[DeadLetter]]:
    """What is on the disk now; what comes meanwhile may be among it."""
    after = 0
    while True:
        page = await pipeline.dead_letters.read(query, after=after)
        after = page.last_number
        yield page.letters
        if page.is_last:
            return


async def _while(is_so: Callable[[], bool]) -> AsyncIterator[None]:
    """Wait until it is not so any more; yield now and then."""
    beat_at_s = clock.boot_s() + _BEAT_EVERY_S
    while is_so():
        await asyncio.sleep(_LOOK_EVERY_S)
        if clock.boot_s() >= beat_at_s:
            beat_at_s += _BEAT_EVERY_S
            yield
