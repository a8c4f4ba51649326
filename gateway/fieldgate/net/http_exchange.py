"""One HTTP/1.1 request and its answer, by `h11`.

Laws of this file: fed bytes, answers bytes; no socket, no clock. An answer counts once it is complete; a redirect is an
answer like others. Of its content only the beginning is kept, for a person to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import h11

from fieldgate.net.refusals import TryLater, printable

__all__ = ["Answer", "BadAnswer", "Headers", "HttpExchange"]

Headers = Sequence[tuple[str, str]]

_BEGIN: Final = b"HTTP/1."
_MAX_HEAD_BYTES: Final = 32 * 1024
_MAX_BODY_BYTES: Final = 64 * 1024
_KEPT_BYTES: Final = 512


class BadAnswer(TryLater):
    """What came is no complete HTTP answer."""


class Answer(NamedTuple):
    """A complete answer; ``words`` is the beginning of its content, ``is_reusable``: the connection goes on."""

    status: int
    phrase: str
    headers: dict[str, str]
    words: str
    is_reusable: bool

    def __str__(self) -> str:
        said = f"{self.status} {self.phrase}".rstrip()
        return f"{said}: {self.words}" if self.words else said


class HttpExchange:
    """The requests of one connection, one after the other: `request`, then `feed` until there is an answer."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._response: h11.Response | None = None
        self._begin = self._words = b""
        self._size_bytes = 0

    def request(self, method: str, target: str, headers: Headers, body: bytes) -> bytes:
        """Return the bytes of the next request."""
        if self._response is not None:
            self._http.start_next_cycle()
        self._response, self._begin, self._words, self._size_bytes = None, b"", b"", 0
        sent = self._http.send(h11.Request(method=method, target=target, headers=list(headers))) or b""
        sent += self._http.send(h11.Data(data=body)) or b""
        return sent + (self._http.send(h11.EndOfMessage()) or b"")

    @property
    def has_begun(self) -> bool:
        """Whether anything of the answer has come."""
        return bool(self._begin)

    def feed(self, chunk: bytes) -> Answer | None:
        """Take what came, or b"" for the end of the connection; return the answer once it is complete.

        Raises:
            BadAnswer: this will never be one.
        """
        self._begin += chunk[: len(_BEGIN) - len(self._begin)]
        if not _BEGIN.startswith(self._begin):  # h11 would wait for an empty line
            raise BadAnswer(f"no HTTP answer: it begins with {printable(chunk[:16].decode('latin-1'))!r}")
        try:
            self._http.receive_data(chunk)
            while True:
                event = self._http.next_event()
                match event:
                    case h11.NEED_DATA | h11.PAUSED:
                        return None
                    case h11.Response():
                        self._response = event
                    case h11.Data():
                        self._take(bytes(event.data))
                        if self._size_bytes > _MAX_BODY_BYTES:
                            return self._answer(is_reusable=False)
                    case h11.EndOfMessage():
                        states = (self._http.our_state, self._http.their_state)
                        return self._answer(is_reusable=states == (h11.DONE, h11.DONE))
                    case h11.ConnectionClosed():
                        raise BadAnswer("the server hung up instead of answering")
        except h11.RemoteProtocolError as error:
            what = "in the middle of its answer" if self._response is not None else "without an answer"
            problem = f"the server hung up {what}" if not chunk else f"no HTTP answer: {printable(str(error))}"
            raise BadAnswer(problem) from error

    def _take(self, content: bytes) -> None:
        self._size_bytes += len(content)
        self._words += content[: _KEPT_BYTES - len(self._words)]

    def _answer(self, *, is_reusable: bool) -> Answer:
        response = self._response
        assert response is not None
        headers: dict[str, str] = {}
        for name, value in response.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        words = " ".join(self._words.decode("utf-8", errors="replace").split())
        phrase = printable(response.reason.decode("latin-1"))
        return Answer(response.status_code, phrase, headers, printable(words), is_reusable)
