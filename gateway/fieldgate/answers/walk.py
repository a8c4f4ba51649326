"""Walk over the running gateway's journal without getting in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from fieldgate.journal.history import HistoryQuery, Place, history_step
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import Event

__all__ = ["walk"]


async def walk(pipeline: Pipeline, query: HistoryQuery) -> AsyncIterator[list[Event]]:
    """Yield what ``query`` takes in order of sequence numbers, some hundred events at a time; also empty lists."""
    keeper = pipeline.keeper
    position: list[Place] | None = None
    while True:
        step = await keeper.call(partial(history_step, query=query, position=position))
        for loss in step.losses:
            keeper.book_loss(loss)
        position = step.position
        yield step.events
        if position is None:
            return
