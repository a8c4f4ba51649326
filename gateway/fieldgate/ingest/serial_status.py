"""What a serial source says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from fieldgate.ingest.serial_port import LineErrors
from fieldgate.net.broker_connection import ConnectionState

__all__ = ["SerialStatus"]


@dataclass(frozen=True, slots=True)
class SerialStatus:
    """Where a serial source is, why, since when (boot time), and counters of this process.

    ``device`` is what ``port`` leads to while it is open. ``frames`` were intact, ``bad_frames`` are counted by fault,
    ``skipped_bytes`` stood outside of any frame, ``dropped_frames`` were half read when the port was lost, ``unsaved``
    could not be handed over at the stop. ``unsettled`` messages are not safe yet. ``unsent`` init and poll texts could
    not be sent in time. ``line_errors`` is what the port's driver counts since it was opened, None where it does not;
    its ``overruns`` are bytes that were lost before they could be read.
    """

    state: ConnectionState
    reason: str
    since_s: float
    device: str
    bytes: int
    frames: int
    bad_frames: dict[str, int]
    skipped_bytes: int
    dropped_frames: int
    dropped_bytes: int
    unsaved: int
    unsettled: int
    unsettled_bytes: int
    is_paused: bool
    reconnects: int
    written_bytes: int
    unsent: int
    line_errors: LineErrors | None
