"""The sessions of all clients by client id: who is connected, who is away, until when, and with what will.

A session ends with its connection or ``expiry_s`` later; until then it waits, within a number of sessions and a number
of bytes for all of them. Beyond the number the one that is away longest ends. A will waits for its delay or for the
end of the session, whichever comes first [MQTT-3.1.3-9], and is not spoken if the client is back before that.
A session belongs to the user who opened it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from math import inf

from fieldgate.mqtt.delivery import OutboundLimits
from fieldgate.mqtt.outbound import Outbound
from fieldgate.mqtt.packets import Connect, Reason
from fieldgate.mqtt.session_roles import Accepted
from fieldgate.mqtt.session_state import Client, SessionState, SessionWatch

__all__ = ["Sessions"]


class Sessions:
    """The sessions. ``ended`` counts those that were ended by a limit or by time, by reason."""

    def __init__(self, *, max_away: int, max_expiry_s: float, forget: Callable[[SessionState, float], None]) -> None:
        self.ended: Counter[str] = Counter()
        self.away_bytes = 0  # what waits for clients that are away
        self._max_away = max_away
        self._max_expiry_s = max_expiry_s
        self._forget_subscriptions = forget
        self._states: dict[str, SessionState] = {}
        self._away: dict[str, SessionState] = {}  # without a connection, longest away first
        self._watch: SessionWatch | None = None
        self._next_due_s = inf  # nothing is due before

    def __len__(self) -> int:
        """Answer how many sessions there are."""
        return len(self._states)

    def __iter__(self) -> Iterator[SessionState]:
        """All sessions."""
        return iter(list(self._states.values()))

    def find(self, client_id: str) -> SessionState | None:
        """The session of a client id, if there is one."""
        return self._states.get(client_id)

    @property
    def away(self) -> Collection[SessionState]:
        """The sessions whose client is away, longest away first."""
        return self._away.values()

    def watch(self, watch: SessionWatch) -> None:
        """Tell ``watch`` of changes from now on; to be called before the first client connects."""
        self._watch = watch

    def granted_expiry_s(self, asked_s: float) -> float:
        """How long a session may outlive its connection."""
        return min(asked_s, self._max_expiry_s)

    def is_kept(self, state: SessionState) -> bool:
        """Whether the client of this session is away and its messages wait."""
        return self._away.get(state.client_id) is state

    def is_connected(self, client_id: str) -> bool:
        """Whether a client of this id is connected."""
        state = self._states.get(client_id)
        return state is not None and state.client is not None

    def is_owned_by_another(self, client_id: str, user: str) -> bool:
        """Whether the session of this client id belongs to a user other than ``user``."""
        state = self._states.get(client_id)
        return state is not None and state.user not in ("", user)

    def attach(
        self,
        connect: Connect,
        client: Client,
        *,
        accepted: Accepted,
        limits: OutboundLimits,
        drops: Counter[str],
        now_s: float,
    ) -> tuple[SessionState, bool]:
        """Give ``client`` the session of its client id, and say whether it existed (session present).

        Another connection of that id is ended first [MQTT-3.1.4-3]. What nobody in particular left is not handed to a
        user: that begins anew. Whose session belongs to another user is for the caller to ask before.
        """
        state = self._states.get(connect.client_id)
        if state is not None and state.client is not None:
            state.client.fail(Reason.SESSION_TAKEN_OVER, "another connection took this client id")
            state = self._states.get(connect.client_id)
        if state is not None:
            self._come_back(state)
            is_new = connect.clean_start or state.user != accepted.user
            self._settle_will(state, now_s, speak=is_new)
            if is_new:  # [MQTT-3.1.2-4]
                self._forget(state, now_s)
                state = None
        is_present = state is not None
        if state is not None:
            state.outbound.limits = limits  # those of the listener that it came to
        if state is None:
            state = self._states[connect.client_id] = self.make(connect.client_id, limits=limits, drops=drops)
        state.client = client
        state.user, state.rights = accepted.user, accepted.rights
        state.forget_at_s = None
        state.changed()
        return state, is_present

    def make(self, client_id: str, *, limits: OutboundLimits, drops: Counter[str]) -> SessionState:
        """Make a new session, which is not among the others yet."""
        return SessionState(client_id, Outbound(limits=limits, drops=drops), self._watch)

    def restore(self, state: SessionState, now_s: float) -> None:
        """Take in a session of an earlier process, whose client is away; within the limits as any other."""
        self._states[state.client_id] = state
        self._away[state.client_id] = state
        self.away_bytes += state.outbound.kept_bytes
        self._next_due_s = min(self._next_due_s, _due_s(state))
        self._bound_away(now_s)

    def detach(self, state: SessionState, now_s: float) -> None:
        """The client of ``state`` is gone; its session stays for as long as it asked, within the limits."""
        state.client = None
        state.outbound.detach()
        if state.expiry_s <= 0:
            self._settle_will(state, now_s, speak=True)
            self._forget(state, now_s)
            return
        state.forget_at_s = now_s + state.expiry_s
        self._away[state.client_id] = state
        self.away_bytes += state.outbound.kept_bytes
        self._next_due_s = min(self._next_due_s, _due_s(state))
        state.changed()
        self._bound_away(now_s)

    def _bound_away(self, now_s: float) -> None:
        while len(self._away) > self._max_away:
            self.ended["max_sessions"] += 1
            self._end(next(iter(self._away.values())), now_s)

    def tick(self, now_s: float) -> None:
        """Speak the wills and forget the sessions that are due; to be called about once a second."""
        if now_s < self._next_due_s:
            return
        for state in list(self._away.values()):
            if state.will is not None and state.will.at_s <= now_s:
                self._settle_will(state, now_s, speak=True)
            if state.forget_at_s is not None and state.forget_at_s <= now_s:
                self.ended["expired"] += 1
                self._end(state, now_s)
        self._next_due_s = min(map(_due_s, self._away.values()), default=inf)

    def _settle_will(self, state: SessionState, now_s: float, *, speak: bool) -> None:
        pending, state.will = state.will, None
        if pending is None:
            return
        state.changed()
        if speak:
            pending.speak(pending.will, now_s)

    def _end(self, state: SessionState, now_s: float) -> None:
        self._come_back(state)
        self._settle_will(state, now_s, speak=True)
        self._forget(state, now_s)

    def _come_back(self, state: SessionState) -> None:
        if self._away.pop(state.client_id, None) is not None:
            self.away_bytes -= state.outbound.kept_bytes

    def _forget(self, state: SessionState, now_s: float) -> None:
        if self._states.get(state.client_id) is state:
            del self._states[state.client_id]
        self._forget_subscriptions(state, now_s)
        state.forgotten()


def _due_s(state: SessionState) -> float:
    forget_at_s = inf if state.forget_at_s is None else state.forget_at_s
    return forget_at_s if state.will is None else min(forget_at_s, state.will.at_s)
