"""Commands that are registers of a Modbus unit: written between two polls, done when the unit has confirmed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fieldgate.decide.orders import Job, Outcome, Report, Status
from fieldgate_devices.command import RegisterWrite
from fieldgate_devices.modbus import Register, Unwritable, Write, writes_of

__all__ = ["RegisterExecutor", "Units"]


class Units(Protocol):
    """The units of one source; see `fieldgate.ingest.modbus_source.ModbusSource`."""

    name: str

    @property
    def is_connected(self) -> bool:
        """Whether units can be asked."""

    @property
    def reason(self) -> str:
        """Why not."""

    def registers_of(self, device: str) -> tuple[dict[str, Register], bool] | None:
        """Return the registers of a device, and whether single ones are written by functions 15 and 16."""

    def write(self, device: str, writes: Sequence[Write], outcome: Callable[[str, bool], None]) -> Callable[[], bool]:
        """Write; ``outcome`` is told why it failed and whether it may have been carried out. Returns a way back."""


class RegisterExecutor:
    """Implements `Executor` for the units of one source."""

    def __init__(self, units: Units) -> None:
        self._units = units
        self._on_the_way: dict[str, Callable[[], bool]] = {}  # what takes it back, by mark

    def _device(self, job: Job) -> str:
        return job.topic.rpartition("/")[2]

    def _writes(self, job: Job) -> list[Write]:
        """The requests of a job.

        Raises:
            Unwritable: there is no such register, or it cannot hold this.
        """
        assert isinstance(job.request, RegisterWrite)
        known = self._units.registers_of(self._device(job))
        if known is None:
            raise Unwritable(f"source {self._units.name!r} has no unit {self._device(job)!r}")
        registers, always_multiple = known
        return writes_of(job.request.values, registers, always_multiple=always_multiple)

    def problem(self, job: Job) -> str:
        """See `Executor`."""
        if not self._units.is_connected:
            return f"source {self._units.name!r} is not connected: {self._units.reason}"
        try:
            return "" if self._writes(job) else "it writes nothing: all of its arguments were left out"
        except Unwritable as problem:
            return str(problem)

    def execute(self, job: Job, report: Report) -> None:
        """See `Executor`."""
        if problem := self.problem(job):  # it went while the job was recorded
            report(Outcome(Status.REFUSED, problem))
            return

        def told(why: str, may_be_done: bool) -> None:
            self._on_the_way.pop(job.mark, None)
            status = Status.DONE if not why else Status.TIMEOUT if may_be_done else Status.REFUSED
            report(Outcome(status, why))

        self._on_the_way[job.mark] = self._units.write(self._device(job), self._writes(job), told)

    def cancel(self, job: Job) -> bool:
        """See `Executor`."""
        take_back = self._on_the_way.pop(job.mark, None)
        return take_back is not None and take_back()

    def resume(self, job: Job, report: Report) -> bool:
        """See `Executor`. Nothing waits for a unit over a restart."""
        del job, report
        return False
