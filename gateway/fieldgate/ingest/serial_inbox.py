"""What a serial port hears, on its way into the flow: cut into frames, numbered, handed over.

Laws of this file:

- An intact frame goes to the intake once; a damaged one goes to the dead letters with its raw bytes, and never on.
- What is half read when the port is lost is dropped and counted: the rest of it went to nobody.
- A port cannot be told that something is safe, nor send it again. But what is not safe yet is counted, and over
  ``max_unsettled_bytes``, or while the intake is closed, nothing more is to be read.

No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from fieldgate.ingest.event_filter import client_seed, content_id
from fieldgate.ingest.source import Damaged, Intake, Received
from fieldgate_devices.framing.framer import Frame, Framer

__all__ = ["Piece", "SerialInbox", "SerialTally"]

_OVERHEAD_BYTES: Final = 64  # what a message costs beside its text while it waits
_NOT_UNDERSTOOD_BYTES: Final = 1024


class Piece(NamedTuple):
    """What one read gave, and when it came. Without content: nothing came until then. ``is_cut``: the port was lost."""

    at_s: float
    content: bytes
    is_cut: bool = False


_CUT: Final = Piece(0.0, b"", is_cut=True)


class SerialTally:
    """Counters of a source over its life."""

    __slots__ = ("bad", "bytes", "dropped_bytes", "dropped_frames", "frames", "unsaved")

    def __init__(self) -> None:
        self.bytes = 0  # as they came
        self.frames = 0  # intact
        self.bad: Counter[str] = Counter()  # damaged frames, by the code of the fault
        self.dropped_frames = 0  # half read when the port was lost
        self.dropped_bytes = 0  # of these
        self.unsaved = 0  # frames never handed over when the gateway stopped while nothing could be stored


class SerialInbox:
    """Implements `Settler`; its positions go on over reconnects. ``resumes`` is called when reading may go on."""

    def __init__(
        self,
        name: str,
        topic: str,
        framer: Framer,
        intake: Intake,
        *,
        lane: int,
        max_unsettled_bytes: int,
        resumes: Callable[[], None],
    ) -> None:
        self.source = name
        self.tally = SerialTally()
        self.unsettled_bytes = 0
        self.is_paused = False
        self.has_understood = False  # an intact frame came since the port was opened
        self._topic = topic
        self._framer = framer
        self._intake = intake
        self._lane = lane
        self._max_unsettled_bytes = max_unsettled_bytes
        self._resumes = resumes
        self._client_seed = client_seed(f"serial:{name}")
        self._topic_seed = xxh3_64_intdigest(topic.encode())
        self._sizes: dict[int, int] = {}
        self._next = 0
        self._held: list[Piece] = []
        self._unknown_bytes = 0  # since the port was opened

    # -- Settler ----------------------------------------------------------------------------------------------------

    def settled(self, first: int, count: int) -> None:
        """See `Settler`."""
        take = self._sizes.pop
        for position in range(first, first + count):
            self.unsettled_bytes -= take(position)

    def flush(self) -> None:
        """See `Settler`: there is nobody to tell, but there may be room again."""
        if self.is_paused and not self._held and self.unsettled_bytes <= self._max_unsettled_bytes // 2:
            self.is_paused = False
            self._resumes()

    # -- for the source ---------------------------------------------------------------------------------------------

    @property
    def unsettled(self) -> int:
        """How many messages are not safe yet."""
        return len(self._sizes)

    @property
    def has_held(self) -> bool:
        """Whether something waits here for the intake to open."""
        return bool(self._held)

    @property
    def wakes_at_s(self) -> float | None:
        """When the framer wants to know that nothing came."""
        return self._framer.wakes_at_s

    @property
    def skipped_bytes(self) -> int:
        """Bytes that stood outside of any frame."""
        return self._framer.skipped_bytes

    @property
    def is_not_understood(self) -> bool:
        """Whether much came since the port was opened, and no intact frame."""
        return not self.has_understood and self._unknown_bytes >= _NOT_UNDERSTOOD_BYTES

    def opened(self) -> None:
        """A new connection begins."""
        self.has_understood = False
        self._unknown_bytes = 0

    def take(self, pieces: Iterable[Piece]) -> None:
        """Take one turn of the port."""
        self._held += pieces
        self.retry()

    def retry(self) -> None:
        """Hand over what waits, if the intake is open."""
        if self._held and self._intake.is_open():
            self._hand_over(self._frames())
            self.flush()
        if self._held or self.unsettled_bytes > self._max_unsettled_bytes:
            self.is_paused = True
            self._intake.stalled()

    def cut(self) -> None:
        """The port is lost: nothing of what comes next belongs to what was half read."""
        self._held.append(_CUT)
        self.retry()

    def end(self) -> None:
        """The gateway stops: nothing more will come, and what cannot be handed over now is lost."""
        self._held.append(_CUT)
        frames = self._frames()
        if self._intake.is_open():
            self._hand_over(frames)
        else:
            self.tally.unsaved += len(frames)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _frames(self) -> list[Frame]:
        """What the framer makes of all that waits."""
        framer, tally = self._framer, self.tally
        frames: list[Frame] = []
        held, self._held = self._held, []
        for at_s, content, is_cut in held:
            wakes_at_s = framer.wakes_at_s
            if wakes_at_s is not None and at_s >= wakes_at_s:
                frames += framer.tick(at_s)
            if content:
                tally.bytes += len(content)
                self._unknown_bytes += len(content)
                frames += framer.feed_bytes(content, at_s)
            elif is_cut:
                dropped = framer.reset()
                tally.dropped_frames += dropped > 0
                tally.dropped_bytes += dropped
        return frames

    def _hand_over(self, frames: list[Frame]) -> None:
        """Positions of intact frames come first, so that each kind is one call."""
        intact = [self._received(frame) for frame in frames if not frame.fault]
        damaged = [Damaged(self._received(frame), frame.fault, frame.detail) for frame in frames if frame.fault]
        tally = self.tally
        tally.frames += len(intact)
        if intact:
            self.has_understood = True
            self._intake.accept(intact, self, self._placed(intact), lane=self._lane)
        if damaged:
            tally.bad.update(one.code for one in damaged)
            first = self._placed([one.message for one in damaged])
            self._intake.refuse(damaged, self, first, lane=self._lane)

    def _received(self, frame: Frame) -> Received:
        payload, topic = frame.payload, self._topic
        hash_ = content_id(client_seed=self._client_seed, topic_seed=self._topic_seed, packet_id=0, payload=payload)
        return Received(topic, payload, hash_, len(topic) + len(payload))

    def _placed(self, messages: list[Received]) -> int:
        """Give them positions; return the first."""
        first, sizes = self._next, self._sizes
        for position, message in enumerate(messages, first):
            size_bytes = message.size_bytes + _OVERHEAD_BYTES
            sizes[position] = size_bytes
            self.unsettled_bytes += size_bytes
        self._next = first + len(messages)
        return first
