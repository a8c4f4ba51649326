"""How old the backlog of each uplink is: what is on disk is looked at in the journal's thread, the rest in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fieldgate import clock
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import JournalStats
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import LANES

__all__ = ["backlog_age_s", "floors", "look"]

_LOOK_BLOCKS: Final = 256  # heads looked at for the age of a backlog; behind that it is not told

Floors = tuple[int, ...]


def floors(pipeline: Pipeline) -> dict[str, Floors]:
    """Return up to where each uplink wants nothing any more, by lane; for `look`."""
    return {feed.name: tuple(stream.floor for stream in feed.streams) for feed in pipeline.outbox.all_feeds()}


def look(journal: Journal, *, floors: Mapping[str, Floors]) -> tuple[JournalStats, dict[str, float | None]]:
    """The journal's part, in its thread: sizes, and for each uplink the age of its oldest stored event."""
    now_s = journal.journal_s(clock.boot_ns())
    heads = {lane: journal.oldest_blocks(lane, _LOOK_BLOCKS) for lane in LANES}
    ages: dict[str, float | None] = {}
    for name, of_uplink in floors.items():
        firsts = [
            next((block.heard_s for block in heads[lane] if block.last_seq > of_uplink[lane]), None) for lane in LANES
        ]
        heard_s = [first_s for first_s in firsts if first_s is not None]
        ages[name] = float(max(0, now_s - min(heard_s))) if heard_s else None
    return journal.stats(), ages


def backlog_age_s(pipeline: Pipeline, feed: UplinkFeed, stored_age_s: float | None) -> float | None:
    """Return the age of the oldest event that an uplink has to deliver; None: there is none, or it is not known.

    ``stored_age_s`` is what `look` says of it.
    """
    ages = [_age_in_memory_s(pipeline, feed)] if pipeline.outbox.pending_in_memory(feed) else []
    if feed.state.pending:
        ages.append(stored_age_s)
    return max((age_s for age_s in ages if age_s is not None), default=None)


def _age_in_memory_s(pipeline: Pipeline, feed: UplinkFeed) -> float | None:
    oldest_s = [
        next((batch.accepted_s for batch in lane if batch.count_wanted_by(feed.bit_number)), None)
        for lane in pipeline.outbox.lanes
    ]
    known = [accepted_s for accepted_s in oldest_s if accepted_s is not None]
    return round(clock.boot_s() - min(known), 1) if known else None
