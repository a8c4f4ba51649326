"""What becomes of a CONNECT: refused, let in, or not known yet because the `Authority` thinks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fieldgate.mqtt.handshake import SessionLimits, connack, keep_alive, objection, refusal, wanted_expiry_s
from fieldgate.mqtt.packets import ConnAck, Connect
from fieldgate.mqtt.session_roles import Accepted, Authority, Refused, Verdict
from fieldgate.mqtt.sessions import Sessions

__all__ = ["Admission", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A client that may come in.

    ``answer`` is its CONNACK, but for whether the session was there; ``expiry_s`` is how long its session outlives the
    connection; ``silence_s`` of silence end the connection.
    """

    connect: Connect
    accepted: Accepted
    answer: ConnAck
    expiry_s: float
    silence_s: float


class Admission:
    """Asks the rules of MQTT, the `Authority`, and whoever owns the session of that client id, in this order."""

    __slots__ = ("_authority", "_limits", "_new_client_id", "_sessions")

    def __init__(
        self, authority: Authority, sessions: Sessions, limits: SessionLimits, new_client_id: Callable[[], str]
    ) -> None:
        self._authority = authority
        self._sessions = sessions
        self._limits = limits
        self._new_client_id = new_client_id

    def ask(self, connect: Connect, answer: Callable[[Entry | Refused, float], None]) -> Entry | Refused | None:
        """Judge ``connect``, which gets a client id if it has none [MQTT-3.1.3-6].

        Returns what becomes of it, or None: then ``answer`` is called with it and the time, later and once.
        """
        refused = refusal(connect, self._limits)
        if refused is not None:
            return refused
        is_assigned = not connect.client_id
        if is_assigned:
            connect.client_id = self._new_client_id()
        conclude = partial(self._conclude, connect, is_assigned)
        verdict = self._authority.judge(connect, lambda verdict, now_s: answer(conclude(verdict), now_s))
        return None if verdict is None else conclude(verdict)

    def _conclude(self, connect: Connect, is_assigned: bool, verdict: Verdict) -> Entry | Refused:
        if isinstance(verdict, Refused):
            return verdict
        is_taken = self._sessions.is_owned_by_another(connect.client_id, verdict.user)
        if (refused := objection(connect, verdict, is_taken=is_taken)) is not None:
            return refused
        server_keep_alive_s, silence_s = keep_alive(connect, self._limits)
        expiry_s = self._sessions.granted_expiry_s(wanted_expiry_s(connect))
        answer = connack(
            connect,
            self._limits,
            is_assigned=is_assigned,
            expiry_s=expiry_s,
            server_keep_alive_s=server_keep_alive_s,
        )
        return Entry(connect, verdict, answer, expiry_s, silence_s)
