"""Reads that gave anything but one event of their lane per message: several, of several lanes, none.

A message is settled when all its events are, a dead letter when it is on the disk, one that nobody wants at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate.ingest.causes import Causes
from fieldgate.ingest.decode import Odd, Refused
from fieldgate.ingest.source import Received, Settler
from fieldgate.journal.dead_letter import UNKNOWN_DEVICE, DeadLetter
from fieldgate.journal.dead_letter_box import Replay
from fieldgate.journal.dead_letter_keeper import DeadLetters
from fieldgate.journal.outbox import Outbox
from fieldgate_devices.event import LANES, Event, Stamp, TimeQuality

__all__ = ["OddReads"]


class OddReads:
    """Divides them between the outbox and the dead letters."""

    def __init__(self, outbox: Outbox, dead_letters: DeadLetters) -> None:
        self._outbox = outbox
        self._dead_letters = dead_letters

    def take(
        self,
        events: Sequence[Event],
        odd: Odd | None,
        received: Sequence[Received],
        settler: Settler,
        first: int,
        *,
        stamp: Stamp,
    ) -> None:
        """Take what a read came to; see `Decoded`. ``odd`` None: message n is the cause of event n."""
        causes = range(len(events)) if odd is None else odd.causes
        together = Causes(settler, first, causes)
        for lane in LANES:
            places = [place for place, event in enumerate(events) if event.lane == lane]
            if places:
                size_bytes = sum(received[cause].size_bytes for cause in {causes[place] for place in places})
                of_lane = [events[place] for place in places]
                now_s = stamp.boot_ns / 1e9
                self._outbox.accept(of_lane, together, places, now_s=now_s, size_bytes=size_bytes)
        if odd is None:
            return
        for refused in odd.refused:
            self._bury(refused, received[refused.index], settler, first, stamp)
        for index in odd.rejected:
            if isinstance(settler, Replay):  # a letter that is kept stays kept
                own_lane = settler.letters[first + index].lane
                unknown = Refused(index, "", 0, UNKNOWN_DEVICE, "no profile takes it", own_lane)
                self._bury(unknown, received[index], settler, first, stamp)
            else:
                self._dead_letters.box.reject(UNKNOWN_DEVICE, settler, first + index, 1)

    def _bury(self, refused: Refused, message: Received, settler: Settler, first: int, stamp: Stamp) -> None:
        letter = DeadLetter(
            number=0,
            received_wall_ns=stamp.wall_ns,
            source=settler.source,
            topic=message.topic,
            payload=message.payload,
            content_id=message.content_id,
            lane=refused.lane,
            profile=refused.profile,
            version=refused.version,
            reason=refused.code,
            detail=refused.detail,
            is_synced=stamp.quality == TimeQuality.SYNCED,
        )
        self._dead_letters.put(letter, settler, first + refused.index)
