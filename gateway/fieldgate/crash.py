"""Named places at which a test lets the process die or hang, and mutants that a test must find out.

``FIELDGATE_CRASH_AT=NAME:N`` kills the process the N-th time it comes by; ``FIELDGATE_MUTANT=NAME`` breaks a promise
on purpose; with ``FIELDGATE_FREEZE_WRITER=FILE`` the journal's thread hangs for as long as there is a file of that
name. All wrap what is already built: without the variables nothing is touched and nothing is slower.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.dead_letter import LetterChanges
from fieldgate.journal.outbox import WriteJob
from fieldgate.observe.watchdog import Watchdog
from fieldgate.pipeline import Pipeline

__all__ = ["VARIABLES", "install"]

VARIABLES: Final = frozenset({"FIELDGATE_CRASH_AT", "FIELDGATE_MUTANT", "FIELDGATE_FREEZE_WRITER"})
_LOOK_AGAIN_S: Final = 0.05


def install(pipeline: Pipeline) -> None:
    """Do what the environment asks for."""
    mutant = os.environ.get("FIELDGATE_MUTANT")
    if mutant == "ack-before-commit":
        _acknowledge_before_commit(pipeline)
    elif mutant == "ack-before-letters":
        _acknowledge_before_letters(pipeline)
    elif mutant == "commit-divides-causes":
        _bind_nothing(pipeline)
    elif mutant == "commit-without-sync":
        pipeline.journal._active.file.connection.execute("PRAGMA synchronous=NORMAL")
    elif mutant == "letters-without-sync":
        pipeline.dead_letters._file._side.connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[union-attr]  # it is open
    elif mutant == "feed-without-progress":
        _feed_without_progress()
    elif mutant:
        raise ValueError(f"FIELDGATE_MUTANT={mutant!r}: no such mutant")
    if freeze := os.environ.get("FIELDGATE_FREEZE_WRITER"):
        _before(pipeline.keeper._writer, "_do", partial(_hang_while_there_is, Path(freeze)))
    crash_at = os.environ.get("FIELDGATE_CRASH_AT")
    if not crash_at:
        return
    name, _, count = crash_at.partition(":")
    left = int(count or 1)

    def come_by() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    keeper = pipeline.keeper
    match name:
        case "before-commit":
            _before(keeper, "_submit_commit", come_by)
        case "after-commit":
            _before(keeper, "_committed", come_by)
        case "after-send":
            for feed in pipeline.outbox.feeds.values():
                _after(feed, "take", partial(_once_written, come_by))
        case "before-mark":
            for feed in pipeline.outbox.feeds.values():
                _before(feed, "delivered", come_by)
        case "before-letters":
            _after(pipeline.dead_letters.box, "begin_write", lambda _: come_by())
        case "after-letters":
            _before(pipeline.dead_letters.box, "written", come_by)
        case _:
            raise ValueError(f"FIELDGATE_CRASH_AT={name!r}: no such place")


def _hang_while_there_is(file: Path) -> None:
    while file.exists():
        threading.Event().wait(_LOOK_AGAIN_S)


def _once_written(call: Callable[[], None], taken: list[Shipment]) -> None:
    """After the current callbacks: what was taken has been written to the socket by then."""
    if taken:
        asyncio.get_running_loop().call_soon(call)


def _before(owner: Any, name: str, call: Callable[[], None]) -> None:
    wrapped = getattr(owner, name)

    def first(*args: Any, **kwargs: Any) -> Any:
        call()
        return wrapped(*args, **kwargs)

    setattr(owner, name, first)


def _after(owner: Any, name: str, call: Callable[[Any], Any]) -> None:
    wrapped = getattr(owner, name)

    def then(*args: Any, **kwargs: Any) -> Any:
        answer = wrapped(*args, **kwargs)
        call(answer)
        return answer

    setattr(owner, name, then)


def _acknowledge_before_commit(pipeline: Pipeline) -> None:
    outbox = pipeline.outbox
    begin_write = outbox.begin_write

    def eager(now_s: float, *, everything: bool = False) -> WriteJob:
        job = begin_write(now_s, everything=everything)
        for entries in job.lanes.values():
            for batch, _ in entries:
                if batch.settler is not None and isinstance(batch.positions, int):
                    batch.settler.settled(batch.positions, len(batch.events))
                    batch.settler.flush()
                batch.is_settled = True
        return job

    outbox.begin_write = eager  # type: ignore[method-assign]  # that is the mutant


def _feed_without_progress() -> None:
    """A watchdog that only shows that the loop runs, as most are."""
    Watchdog.may_feed = lambda *_: True  # type: ignore[method-assign]  # that is the mutant


def _bind_nothing(pipeline: Pipeline) -> None:
    outbox = pipeline.outbox
    accept = outbox.accept

    def careless(*args: Any, **kwargs: Any) -> None:
        accept(*args, **(kwargs | {"is_bound": False}))

    outbox.accept = careless  # type: ignore[method-assign]  # that is the mutant


def _acknowledge_before_letters(pipeline: Pipeline) -> None:
    box = pipeline.dead_letters.box
    begin_write = box.begin_write

    def eager(now_s: float) -> LetterChanges:
        changes = begin_write(now_s)
        for one in box._writing:
            one.settler.settled(one.position, 1)
            one.settler.flush()
        box._writing = []
        return changes

    box.begin_write = eager  # type: ignore[method-assign]  # that is the mutant
