"""A desk of commands on a virtual clock, with a disk that a crash may cut off from it, and devices by script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fieldgate.decide.desk import OrderDesk
from fieldgate.decide.desk_contract import DeskLimits, Refusal, Target
from fieldgate.decide.order_book import Bounds, OrderBook, decode_row
from fieldgate.decide.order_row import Moment, Row, RowChanges, Stage
from fieldgate.decide.orders import Answer, Job, Order, Outcome, Report, Status

NS = 1_000_000_000
WALL_S = 1_800_000_000.0


@dataclass
class Caller:
    """Who gives commands: what it was told, by id."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    settled_ids: list[str] = field(default_factory=list)

    def settled(self, order: Order) -> None:
        self.settled_ids.append(order.id)

    def answered(self, order: Order, answer: Answer) -> None:
        self.answers.setdefault(order.id, []).append(answer)

    def last(self, order_id: str) -> tuple[Status, str]:
        answer = self.answers[order_id][-1]
        return answer.status, answer.reason

    def statuses(self, order_id: str) -> list[Status]:
        return [answer.status for answer in self.answers.get(order_id, [])]


class Devices:
    """Carries out what it is given, and remembers it: implements `Executor`, over crashes."""

    def __init__(self, on_disk: Callable[[str], Stage | None]) -> None:
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self.reports: dict[str, Report] = {}
        self.absent = ""
        self.kept: set[str] = set()  # in sessions, over crashes
        self.is_sent = True
        self._on_disk = on_disk

    def problem(self, job: Job) -> str:
        return self.absent

    def execute(self, job: Job, report: Report) -> None:
        assert self._on_disk(job.mark) is Stage.STARTED, "carried out before its start was on disk"
        self.executed.append(job.order.id)
        self.reports[job.order.id] = report

    def cancel(self, job: Job) -> bool:
        self.cancelled.append(job.order.id)
        return not self.is_sent

    def resume(self, job: Job, report: Report) -> bool:
        self.reports[job.order.id] = report
        return job.mark in self.kept


class World:
    def __init__(self, *, limits: DeskLimits | None = None, bounds: Bounds | None = None) -> None:
        self.now_s = 1000.0
        self.os_boot = "boot-1"
        self.is_synced = True
        self.wall_ahead_s = WALL_S
        self.disk: dict[int, bytes] = {}
        self.pending: RowChanges | None = None
        self.told: list[tuple[str, Status]] = []
        self.devices = Devices(self._stage_on_disk)
        self.caller = Caller()
        self.events_are_safe = True  # what the desk tells others is safe at once
        self.unknown_devices: set[str] = set()
        self.profile_max_age_s: float | None = None
        self._limits, self._bounds = limits, bounds
        self.begin()

    def begin(self) -> None:
        """A new process, with what is on the disk."""
        self.pending = None
        self.devices.reports = {}
        self.desk = OrderDesk(
            OrderBook(self._bounds),
            self,
            executors=[self.devices],
            attention=lambda: None,
            tell=self._tell,
            now=self.now,
            limits=self._limits,
        )
        rows = [decode_row(body) for body in self.disk.values()]
        self.desk.restore([row for row in rows if row is not None])

    def _tell(self, order: Order, answer: Answer, row: Row | None) -> None:
        self.told.append((order.id, answer.status))
        if row is not None and self.events_are_safe:
            self.desk.book.event_safe([row.number])

    def now(self) -> Moment:
        return Moment(
            self.os_boot, self.now_s, round((self.now_s + self.wall_ahead_s) * NS), self.is_synced, self.now_s
        )

    def target(self, order: Order) -> Target:
        """See `Directory`."""
        if order.device in self.unknown_devices:
            raise Refusal(f"no device {order.device!r} is known")
        return Target("request", "topic", self.devices, 10.0, self.profile_max_age_s)

    def _stage_on_disk(self, mark: str) -> Stage | None:
        rows = [decode_row(body) for body in self.disk.values()]
        return next((row.stage for row in rows if row is not None and row.mark == mark), None)

    def order(self, order_id: str, device: str = "d", **more: Any) -> Order:
        values: dict[str, Any] = {
            "device": device, "name": "set", "arguments": {}, "origin": "cli", "id": order_id,
            "received_boot_ns": round(self.now_s * NS), "received_wall_ns": self.now().wall_ns,
        }  # fmt: skip
        return Order(**(values | more))

    def submit(self, order_id: str, device: str = "d", **more: Any) -> None:
        self.desk.submit(self.order(order_id, device, **more), self.caller)

    def take(self) -> bool:
        """The writer takes what is to be written; return whether there was anything."""
        assert self.pending is None
        changes = self.desk.changes()
        self.pending = changes if changes else None
        return self.pending is not None

    def land(self) -> None:
        """It is on disk, though the desk does not know yet."""
        assert self.pending is not None
        self.disk.update(self.pending.rows)
        for number in self.pending.gone:
            self.disk.pop(number, None)

    def hear_of_it(self, problem: str = "") -> None:
        self.pending = None
        self.desk.written(problem)

    def write(self, problem: str = "") -> None:
        """Write until nothing is left to be written."""
        while self.take():
            if not problem:
                self.land()
            self.hear_of_it(problem)
            if problem:
                return

    def report(self, order_id: str, status: Status = Status.DONE, reason: str = "") -> None:
        self.devices.reports[order_id](Outcome(status, reason))

    def rows(self) -> list[Row]:
        return list(self.desk.book)

    def crash(self) -> None:
        self.caller = Caller()
        self.begin()
