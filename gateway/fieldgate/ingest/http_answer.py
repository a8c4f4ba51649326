"""What an HTTP client is answered: statuses as bytes, in words that a person can act on, as short JSON."""

from __future__ import annotations

import json
import math
from typing import Final

import h11

from fieldgate.ingest.http_request import HttpRefusal
from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.session_roles import Refused

__all__ = ["CLOSE", "Headers", "come_again", "encode_answer", "of_refused", "refusal_text"]

Headers = tuple[tuple[str, str], ...]

CLOSE: Final = ("Connection", "close")

_STATUS: Final = {
    Reason.NOT_AUTHORIZED: 401,
    Reason.BAD_USER_NAME_OR_PASSWORD: 401,
    Reason.CONNECTION_RATE_EXCEEDED: 429,
}
_BUSY: Final = 503  # everything else that keeps somebody out is of the moment
_RETRY_S: Final = 5.0
_CHALLENGE: Final = ("WWW-Authenticate", 'Basic realm="fieldgate", charset="UTF-8"')


def encode_answer(
    http: h11.Connection, status: int, headers: Headers, body: bytes = b"", *, is_head: bool = False
) -> bytes:
    """Answer the request that ``http`` is at; it adds what the version and the end of the connection ask for.

    ``is_head``: the method is HEAD, whose answer has the headers of a body and no body [RFC 9110 9.3.2].
    """
    every = [*headers]
    if status != 204:  # [RFC 9110 8.6]
        every.append(("Content-Length", str(len(body))))
    chunk = http.send(h11.Response(status_code=status, headers=every))
    assert chunk is not None
    if body and not is_head:
        chunk += http.send(h11.Data(data=body)) or b""
    return chunk + (http.send(h11.EndOfMessage()) or b"")


def refusal_text(refusal: HttpRefusal) -> tuple[Headers, bytes]:
    """The headers and the body of an answer that says no."""
    body = json.dumps({"error": refusal.code, "problem": refusal.problem}).encode() + b"\n"
    return (("Content-Type", "application/json"), *refusal.headers), body


def of_refused(refused: Refused) -> HttpRefusal:
    """The same in HTTP: who is not let in is told what to do about it."""
    status = _STATUS.get(refused.reason, _BUSY)
    if status == 401:
        return HttpRefusal(status, refused.code, refused.problem, headers=(_CHALLENGE,))
    return come_again(status, refused.code, refused.problem, wait_s=refused.wait_s or _RETRY_S)


def come_again(status: int, code: str, problem: str, *, wait_s: float = _RETRY_S, is_last: bool = False) -> HttpRefusal:
    """What can be taken a little later."""
    return HttpRefusal(status, code, problem, headers=(("Retry-After", str(math.ceil(wait_s))),), is_last=is_last)
