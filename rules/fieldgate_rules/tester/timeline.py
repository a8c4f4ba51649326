"""What is given in a test, in the order in which it happens; made as it is needed, so that a day is no list."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.recording import Heard, RecordingReader
from fieldgate_rules.model.tests import ClockSpec, GivenSpec, RestartSpec
from fieldgate_rules.tester.messages import Messages, Said

__all__ = [
    "Action",
    "Entry",
    "Happening",
    "Noticed",
    "Recorded",
    "Recording",
    "Restarted",
    "Spoken",
    "Stepped",
    "Timeline",
    "recorded",
]

_NS: Final = 10**9
_MAX_BROKEN: Final = 20

Chunks = Callable[[], Iterable[bytes]]
"""Opens a recording once more, and gives its bytes in pieces."""


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """Events that come in one read. ``late_ns`` is how long before the device says that it happened."""

    said: Sequence[Said]
    late_ns: int | None = None
    is_replayed: bool = False


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something happens to the gateway, or is noticed of a device (empty: the gateway itself)."""

    kind: str
    device: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Restarted:
    """The gateway stops and starts again."""

    spec: RestartSpec


@dataclass(frozen=True, slots=True)
class Stepped:
    """Its clock is changed."""

    spec: ClockSpec


Action = Spoken | Noticed | Restarted | Stepped


class Happening(msgspec.Struct, frozen=True, gc=False):
    """Something, ``at_ns`` after the test began."""

    at_ns: int
    action: Action


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording; ``path`` is how messages name it."""

    path: str
    chunks: Chunks


@dataclass(frozen=True, slots=True)
class Recorded:
    """The messages of a recording."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of ``given``, checked."""

    spec: GivenSpec
    where: Location
    action: Action | Recorded

    @property
    def last_ns(self) -> int:
        """When it happens for the last time; of a recording, when that begins."""
        at_ns, every_ns, times = self._rhythm()
        return at_ns + every_ns * (times - 1)

    def _rhythm(self) -> tuple[int, int, int]:
        """When first, after how long again, and how often in all."""
        spec = self.spec
        at_ns = round(spec.at * _NS)
        if spec.every is None:
            return at_ns, 0, 1
        every_ns = round(spec.every * _NS)
        times = spec.times if spec.times is not None else 10**9
        if spec.until is not None:
            times = min(times, max(0, (round(spec.until * _NS) - at_ns) // every_ns + 1))
        return at_ns, every_ns, times

    def happenings(self, messages: Messages, tell: Callable[[Problem], None]) -> Iterator[Happening]:
        """Yield all of it in order; what is wrong with a recording is told."""
        if isinstance(self.action, Recorded):
            yield from recorded(self.action.recording, messages, tell, begin_ns=round(self.spec.at * _NS))
            return
        at_ns, every_ns, times = self._rhythm()
        for number in range(times):
            yield Happening(at_ns + number * every_ns, self.action)


class Timeline:
    """All entries of a test. ``problems`` are those of recordings, so far as they were read."""

    def __init__(self, entries: Sequence[Entry], messages: Messages) -> None:
        self.problems: list[Problem] = []
        self._entries = entries
        self._messages = messages

    def __iter__(self) -> Iterator[Happening]:
        """Yield what happens, the earliest first; what happens at the same time in the order of the file."""
        self.problems.clear()
        parts = [entry.happenings(self._messages, self.problems.append) for entry in self._entries]
        if len(parts) == 1:
            return parts[0]
        return heapq.merge(*parts, key=lambda one: one.at_ns)


def recorded(
    recording: Recording, messages: Messages, tell: Callable[[Problem], None], *, begin_ns: int | None
) -> Iterator[Happening]:
    """Yield what a recording says: from ``begin_ns`` on, or (None) at the times that it names, in ns since 1970.

    What came at one time is one read. A message that breaks its contract is no event, and is told as a warning.
    """
    reader = RecordingReader(recording.path)
    problems = reader.problems
    offset_ns = 0 if begin_ns is None else None
    told = broken = now_ns = 0
    waiting: list[Said] = []
    for line, heard in chain.from_iterable(_pieces(reader, recording.chunks)):
        if len(problems) > told:
            for problem in problems[told:]:
                tell(problem)
            told = len(problems)
        if offset_ns is None:
            offset_ns = (begin_ns or 0) - heard.at_ns
        at_ns = heard.at_ns + offset_ns
        if at_ns != now_ns:
            if waiting:
                yield Happening(now_ns, Spoken(waiting))
                waiting = []
            now_ns = at_ns
        try:
            waiting += messages.read(heard.topic, heard.payload)
        except Breach as breach:
            broken += 1
            if broken <= _MAX_BROKEN:
                text = f"the message on {heard.topic!r} breaks its contract, and is no event: {breach.detail}"
                tell(Problem(Location(recording.path, line, 1), text, is_warning=True))
    if waiting:
        yield Happening(now_ns, Spoken(waiting))
    for problem in problems[told:]:
        tell(problem)
    if broken > _MAX_BROKEN:
        text = f"{broken - _MAX_BROKEN} more messages break their contract"
        tell(Problem(Location(recording.path, 1, 1), text, is_warning=True))


def _pieces(reader: RecordingReader, chunks: Chunks) -> Iterator[Sequence[tuple[int, Heard]]]:
    """Yield all messages, those of a chunk together."""
    for chunk in chunks():
        yield reader.feed(chunk)
        if reader.is_over:
            return
    yield reader.end()
