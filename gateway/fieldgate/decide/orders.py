"""The contract between who gives a command, who decides on it, and who carries it out.

    uplink, CLI, rule ── Order ──► Desk ── Job ──► Executor (local broker, serial port, Modbus unit)
          ▲                         │  ▲               │
          └──── Hears: Answer ◄─────┘  └── Outcome ◄───┘

Whoever takes a part in it imports this file and nothing else of the stage. All calls are made on the event loop, never
wait, and never raise for what an order says: that is an `Answer`.

An order has one final answer (`Status.is_final`), before which `Status.ACCEPTED` may come: it waits, safe on disk, in
the session of a device that is away. It bears the ``id`` of whoever gave it; the same ``id`` of the same ``origin`` is
the same order, however often it comes: it is carried out once, and answered each time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

__all__ = [
    "CLI", "LONGEST_AGE_S", "MAX_AGE_S", "MAX_ID_CHARS", "Answer", "Desk", "Executor", "Hears", "Job", "Order",
    "Outcome", "Report", "Status", "is_too_deep", "uplink_origin",
]  # fmt: skip

CLI: Final = "cli"
"""The origin of what is told by ``fieldgate command``."""
MAX_AGE_S: Final = 60.0
"""How old a command may be when it is carried out, where neither its sender nor the profile says so."""
LONGEST_AGE_S: Final = 86_400.0
"""How old a command may be at the most, whatever its sender says: its id must be known for as long."""
MAX_ID_CHARS: Final = 256
"""How long the id of a command may be; who takes one from outside refuses a longer one."""


def is_too_deep(value: object, levels: int = 32) -> bool:
    """Whether ``value`` is nested deeper than that, which not all who handle arguments can take: it is refused."""
    if isinstance(value, dict):
        return levels == 0 or any(is_too_deep(one, levels - 1) for one in value.values())
    if isinstance(value, list):
        return levels == 0 or any(is_too_deep(one, levels - 1) for one in value)
    return False


def uplink_origin(name: str) -> str:
    """Return the origin of orders that came by this uplink."""
    return f"uplink:{name}"


class Status(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    """It waits for a device that is away, and that is safe on disk; its final answer comes later."""
    REFUSED = "refused"
    """It was not carried out and will not be; the reason says why."""
    DONE = "done"
    """The device has it: it acknowledged the message, the bytes were written, or it confirmed as its profile says."""
    TIMEOUT = "timeout"
    """It was sent, and the device has not confirmed it in time; it may have been carried out."""
    UNKNOWN = "unknown"
    """A crash interrupted it: it may have been carried out, and is not repeated."""

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self is not Status.ACCEPTED


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One command on its way to a device.

    ``id`` is the correlation data (in hexadecimal where it is no text), else the payload's ``id``, else made here:
    ``is_ours`` then, and nobody can repeat it. ``received_boot_ns`` is CLOCK_BOOTTIME, the others are UTC in ns since
    1970; ``made_at_ns`` only where its sender says when it gave the order. ``max_age_s`` counts from then, if the
    clock is set, else from the receipt, and is what the sender asked for or what was left of a message's expiry.
    """

    device: str
    name: str
    arguments: dict[str, Any]
    origin: str
    id: str
    is_ours: bool = False
    received_boot_ns: int
    received_wall_ns: int
    made_at_ns: int | None = None
    max_age_s: float | None = None
    reply_to: str | None = None
    correlation: bytes | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an order. ``at_ns`` is when that was decided, in UTC as far as the clock is set."""

    id: str
    device: str
    name: str
    status: Status
    reason: str = ""
    at_ns: int


class Hears(Protocol):
    """The origin of orders, which hears what becomes of them."""

    def settled(self, order: Order) -> None:
        """The order may be acknowledged to its sender now; called once for each `Desk.submit`.

        From now on a crash does not lose it: it waits durably for its device, or is answered for good. Its answer is
        told before, in the same turn.
        """

    def answered(self, order: Order, answer: Answer) -> None:
        """``answer`` was recorded, and is to be told to whoever gave the order; `Desk.told` says that it was.

        At most one that is not final comes before the final one. After a restart, or for an order that came again, an
        answer that was given comes once more, word for word.
        """


class Desk(Protocol):
    """Takes orders, and remembers what became of them."""

    def submit(self, order: Order, hears: Hears) -> None:
        """Check the order, record it durably, have it carried out, and say to ``hears`` what became of it.

        ``hears`` may be called before this returns. An order whose id is known joins the one that came before it.
        """

    def note(self, order: Order, answer: Answer) -> None:
        """Leave a trace of what was refused before it was a command, and answered: of a few; the others are counted.

        ``order`` holds what is known of it, without arguments.
        """

    def join(self, origin: str, hears: Hears) -> None:
        """From now on ``hears`` is told the answers of this origin's orders that an earlier process took.

        Final answers that were not `told` come at once, those of orders that go on when they are there. To be called
        once for each origin that can be answered, when it starts.
        """

    def told(self, order: Order, answer: Answer) -> None:
        """The sender has acknowledged ``answer``: it need not be told again after a restart."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor does for one order: ``request`` is checked and rendered, of a type the executor asked for.

    ``mark`` is its name in what an executor keeps of it over a restart. ``topic`` is the one that the device was heard
    on last, or is assigned to. ``expires_at_s`` is the boot time from which the device must not get it any more.
    ``gives_up_at_s`` is when the desk stops waiting for the outcome, unless it is `Status.ACCEPTED` by then.
    """

    order: Order
    mark: str
    request: object
    topic: str
    expires_at_s: float
    gives_up_at_s: float


class Outcome(msgspec.Struct, frozen=True):
    """What came of a job: any status but unknown."""

    status: Status
    reason: str = ""


Report = Callable[[Outcome], None]
"""Takes the outcome of a job: once a final one, before it perhaps `Status.ACCEPTED`. Later calls are ignored."""


class Executor(Protocol):
    """Carries out jobs of one kind. The desk gives it one job per device at a time, and a bounded number in all."""

    def problem(self, job: Job) -> str:
        """Return why this job cannot be carried out now, empty if it can; asked before anything is recorded of it.

        Such as: nobody is subscribed, the port is not there, no source has this device.
        """

    def execute(self, job: Job, report: Report) -> None:
        """Begin the job, whose start is on disk; ``report`` its outcome, now or later, and never raise.

        A job that cannot be begun is reported as refused: it must then have had no effect.
        """

    def cancel(self, job: Job) -> bool:
        """The desk waits no longer: what has not left yet must not leave any more. Return whether nothing has left.

        True means that the device has certainly not got it and will not.
        """

    def resume(self, job: Job, report: Report) -> bool:
        """An earlier process was told `Status.ACCEPTED` for ``job``, whose request is None: go on waiting for it.

        Return False where nothing waits for the device any more: what became of it is not known then.
        """
