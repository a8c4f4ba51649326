"""An order on its way: how far it is, who hears of it, and what is said of it."""

from __future__ import annotations

from typing import Final

from fieldgate.decide.desk_contract import Target
from fieldgate.decide.order_ages import expiry
from fieldgate.decide.order_row import Moment, Row, Stage
from fieldgate.decide.orders import Answer, Executor, Hears, Job, Order, Outcome

__all__ = [
    "INTERRUPTED",
    "Hearer",
    "OpenOrder",
    "answer_of",
    "is_same",
    "job_again",
    "job_of",
    "new_row",
    "noted_row",
    "overdue_text",
    "stale_text",
    "to_this_boot",
]

_MAX_REASON: Final = 500

INTERRUPTED: Final = "the gateway was stopped while it was carried out; it may have been, and is not repeated"


def new_row(number: int, order: Order, now: Moment) -> Row:
    """Return the row of an order that comes now, of whose profile nothing is known yet."""
    expires_boot_s, expires_wall_ns = expiry(order, None, now)
    return Row(
        number=number,
        order=order,
        stage=Stage.RECEIVED,
        os_boot=now.os_boot,
        received_s=now.journal_s,
        expires_boot_s=expires_boot_s,
        expires_wall_ns=expires_wall_ns,
    )


def noted_row(number: int, order: Order, answer: Answer, now: Moment) -> Row:
    """Return the row of what was refused on its way here, and told: a trace, by whose id nobody is known again."""
    row = new_row(number, order, now)
    row.stage, row.answer, row.owes_event = Stage.ANSWERED, answer, True
    row.has_id, row.is_told = False, True
    return row


def to_this_boot(row: Row, now: Moment) -> None:
    """Say by the clock of this OS boot until when it may be carried out: in UTC that is known, or it is over."""
    if row.os_boot != now.os_boot:
        left_s = (row.expires_wall_ns - now.wall_ns) / 1e9 if row.expires_wall_ns and now.is_synced else 0.0
        row.os_boot, row.expires_boot_s = now.os_boot, now.boot_s + max(0.0, left_s)


def is_same(before: Order, order: Order) -> bool:
    """Whether an order that came again asks for the same."""
    return (before.device, before.name, before.arguments) == (order.device, order.name, order.arguments)


def answer_of(order: Order, outcome: Outcome, now: Moment) -> Answer:
    """Return the answer that says what came of ``order``."""
    reason = outcome.reason if len(outcome.reason) <= _MAX_REASON else f"{outcome.reason[: _MAX_REASON - 1]}…"
    return Answer(
        id=order.id, device=order.device, name=order.name, status=outcome.status, reason=reason, at_ns=now.wall_ns
    )


def stale_text(order: Order, now: Moment) -> str:
    """Return why an order that is too old is refused."""
    if order.made_at_ns is not None and now.is_synced:
        return f"stale: it was given {(now.wall_ns - order.made_at_ns) / 1e9:.1f} s ago"
    return f"stale: it was received {now.boot_s - order.received_boot_ns / 1e9:.1f} s ago"


def overdue_text(job: Job, *, is_accepted: bool, now: Moment) -> str:
    """Return why an executor is not waited for any longer; empty while it is.

    ``is_accepted``: the device may come until the order is too old.
    """
    if is_accepted:
        is_late = now.boot_s >= max(job.expires_at_s, job.gives_up_at_s)
        return "the device did not come for it in time" if is_late else ""
    return "the device did not confirm it in time" if now.boot_s >= job.gives_up_at_s else ""


def job_of(row: Row, target: Target, now: Moment) -> Job:
    """Return what an executor is to do for the order of ``row``."""
    return Job(
        order=row.order,
        mark=row.mark,
        request=target.request,
        topic=target.topic,
        expires_at_s=row.expires_boot_s,
        gives_up_at_s=now.boot_s + target.timeout_s,
    )


def job_again(row: Row) -> Job:
    """Return what an earlier process gave to an executor that said `Status.ACCEPTED`."""
    expires_s = row.expires_boot_s
    return Job(order=row.order, mark=row.mark, request=None, topic="", expires_at_s=expires_s, gives_up_at_s=expires_s)


class OpenOrder:
    """An order that has no final answer on disk yet."""

    __slots__ = (
        "answers", "executor", "hears", "is_begun", "is_out", "job", "patient_until_s", "row", "said", "target"
    )  # fmt: skip

    def __init__(self, row: Row, hears: Hears | None) -> None:
        self.row = row
        self.hears = [] if hears is None else [Hearer(hears)]
        self.target: Target | None = None
        self.job: Job | None = None
        self.executor: Executor | None = None  # which has it
        self.patient_until_s = 0.0  # the gateway has just started: its device may not be back yet
        self.is_begun = False  # its start is on its way to the disk, or there
        self.is_out = False  # the executor has it
        self.answers: list[Answer] = []  # decided, and not told yet
        self.said: Answer | None = None  # the one that was told last

    def begin(self, now: Moment) -> None:
        """Its turn has come: its start is to be written."""
        self.is_begun = True
        self.row.stage = Stage.STARTED
        self.row.started_wall_ns = now.wall_ns


class Hearer:
    """One who waits for what comes of an order; ``is_settled``: it was told that it may acknowledge that."""

    __slots__ = ("hears", "is_settled")

    def __init__(self, hears: Hears, *, is_settled: bool = False) -> None:
        self.hears = hears
        self.is_settled = is_settled

    def tell(self, order: Order, answer: Answer) -> None:
        """Say ``answer``, and the first time that the order may be acknowledged."""
        self.hears.answered(order, answer)
        if not self.is_settled:
            self.is_settled = True
            self.hears.settled(order)
