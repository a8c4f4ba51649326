"""Who may read the metrics: whoever shows the token, users and certificates that are named, or everybody."""

from __future__ import annotations

from collections.abc import Callable, Collection

from fieldgate.ingest.gate import Door
from fieldgate.ingest.http_answer import of_refused
from fieldgate.ingest.http_request import Credentials, HttpRefusal, read_credentials
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Refused, Verdict

__all__ = ["ScrapeLogin"]

_NOBODY = Credentials()
_UNREADABLE = Refused(Reason.NOT_AUTHORIZED, "not_logged_in", "the Authorization header is neither Basic nor Bearer")
_NO_READER = HttpRefusal(403, "no_reader", "this user may not read the metrics; metrics.auth.readers says who may")


class ScrapeLogin:
    """Judges the requests of one connection. ``readers`` are the users that may read; empty: whoever comes in."""

    def __init__(
        self,
        door: Door,
        readers: Collection[str],
        *,
        is_token_known: bool,
        judged: Callable[[bool | HttpRefusal], None],
    ) -> None:
        self._door = door
        self._readers = readers
        self._is_token_known = is_token_known
        self._judged = judged

    def judge(self, authorization: bytes | None) -> HttpRefusal | bool:
        """True, why not, or False: ``judged`` is called later. A password that was right is known again at once."""
        credentials = _NOBODY if authorization is None else read_credentials(authorization)
        if credentials is None:
            return of_refused(_UNREADABLE)
        if credentials.token is not None and self._is_token_known:
            verdict: Verdict | None = self._door.judge_token(_NOBODY, credentials.token)
            return of_refused(verdict) if isinstance(verdict, Refused) else True
        verdict = self._door.judge(credentials, lambda verdict, _now_s: self._judged(self._read(verdict)))
        return False if verdict is None else self._read(verdict)

    def _read(self, verdict: Verdict) -> HttpRefusal | bool:
        if isinstance(verdict, Refused):
            return of_refused(verdict)
        return True if not self._readers or verdict.user in self._readers else _NO_READER
