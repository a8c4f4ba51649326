"""Read ahead from disk for the uplinks that have fallen behind what is in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gather import handed_in
from fieldgate.journal.journal import Journal
from fieldgate.journal.records import Loss, ReadHint, ReadResult
from fieldgate.journal.stream import Stream
from fieldgate.journal.writer import Writer

__all__ = ["Reads"]

_READ_BYTES = 96 << 10  # a commit may have to wait for it
_ALL = 1 << 62


class Reads:
    """One read per cursor at a time. ``lost`` is told of damage, ``failed`` of the journal's failure."""

    def __init__(
        self,
        writer: Writer,
        *,
        lost: Callable[[Loss], None],
        failed: Callable[[BaseException], None],
        done: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._lost = lost
        self._failed = failed
        self._done = done
        self._hints: dict[tuple[str, int], ReadHint | None] = {}

    def begin_for(self, feed: UplinkFeed) -> None:
        """Begin the reads that an uplink wants now."""
        for stream in feed.streams:
            if stream.wants_read:
                self._begin(feed, stream)

    def _begin(self, feed: UplinkFeed, stream: Stream) -> None:
        stream.is_reading = True
        after_seq, lane, generation = stream.ready_to, stream.lane, stream.generation
        hint = self._hints.get((feed.name, lane))
        if hint is not None and hint.last_seq > after_seq:
            hint = None

        def read(journal: Journal) -> ReadResult:
            return journal.read(lane, after_seq, max_bytes=_READ_BYTES, hint=hint)

        def have_read(future: Future[ReadResult]) -> None:
            error = future.exception()
            if error is not None:
                self._failed(error)
            else:
                self._take(feed, stream, generation, future.result())
                self._done()

        self._writer.submit(read, have_read)

    def _take(self, feed: UplinkFeed, stream: Stream, generation: int, result: ReadResult) -> None:
        is_current = stream.generation == generation
        if is_current:
            stream.is_reading = False
        for loss in result.losses:
            self._lost(loss)
        if is_current:
            self._hints[feed.name, stream.lane] = result.hint
            for block in result.blocks:
                handed = handed_in(block.info.marks, feed.name)
                feed.have_read(stream, block.events, through_seq=block.info.last_seq, handed=handed)
            lost_to = max((loss.last_seq for loss in result.losses), default=0)
            feed.have_read(stream, (), through_seq=lost_to if result.more else _ALL)
