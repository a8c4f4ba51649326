"""Find the one message on which the server closes the connection, without blaming a message for a bad link.

After two connections in a row on which messages were sent and none acknowledged, one message is sent at a time
(`is_narrow`) until one is acknowledged. A message that was alone on the way three times when the server closed
becomes a suspect and is left out; so does one that the server has refused three times for a reason that may pass.
When the server then takes another message, the suspects are put on trial: sent once more, alone. Who fails again is
guilty. When there is no other message to try, or none of many is taken, the fault is the server's, and all are tried
again from the beginning.

When the server closes again, after the one, while several of those are on the way that were when it closed without an
acknowledgement, they are all sent one at a time. Else each that stands before the one at fault would cost three
connections: a server that resets the connection (mosquitto does) takes the acknowledgements of what came before along.

A server that says that a packet was too large for it (DISCONNECT 0x95) is believed: all that was on the way then is
sent one at a time, until it says so of a message that is alone. That one is guilty at once.
"""

from __future__ import annotations

from typing import Final, Literal

from fieldgate.mqtt.in_flight import InFlight, Run

__all__ = ["Suspicion", "Verdict"]

Verdict = Literal["innocent", "suspect", "guilty"]

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
        self._doubted_to = 0  # in the order of sending: one before this is what the server may have closed on
        self._singly_to = 0  # messages before this one go one at a time

    @property
    def is_narrow(self) -> bool:
        """Whether only one message may be on the way."""
        return self._fruitless >= _FRUITLESS_BEFORE_NARROW or bool(self._on_trial) or self._singly_to > 0

    def acknowledged(self) -> None:
        """The server took a message."""
        self._fruitless = 0
        self._leave_doubts_behind()
        if self._on_trial:
            self._on_trial = [
                run for run in self._on_trial if run in self._in_flight.held or run in self._in_flight.sent
            ]
        if self.suspects:
            self._on_trial += self.suspects
            self._release()

    def failed(self, run: Run) -> Verdict:
        """The server did not take a message, no longer in flight, for a reason that may pass; say what it is now.

        ``innocent``: the caller has it sent again. ``suspect``: it is kept here. ``guilty``: as it is it will never be
        taken.
        """
        if run in self._on_trial:
            self._on_trial.remove(run)
            return "guilty"
        run.refusals += 1
        if run.refusals < _FAILURES_BEFORE_SUSPECT:
            return "innocent"
        if sum(stop - start for _, start, stop in run.carries()) > 1:
            return "guilty"
        self.suspects.append(run)
        if len(self.suspects) >= _MAX_SUSPECTS:
            self.acquit()
        return "suspect"

    def lost(self, *, is_fruitless: bool, is_by_server: bool, is_too_large: bool = False) -> Run | None:
        """A connection ended; return the message, no longer in flight, that the server will never take.

        ``is_fruitless``: something was sent on it and nothing acknowledged. ``is_too_large``: the server said so.
        """
        in_flight, was_narrow = self._in_flight, self.is_narrow
        if is_fruitless:
            self._fruitless += 1
        is_alone = in_flight.sent_count == 1
        if not is_alone:
            self._doubt(is_fruitless=is_fruitless, is_by_server=is_by_server, is_too_large=is_too_large)
        if not (is_alone and is_by_server and (was_narrow or is_too_large)):
            return None
        run = in_flight.remove(in_flight.sent[0].first_id)
        assert run is not None
        if is_too_large:
            self._on_trial = [one for one in self._on_trial if one is not run]
            self._leave_doubts_behind()
            return run
        verdict = self.failed(run)
        if verdict == "innocent":
            in_flight.hold(run)
        return run if verdict == "guilty" else None

    def acquit(self) -> None:
        """Try all suspects again from the beginning."""
        for run in self.suspects:
            run.refusals = 0
        self._release()

    def clear(self) -> None:
        """Begin anew."""
        self.suspects.clear()
        self._on_trial.clear()
        self._fruitless = self._doubted_to = self._singly_to = 0

    def _doubt(self, *, is_fruitless: bool, is_by_server: bool, is_too_large: bool) -> None:
        """The connection ended with several on the way: note how far the one at fault may be."""
        sent = self._in_flight.sent
        newest = max((run.order + run.count for run in sent), default=0)
        if is_too_large:
            self._singly_to = max(self._singly_to, newest)
        elif is_by_server and any(run.order < self._doubted_to for run in sent):
            self._singly_to = max(self._singly_to, self._doubted_to)
        elif is_by_server and is_fruitless and self._fruitless >= _FRUITLESS_BEFORE_NARROW:
            self._doubted_to = newest

    def _leave_doubts_behind(self) -> None:
        """Stop sending singly once all that was on the way when the server closed is dealt with."""
        if self._doubted_to or self._singly_to:
            held, sent = self._in_flight.held, self._in_flight.sent
            oldest = min((runs[0].order for runs in (held, sent) if runs), default=None)
            if oldest is None or oldest >= self._doubted_to:
                self._doubted_to = 0
            if oldest is None or oldest >= self._singly_to:
                self._singly_to = 0

    def _release(self) -> None:
        for run in self.suspects:
            self._in_flight.hold(run)
        self.suspects.clear()
