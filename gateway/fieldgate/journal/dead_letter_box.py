"""The dead letters' core: which are kept, which are only counted, and when each is settled.

Laws of this file:

- A letter is settled once it is on the disk. One that is not kept (over the rate, over the memory, too large for the
  file) is counted by profile and reason, and settled at once: it is no event, and nobody waits for it.
- Letters are written, and with that numbered, in the order in which they came.
- A letter that is replayed stays on the disk until its new event is settled, so a crash on the way repeats it and
  loses nothing. What is refused again keeps its number, and is not measured against the rate.
- What waits in memory is bounded, however long the disk takes nothing.

No I/O, no clock: `fieldgate.journal.dead_letter_keeper` does what it answers.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from fieldgate.ingest.source import Settler
from fieldgate.journal.dead_letter import DeadLetter, Kind, LetterChanges
from fieldgate.journal.dead_letter_rates import LetterRates
from fieldgate.journal.policy import commit_due_s

__all__ = ["BoxLimits", "DeadLetterBox", "Replay"]

_APART_S: Final = 0.1  # from one write to the next, whoever waits
_MAX_GONE: Final = 500  # removals in one write, so that the journal's own are not held up
_MAX_DETAIL: Final = 500
_WAITING_COST: Final = 300  # bytes that a letter takes in memory beside its text

Cause = Literal["rate", "memory", "size"]


class BoxLimits(NamedTuple):
    """``rate_per_s`` is for each topic. ``waiting_bytes`` are in memory, ``letter_bytes`` is the largest one letter."""

    rate_per_s: float
    waiting_bytes: int
    letter_bytes: int


class _Waiting(NamedTuple):
    letter: DeadLetter
    settler: Settler
    position: int
    since_s: float


class Replay:
    """The `Settler` of letters that go through the flow again: position ``n`` is ``letters[n]``.

    ``left`` are those whose fate is not on the disk yet, ``again`` those that were refused once more.
    """

    source = "replay"

    def __init__(self, box: DeadLetterBox, letters: Sequence[DeadLetter]) -> None:
        self.letters = letters
        self.left = {letter.number for letter in letters}
        self.again: list[DeadLetter] = []
        self._box = box

    def settled(self, first: int, count: int) -> None:
        """See `Settler`: an event was made of it, and is safe."""
        for letter in self.letters[first : first + count]:
            self._box.leaves(letter.number)

    def flush(self) -> None:
        """See `Settler`; there is nobody to write to."""

    def refused_as(self, position: int, letter: DeadLetter) -> DeadLetter:
        """Return the letter at ``position`` as it is now that it was refused again; ``letter`` says why."""
        old = self.letters[position]
        letter.number = old.number
        letter.attempts = old.attempts + 1
        letter.source, letter.received_wall_ns = old.source, old.received_wall_ns
        letter.is_synced, letter.heard_s = old.is_synced, old.heard_s
        self.again.append(letter)
        return letter


class DeadLetterBox:
    """See the laws above. ``base_s`` plus a boot time is the journal's own time.

    ``attention`` is called when there is something to do at the next turn of the loop. The counters are since the
    start of the process.
    """

    def __init__(
        self,
        limits: BoxLimits,
        *,
        base_s: float,
        commit_delay_s: float,
        attention: Callable[[], None],
    ) -> None:
        self.sampled_out: Counter[Kind] = Counter()
        self.sampled_out_by: Counter[Cause] = Counter()
        self.evicted: Counter[Kind] = Counter()
        self.received: Counter[str] = Counter()  # all of them, by reason
        self.rejected: Counter[str] = Counter()  # by reason: acknowledged, and not even meant to be kept
        self._limits = limits
        self._rates = LetterRates(limits.rate_per_s)
        self._base_s = base_s
        self._commit_delay_s = commit_delay_s
        self._attention = attention
        self._waiting: deque[_Waiting] = deque()
        self._writing: list[_Waiting] = []
        self._again: dict[int, DeadLetter] = {}
        self._gone: dict[int, None] = {}
        self._replays: dict[int, Replay] = {}
        self._leaving: set[int] = set()
        self._touched: dict[Settler, None] = {}
        self._is_attentive = False
        self._is_urgent = False
        self._not_before_s = 0.0
        self.waiting_bytes = 0
        self.removals = 0  # writes that removed letters

    # -- letters come in ------------------------------------------------------------------------------------------

    def put(self, letter: DeadLetter, settler: Settler, position: int, *, now_s: float) -> bool:
        """Take a letter; return whether it is kept. ``position`` is settled then or later, like that of an event."""
        if isinstance(settler, Replay):
            again = settler.refused_as(position, letter)
            self._again[again.number] = again
            self._hurry()
            return True
        self.received[letter.reason] += 1
        cost_bytes = letter.size_bytes + _WAITING_COST
        cause = self._why_not(letter, cost_bytes, now_s)
        if cause is not None:
            self.sampled_out[letter.kind] += 1
            self.sampled_out_by[cause] += 1
            self._settle(settler, position, 1)
            return False
        letter.detail = letter.detail[:_MAX_DETAIL]
        letter.heard_s = int(self._base_s + now_s)
        self._waiting.append(_Waiting(letter, settler, position, now_s))
        self.waiting_bytes += cost_bytes
        self._changed()
        return True

    def _why_not(self, letter: DeadLetter, cost_bytes: int, now_s: float) -> Cause | None:
        if letter.size_bytes > self._limits.letter_bytes:
            return "size"
        if self.waiting_bytes + cost_bytes > self._limits.waiting_bytes:
            return "memory"
        return None if self._rates.takes(letter.source, letter.topic, now_s) else "rate"

    def reject(self, reason: str, settler: Settler, first: int, count: int) -> None:
        """Settle messages that nobody wants kept; they are counted."""
        self.rejected[reason] += count
        self.received[reason] += count
        self._settle(settler, first, count)

    def stalled(self) -> None:
        """A device waits for its acknowledgements, perhaps for that of a letter: do not put off writing it."""
        if self._waiting:
            self._hurry()

    # -- letters leave --------------------------------------------------------------------------------------------

    def leaves(self, number: int) -> None:
        """Remove a letter from the disk with the next write, and soon."""
        self._again.pop(number, None)
        self._gone[number] = None
        self._leaving.add(number)
        self._hurry()

    def purge(self, numbers: Iterable[int]) -> None:
        """Remove letters for good, also such as are being replayed."""
        for number in numbers:
            self.leaves(number)

    def is_leaving(self, numbers: Iterable[int]) -> bool:
        """Whether any of these is still to be removed from the disk."""
        return not self._leaving.isdisjoint(numbers)

    def is_replaying(self, number: int) -> bool:
        """Whether a letter is on its way through the flow again."""
        return number in self._replays

    @property
    def replaying(self) -> int:
        """How many are."""
        return len(self._replays)

    def replay(self, letters: Sequence[DeadLetter]) -> Replay:
        """Return who is to be told what became of ``letters``, none of which `is_replaying`."""
        replay = Replay(self, letters)
        self._replays.update(dict.fromkeys(replay.left, replay))
        return replay

    # -- a turn ---------------------------------------------------------------------------------------------------

    def begin_turn(self) -> None:
        """Let every settler write its acknowledgements."""
        self._is_attentive = False
        touched, self._touched = self._touched, {}
        for settler in touched:
            settler.flush()

    def due_s(self, now_s: float) -> float | None:
        """Return when the next write is due; None when nothing waits for one."""
        if not (self._waiting or self._again or self._gone):
            return None
        if self._is_urgent or not self._waiting:
            return max(now_s, self._not_before_s)
        due_s = commit_due_s(
            eligible=len(self._waiting),
            eligible_since_s=self._waiting[0].since_s,
            is_stalled=False,
            commit_delay_s=self._commit_delay_s,
        )
        return max(due_s, self._not_before_s)

    def begin_write(self, now_s: float) -> LetterChanges:
        """Return what must be written now; `written` or `write_failed` must follow before the next call."""
        self._not_before_s = now_s + _APART_S
        self._is_urgent = False
        self._writing = list(self._waiting)
        self._waiting.clear()
        again, self._again = self._again, {}
        gone = list(self._gone)[:_MAX_GONE]
        for number in gone:
            del self._gone[number]
        return LetterChanges([one.letter for one in self._writing], list(again.values()), gone)

    def written(self, changes: LetterChanges, evicted: Counter[Kind]) -> None:
        """``changes`` are on the disk: what is new in them is settled."""
        self.evicted += evicted
        for one in self._writing:
            self.waiting_bytes -= one.letter.size_bytes + _WAITING_COST
            self._settle(one.settler, one.position, 1)
        self._writing = []
        for number in (*changes.gone, *(letter.number for letter in changes.again)):
            replay = self._replays.pop(number, None)
            if replay is not None:
                replay.left.discard(number)
        self._leaving.difference_update(changes.gone)
        self.removals += bool(changes.gone)
        if self._gone:
            self._hurry()
        self._changed()

    def write_failed(self, changes: LetterChanges, *, retry_at_s: float) -> None:
        """Nothing of ``changes`` was written: it waits again, at its old place."""
        self._not_before_s = retry_at_s
        self._waiting.extendleft(reversed(self._writing))
        self._writing = []
        self._again = {letter.number: letter for letter in changes.again} | self._again
        self._gone = dict.fromkeys(changes.gone) | self._gone
        self._changed()

    @property
    def is_behind(self) -> bool:
        """Whether anything is to be written, or being written."""
        return bool(self._waiting or self._writing or self._again or self._gone or self._leaving)

    @property
    def waiting(self) -> int:
        """How many new letters are not on the disk yet."""
        return len(self._waiting) + len(self._writing)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _settle(self, settler: Settler, first: int, count: int) -> None:
        settler.settled(first, count)
        self._touched[settler] = None
        self._changed()

    def _hurry(self) -> None:
        self._is_urgent = True
        self._changed()

    def _changed(self) -> None:
        if not self._is_attentive:
            self._is_attentive = True
            self._attention()
