"""What the head of an HTTP request says, as far as a message can be made of it: who sends it, and for which topic.

Laws of this file:

- A path is split before it is decoded, so that an encoded slash never makes a level [RFC 3986 2.2]. What could mean
  something else to MQTT (``+``, ``#``, control characters) or to file names (``.``, ``..``) is refused, not mended.
- A path without its first slash is taken: Ecowitt's consoles send it as it was typed. So is one with a slash at its
  end, and a whole URL [RFC 9112 3.2.2]. A query means nothing here.

No I/O, no clock.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

import h11

from fieldgate_devices.trace_context import TRACEPARENT, TRACESTATE

__all__ = [
    "Credentials",
    "Head",
    "HttpRefusal",
    "TopicTemplate",
    "read_credentials",
    "read_head",
    "split_path",
]

_METHODS: Final = (b"POST", b"PUT")
_MAX_HEADERS: Final = 100
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_NO_LEVEL: Final = re.compile(r"[+#/\0-\x1f\x7f-\x9f]")
_SHOWN_ORIGIN: Final = 200
_OF_TRACES: Final = frozenset({TRACEPARENT.encode(), TRACESTATE.encode()})


class HttpRefusal(Exception):
    """A request is not taken: the status, the code that is counted, and the words for whoever made it."""

    def __init__(
        self,
        status: int,
        code: str,
        problem: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        is_last: bool = False,
    ) -> None:
        """``is_last``: what follows on the connection cannot be read."""
        super().__init__(problem)
        self.status = status
        self.code = code
        self.problem = problem
        self.headers = headers
        self.is_last = is_last


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an Authorization header says; it is a `Claim`. ``token`` None: it is a name and a password."""

    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    token: bytes | None = field(default=None, repr=False)
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """A request whose body may be read, if its sender may send it. ``levels`` are those of its path."""

    method: bytes
    levels: tuple[str, ...] = field(repr=False)  # the first may be a token
    authorization: bytes | None = field(repr=False)
    length: int | None
    origin: str
    trace: tuple[tuple[str, str], ...] = ()  # the headers traceparent and tracestate, as they came


def read_head(request: h11.Request, *, max_header_bytes: int, max_body_bytes: int, origins: tuple[str, ...]) -> Head:
    """Return what the head says. ``origins`` are web pages that may send; '*' is any.

    Raises:
        HttpRefusal: no message can be made of this request, whoever sends it.
    """
    if not request.http_version.startswith(b"1."):
        raise HttpRefusal(505, "version", "HTTP/1.1 or HTTP/1.0 is spoken here", is_last=True)
    _check_size(request, max_header_bytes)
    headers = dict(request.headers)
    origin = headers.get(b"origin", b"").decode("latin-1").lower()[:_SHOWN_ORIGIN]
    if origin and origin not in origins and "*" not in origins:  # pages of this host: there are none (DNS rebinding)
        raise HttpRefusal(403, "origin", "web pages of this origin may not send here")
    if request.method not in (*_METHODS, b"OPTIONS") or (request.method == b"OPTIONS" and not origin):
        raise HttpRefusal(405, "method", "POST or PUT makes an event", headers=(("Allow", "POST, PUT"),))
    if b"transfer-encoding" in headers and b"content-length" in headers:  # request smuggling [RFC 9112 6.1]
        raise HttpRefusal(400, "malformed", "both Transfer-Encoding and Content-Length are given", is_last=True)
    if request.method == b"OPTIONS":
        return Head(request.method, (), None, None, origin)
    if (expected := headers.get(b"expect")) is not None and expected.lower() != b"100-continue":
        raise HttpRefusal(417, "expectation", "nothing but 100-continue can be expected")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        accepted = (("Accept-Encoding", "identity"),)
        raise HttpRefusal(415, "encoded", "the body must not be compressed: it is kept as it is", headers=accepted)
    length = int(headers[b"content-length"]) if b"content-length" in headers else None
    if length is None and b"transfer-encoding" not in headers:
        raise HttpRefusal(411, "no_length", "Content-Length is missing; an empty event has Content-Length: 0")
    if length is not None and length > max_body_bytes:
        raise too_large(max_body_bytes)
    trace = tuple((name.decode(), value.decode("latin-1")) for name, value in request.headers if name in _OF_TRACES)
    return Head(request.method, split_path(request.target), headers.get(b"authorization"), length, origin, trace)


def too_large(max_body_bytes: int) -> HttpRefusal:
    """What is said to a body of more than that."""
    return HttpRefusal(413, "too_large", f"the body is larger than {max_body_bytes} bytes", is_last=True)


def _check_size(request: h11.Request, max_header_bytes: int) -> None:
    """The head as it came, but for spaces that mean nothing."""
    size_bytes = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
    if size_bytes > max_header_bytes or len(request.headers) > _MAX_HEADERS:
        problem = f"the head is larger than {max_header_bytes} bytes or has more than {_MAX_HEADERS} lines"
        raise HttpRefusal(431, "large_head", problem, is_last=True)


def split_path(target: bytes) -> tuple[str, ...]:
    """Return the levels of a request's path, decoded; none for ``/``.

    Raises:
        HttpRefusal: it has levels that no topic can have.
    """
    if (absolute := _ABSOLUTE.match(target)) is not None:
        target = target[absolute.end() :]
    path = target.partition(b"?")[0].removeprefix(b"/").removesuffix(b"/")
    if not path:
        return ()
    try:
        levels = tuple(unquote_to_bytes(level).decode() for level in path.split(b"/"))
    except UnicodeDecodeError:
        raise HttpRefusal(400, "path", "the path is not UTF-8") from None
    if any(not level or level in (".", "..") or _NO_LEVEL.search(level) for level in levels):
        problem = "a level of the path is empty, '.', '..', or holds '+', '#', an encoded '/' or a control character"
        raise HttpRefusal(400, "path", problem)
    return levels


def read_credentials(authorization: bytes) -> Credentials | None:
    """Read an Authorization header: Basic [RFC 7617] or Bearer [RFC 6750]; None: it is neither."""
    scheme, _, value = authorization.strip().partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer" and value:
        return Credentials(token=value)
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = b64decode(value, validate=True).partition(b":")
        return Credentials(name.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None


class TopicTemplate:
    """Makes topics of paths; ``{path}`` in the template stands for the levels of the path."""

    def __init__(self, template: str) -> None:
        self._before, self._placeholder, self._after = template.partition("{path}")

    def topic(self, levels: tuple[str, ...]) -> str:
        """Return the topic.

        Raises:
            HttpRefusal: the path is empty, and the topic needs one.
        """
        if not self._placeholder:
            return self._before
        if not levels:
            raise HttpRefusal(404, "path", "the path is empty; it makes the topic")
        return f"{self._before}{'/'.join(levels)}{self._after}"
