"""Who sends an HTTP request: the name and password of its Authorization header, a token, a certificate, or nobody.

Laws of this file:

- A token stands for its user: as the first level of the path, for devices that can be told a path and nothing else
  (Ecowitt's consoles), or as ``Authorization: Bearer``. A path that begins with a token means what it means without.
- A token in the path counts whatever else the request says: else it would become part of a topic.
- A verdict holds for further requests of the connection that say the same, until users or rules change.
- What is no token is an attempt to guess one only if it is as long as one: else a path would count as a failed log-in.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldgate.config.listen import MIN_TOKEN_LENGTH
from fieldgate.ingest.gate import Door, Gate
from fieldgate.ingest.http_request import Credentials, Head, read_credentials
from fieldgate.ingest.http_roles import Entry, HttpVerdict
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Accepted, Refused, Verdict

__all__ = ["HttpLogin"]

_NOBODY = Credentials()
_UNREADABLE = Refused(Reason.NOT_AUTHORIZED, "not_logged_in", "the Authorization header is neither Basic nor Bearer")

Answer = Callable[[HttpVerdict, float], None]


class HttpLogin:
    """The `HttpAuthority` of one connection. ``exceeded`` says which limit it would break by coming in."""

    def __init__(self, gate: Gate, door: Door, exceeded: Callable[[], str]) -> None:
        self._gate = gate
        self._door = door
        self._exceeded = exceeded
        self._known: tuple[bytes | None, Accepted] | None = None  # what was shown last, and whom it let in

    def judge(self, head: Head, answer: Answer) -> HttpVerdict | None:
        """See `HttpAuthority`."""
        if (token := self._token_of(head)) is not None:
            return self._enter(b"/" + token, head.levels[1:], self._by_token(b"/" + token, token))
        shown = head.authorization
        if self._known is not None and self._known[0] == shown:
            return self._enter(shown, head.levels, self._known[1])
        credentials = _NOBODY if shown is None else read_credentials(shown)
        if credentials is None:
            return _UNREADABLE
        if limit := self._limit():
            return limit
        if credentials.token is not None:
            return self._enter(shown, head.levels, self._door.judge_token(_NOBODY, credentials.token))

        def concluded(verdict: Verdict, now_s: float) -> None:
            answer(self._enter(shown, head.levels, verdict), now_s)

        verdict = self._door.judge(credentials, concluded)
        return None if verdict is None else self._enter(shown, head.levels, verdict)

    def _token_of(self, head: Head) -> bytes | None:
        """The first level of the path, if it is a token or looks like one where nothing else lets anybody in."""
        if not self._gate.knows_tokens or not head.levels:
            return None
        level = head.levels[0].encode()
        if self._gate.user_of_token(level) is not None:
            return level
        is_alone = head.authorization is None and self._door.certificate_user is None
        is_guess = is_alone and len(level) >= MIN_TOKEN_LENGTH and not self._gate.admits_anonymous
        return level if is_guess else None

    def _by_token(self, shown: bytes, token: bytes) -> Verdict:
        if self._known is not None and self._known[0] == shown:
            return self._known[1]
        return self._limit() or self._door.judge_token(_NOBODY, token)

    def _limit(self) -> Refused | None:
        limit = self._exceeded()
        if not limit:
            return None
        return Refused(Reason.QUOTA_EXCEEDED, limit, f"as many clients are connected as {limit} allows")

    def _enter(self, shown: bytes | None, levels: tuple[str, ...], verdict: Verdict) -> HttpVerdict:
        if isinstance(verdict, Refused):
            self._known = None
            return verdict
        self._known = shown, verdict
        return Entry(verdict.user, verdict.rights, levels)

    def access_exchanged(self) -> None:
        """Other users or rules are in force: who is not welcome any more has to log in again."""
        if not self._gate.is_still_welcome(self._door):
            self._known = None
