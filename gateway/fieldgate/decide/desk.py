"""The one way by which anybody tells a device something; the core of it, without I/O.

    submit ─► checks ─► row: received ─► its turn ─► row: started ─► executor ─► row: answered ─► told
                 └──────────────────────── refused ─────────────────────────┘

Laws of this file:

- Nothing is carried out before its start is on disk, and nothing is told before the answer is; where there is no disk,
  commands are refused, and what was under way is answered from memory.
- An id of an origin is carried out once. What a crash interrupted is answered unknown, never repeated; what had not
  been started goes on if it is still young enough.
- One command at a time per device, in the order in which they came; devices do not wait for each other. A command that
  waits for its device's return (accepted) does not keep others waiting: the device's session keeps the order.
- All that is open is bounded, per device and together; what is too much is refused.
- Right after the start devices are not back yet: what comes then waits a moment for its device.

It will not do: decide how a command reaches its device (`Executor`), or what it must look like (`Directory`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf

from fieldgate.decide.desk_contract import DeskLimits, Directory, Refusal, Target
from fieldgate.decide.open_order import (
    INTERRUPTED,
    Hearer,
    OpenOrder,
    answer_of,
    is_same,
    job_again,
    job_of,
    new_row,
    noted_row,
    overdue_text,
    stale_text,
    to_this_boot,
)  # fmt: skip
from fieldgate.decide.order_ages import expiry, is_over
from fieldgate.decide.order_book import OrderBook
from fieldgate.decide.order_row import Moment, Row, RowChanges, Stage
from fieldgate.decide.orders import Answer, Executor, Hears, Order, Outcome, Status
from fieldgate.decide.refusal_notes import RefusalNotes

__all__ = ["OrderDesk"]


class OrderDesk:
    """``tell`` hears of every final answer once it is recorded, with its row; without one where there is none.

    `OrderBook.event_safe` says that what it made of that is safe. Until then it hears of it again after a restart.
    ``attention`` is called when there is a row to write. ``counts`` are final answers by status, since the start;
    ``problem`` is why nothing can be recorded now.
    """

    def __init__(
        self,
        book: OrderBook,
        directory: Directory,
        *,
        executors: Sequence[Executor],
        attention: Callable[[], None],
        tell: Callable[[Order, Answer, Row | None], None],
        now: Callable[[], Moment],
        limits: DeskLimits | None = None,
    ) -> None:
        self.book = book
        self.counts: Counter[str] = Counter()
        self.problem = ""
        self._directory = directory
        self._executors = executors
        self._attention = attention
        self._tell = tell
        self._now = now
        self._limits = limits or DeskLimits()
        self._notes = RefusalNotes()
        self._devices_back_s = 0.0  # until then those who lost their connection at the restart may come
        self._open: dict[int, OpenOrder] = {}
        self._lines: dict[str, deque[OpenOrder]] = {}  # by device, in the order in which they came
        self._writing: list[tuple[OpenOrder, Stage, list[Answer]]] = []
        self._changes = RowChanges({}, [])

    @property
    def open_count(self) -> int:
        """How many orders have no final answer yet."""
        return len(self._open)

    @property
    def is_busy(self) -> bool:
        """Whether an executor has any of them, or an answer waits for the disk; not those that wait for a device."""
        return any((one.is_begun and one.row.answer is None) or one.answers for one in self._open.values())

    # -- what comes in --------------------------------------------------------------------------------------------

    def submit(self, order: Order, hears: Hears) -> None:
        """See `Desk`."""
        if self._joins(order, hears):
            return
        if self.problem:
            self.refuse(order, hears, f"no command can be recorded: {self.problem}")
            return
        now = self._now()
        if not self.book.make_room(now):
            reason = f"too many commands: the record holds {len(self.book):,}, all of them too young to be forgotten"
            self.refuse(order, hears, reason)
            return
        row = new_row(self.book.take_number(), order, now)
        row.has_id = self.book.find(order.origin, order.id) is None
        one = self._open[row.number] = OpenOrder(row, hears)
        one.patient_until_s = self._devices_back_s
        try:
            if not row.has_id:
                raise Refusal(f"the id {order.id!r} was given to another command before")
            if len(self._open) > self._limits.max_open:
                raise Refusal(f"too many commands: {len(self._open) - 1:,} are under way")
            target = one.target = self._directory.target(order)
            row.expires_boot_s, row.expires_wall_ns = expiry(order, target.max_age_s, now)
            self._place(one, target, now)
        except Refusal as refusal:
            self._answer(one, Outcome(Status.REFUSED, str(refusal)), now)
        self._changed(one)

    def note(self, order: Order, answer: Answer) -> None:
        """See `Desk`."""
        now = self._now()
        if self.problem or not self.book.make_room(now):
            self._notes.leave_out()
            return
        noted = self._notes.take(answer, now.boot_s)
        if noted is None:
            return
        row = noted_row(self.book.take_number(), order, noted, now)
        one = self._open[row.number] = OpenOrder(row, None)
        one.answers.append(noted)
        self._changed(one)

    def _joins(self, order: Order, hears: Hears) -> bool:
        """Whether the same order came before; ``hears`` is told what was told then, and what comes of it."""
        row = self.book.find(order.origin, order.id)
        if row is None or not is_same(row.order, order):
            return False
        one = self._open.get(row.number)
        hearer = Hearer(hears)
        if one is not None:
            one.hears.append(hearer)
        said = row.answer if one is None else one.said
        if said is not None:
            hearer.tell(order, said)
        return True

    def _place(self, one: OpenOrder, target: Target, now: Moment) -> None:
        """Put an order in its device's line, and begin it if it is its turn."""
        order = one.row.order
        if is_over(one.row, now):
            raise Refusal(stale_text(order, now))
        line = self._lines.get(order.device)
        if line is not None and len(line) >= self._limits.max_of_device:
            raise Refusal(f"too many commands: {len(line)} wait for {order.device!r} already")
        problem = ""
        if line is None:
            problem = target.executor.problem(job_of(one.row, target, now))
            if problem and now.boot_s >= one.patient_until_s:
                raise Refusal(problem)
            line = self._lines[order.device] = deque()
        line.append(one)
        if line[0] is one and not problem:
            self._begin(one, now)

    def _begin(self, one: OpenOrder, now: Moment) -> None:
        one.begin(now)

    def refuse(self, order: Order, hears: Hears, reason: str) -> None:
        """Refuse an order of which no trace can be left, or that came when none is taken any more."""
        answer = answer_of(order, Outcome(Status.REFUSED, reason), self._now())
        self.counts[Status.REFUSED] += 1
        Hearer(hears).tell(order, answer)
        self._tell(order, answer, None)

    def join(self, origin: str, hears: Hears) -> None:
        """See `Desk`."""
        for row in self.book:
            if row.order.origin != origin:
                continue
            one = self._open.get(row.number)
            if one is not None:
                one.hears.append(Hearer(hears, is_settled=True))
            elif row.answer is not None and not row.is_told:
                hears.answered(row.order, row.answer)

    def told(self, order: Order, answer: Answer) -> None:
        """See `Desk`."""
        self.book.told(order, answer)

    # -- the disk -------------------------------------------------------------------------------------------------

    def changes(self, *, is_all: bool = False) -> RowChanges:
        """Return what is to be written now, in one transaction; `written` answers, before it is asked again.

        ``is_all``: all rows, for an empty file.
        """
        changes = self._changes = self.book.everything() if is_all else self.book.changes()
        self._writing = [
            (one, one.row.stage, one.answers) for number in changes.rows if (one := self._open.get(number)) is not None
        ]
        for one, _, _ in self._writing:
            one.answers = []
        return changes

    def written(self, problem: str = "") -> None:
        """What `changes` gave last is on disk, or not, for the reason ``problem``."""
        writing, self._writing = self._writing, []
        self.problem = problem
        if problem:
            self.book.unwritten(self._changes)
        now = self._now()
        for one, stage, answers in writing:
            for answer in answers:
                self._told(one, answer)
            if one.row.number not in self._open or stage is Stage.ANSWERED:
                continue
            if problem:
                if not one.is_out:
                    self._unrecorded(one, problem, now)
            elif stage is Stage.STARTED and one.row.stage is Stage.STARTED and not one.is_out:
                self._start(one, now)

    def _unrecorded(self, one: OpenOrder, problem: str, now: Moment) -> None:
        """Its start could not be written: it is refused, and nothing of it is left but the answer."""
        outcome = Outcome(Status.REFUSED, f"it cannot be recorded, so it was not carried out: {problem}")
        self._answer(one, outcome, now)
        answers, one.answers = one.answers, []
        for answer in answers:
            self._told(one, answer)

    def _changed(self, one: OpenOrder) -> None:
        self.book.changed(one.row)
        self._attention()

    # -- what happens to it ---------------------------------------------------------------------------------------

    def _start(self, one: OpenOrder, now: Moment) -> None:
        target = one.target
        assert target is not None
        if is_over(one.row, now):
            self._refuse_as_stale(one, now)
            return
        one.is_out = True
        one.job = job_of(one.row, target, now)
        one.executor = target.executor
        target.executor.execute(one.job, partial(self._reported, one))

    def _reported(self, one: OpenOrder, outcome: Outcome) -> None:
        """The executor says what came of it."""
        if one.row.number not in self._open or one.row.stage is Stage.ANSWERED:
            return
        if not outcome.status.is_final and one.row.answer is not None:
            return
        now = self._now()
        self._answer(one, outcome, now)
        self._changed(one)

    def _answer(self, one: OpenOrder, outcome: Outcome, now: Moment) -> None:
        """Decide the answer; it is told once it is on disk."""
        row = one.row
        answer = answer_of(row.order, outcome, now)
        row.answer = answer
        one.answers.append(answer)
        if outcome.status.is_final:
            row.stage, row.owes_event = Stage.ANSWERED, True
        self._leave_line(one, now)

    def _leave_line(self, one: OpenOrder, now: Moment) -> None:
        """Its device may have the next one."""
        device = one.row.order.device
        line = self._lines.get(device)
        if line is None or one not in line:
            return
        line.remove(one)
        self._call_next(device, line, now)

    def _call_next(self, device: str, line: deque[OpenOrder], now: Moment) -> None:
        """Begin whose turn it is, refuse who cannot be begun any more, and wait for who may be soon."""
        while line and not line[0].is_begun:
            one = line[0]
            problem = stale_text(one.row.order, now) if is_over(one.row, now) else ""
            if not problem:
                assert one.target is not None
                problem = one.target.executor.problem(job_of(one.row, one.target, now))
                if problem and now.boot_s < one.patient_until_s:
                    return
            if problem:
                line.popleft()
                self._answer(one, Outcome(Status.REFUSED, problem), now)
            else:
                self._begin(one, now)
            self._changed(one)
        if not line:
            self._lines.pop(device, None)

    def _told(self, one: OpenOrder, answer: Answer) -> None:
        """``answer`` is on disk, or cannot be: say it to whoever gave the order."""
        is_final = answer.status.is_final
        if is_final:
            self._open.pop(one.row.number, None)
            self.counts[answer.status] += 1
        one.said = answer
        for hearer in one.hears:
            hearer.tell(one.row.order, answer)
        if is_final:
            self._tell(one.row.order, answer, one.row)

    # -- time -----------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Give up what takes too long, and refuse what has waited too long; to be called a few times a second."""
        if not self._open:
            return
        now = self._now()
        for one in list(self._open.values()):
            if one.row.stage is Stage.ANSWERED or one.row.number not in self._open:
                continue
            if one.is_out:
                self._look_at(one, now)
            elif not one.is_begun and one.row.order.device in self._lines:
                self._look_at_waiting(one, now)

    def _look_at_waiting(self, one: OpenOrder, now: Moment) -> None:
        """It waits for its turn: has it become too old, or is its device back?"""
        line = self._lines[one.row.order.device]
        if line[0] is one:
            self._call_next(one.row.order.device, line, now)
        elif is_over(one.row, now):
            self._refuse_as_stale(one, now)

    def _refuse_as_stale(self, one: OpenOrder, now: Moment) -> None:
        self._answer(one, Outcome(Status.REFUSED, stale_text(one.row.order, now)), now)
        self._changed(one)

    def _look_at(self, one: OpenOrder, now: Moment) -> None:
        """An executor has this one: has it taken too long?"""
        job = one.job
        assert job is not None
        text = overdue_text(job, is_accepted=one.row.answer is not None, now=now)
        if not text:
            return
        has_not_left = one.executor is not None and one.executor.cancel(job)
        status = Status.REFUSED if has_not_left else Status.TIMEOUT
        if one.row.stage is not Stage.ANSWERED:
            self._answer(one, Outcome(status, f"{text}{'; it was not sent' if has_not_left else ''}"), now)
            self._changed(one)

    # -- start ----------------------------------------------------------------------------------------------------

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on where an earlier process ended; to be called once, before anything else."""
        self.book.restore(rows)
        now = self._now()
        self._devices_back_s = now.boot_s + self._limits.grace_s
        for row in self.book:
            if row.stage is Stage.ANSWERED:
                if row.owes_event and row.answer is not None:
                    self._tell(row.order, row.answer, row)
                continue
            one = self._open[row.number] = OpenOrder(row, None)
            if row.stage is Stage.RECEIVED:
                self._place_again(one, now)
            elif row.answer is None or not self._resume(one, now):
                self._answer(one, Outcome(Status.UNKNOWN, INTERRUPTED), now)
            else:
                one.said = row.answer
                continue
            self._changed(one)

    def _place_again(self, one: OpenOrder, now: Moment) -> None:
        """It was never started."""
        row = one.row
        one.patient_until_s = inf
        try:
            if is_over(row, now):
                raise Refusal("stale: the gateway was stopped before its turn came, and it is too old now")
            to_this_boot(row, now)
            one.target = self._directory.target(row.order)
            self._place(one, one.target, now)
        except Refusal as refusal:
            self._answer(one, Outcome(Status.REFUSED, str(refusal)), now)

    def _resume(self, one: OpenOrder, now: Moment) -> bool:
        """Whether something still waits for the device."""
        row = one.row
        to_this_boot(row, now)
        one.job = job_again(row)
        one.is_begun = one.is_out = True
        for executor in self._executors:
            if executor.resume(one.job, partial(self._reported, one)):
                one.executor = executor
                return True
        return False
