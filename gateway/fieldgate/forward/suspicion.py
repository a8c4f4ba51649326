"""Find the one message on which the server closes the connection, without blaming a message for a bad link.

After two connections in a row on which messages were sent and none acknowledged, one message is sent at a time
(`is_narrow`) until one is acknowledged. A message that was alone on the way three times when the server closed
becomes a suspect and is left out; so does one that the server has refused three times for a reason that may pass.
When the server then takes another message, the suspects are put on trial: sent once more, alone. Who fails again is
guilty. When there is no other message to try, or none of many is taken, the fault is the server's, and all are tried
again from the beginning.
"""

from __future__ import annotations

from typing import Final

from fieldgate.mqtt.in_flight import InFlight, Run

__all__ = ["Suspicion"]

_FRUITLESS_BEFORE_NARROW: Final = 2
_FAILURES_BEFORE_SUSPECT: Final = 3
_MAX_SUSPECTS: Final = 16


class Suspicion:
    """The suspects among what one uplink has in flight; ``suspects`` are left out of it."""

    def __init__(self, in_flight: InFlight) -> None:
        self.suspects: list[Run] = []
        self._in_flight = in_flight
        self._on_trial: list[Run] = []
        self._fruitless = 0

    @property
    def is_narrow(self) -> bool:
        """Whether only one message may be on the way."""
        return self._fruitless >= _FRUITLESS_BEFORE_NARROW or bool(self._on_trial)

    def acknowledged(self) -> None:
        """The server took a message."""
        self._fruitless = 0
        if self._on_trial:
            self._on_trial = [
                run for run in self._on_trial if run in self._in_flight.held or run in self._in_flight.sent
            ]
        if self.suspects:
            self._on_trial += self.suspects
            self._release()

    def refused(self, run: Run) -> bool:
        """The server refused a message (no longer in flight) for a reason that may pass; return whether for ever."""
        if run in self._on_trial:
            self._on_trial.remove(run)
            return True
        run.refusals += 1
        if run.refusals < _FAILURES_BEFORE_SUSPECT:
            self._in_flight.hold(run)
            return False
        self.suspects.append(run)
        if len(self.suspects) >= _MAX_SUSPECTS:
            self.acquit()
        return False

    def lost(self, *, is_fruitless: bool, is_by_server: bool) -> Run | None:
        """A connection ended; return the message, no longer in flight, that the server will never take.

        ``is_fruitless``: something was sent on it and nothing acknowledged.
        """
        in_flight, was_narrow = self._in_flight, self.is_narrow
        if is_fruitless:
            self._fruitless += 1
        if not (was_narrow and is_by_server and in_flight.sent_count == 1):
            return None
        run = in_flight.remove(in_flight.sent[0].first_id)
        return run if run is not None and self.refused(run) else None

    def acquit(self) -> None:
        """Try all suspects again from the beginning."""
        for run in self.suspects:
            run.refusals = 0
        self._release()

    def clear(self) -> None:
        """Begin anew."""
        self.suspects.clear()
        self._on_trial.clear()
        self._fruitless = 0

    def _release(self) -> None:
        for run in self.suspects:
            self._in_flight.hold(run)
        self.suspects.clear()
