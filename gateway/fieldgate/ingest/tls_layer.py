"""The server's side of TLS for one connection, fed bytes.

Ours and not the loop's: so a handshake that stands still is an unknown client like any other, within the same limits
and the same deadline, and what is unsent is counted as it stands in the socket.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

from fieldgate.ingest.layers import LayerEnd

__all__ = ["TlsLayer", "user_of"]

_READ_BYTES: Final = 65_536
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNSUPPORTED_PROTOCOL_"}
_SAN_KINDS: Final = {"san-dns": "DNS", "san-email": "email", "san-uri": "URI"}


class TlsLayer:
    """`Layer`. ``opened`` is called with the client's certificate (None: it showed none) after the handshake."""

    def __init__(self, context: ssl.SSLContext, opened: Callable[[dict[str, Any] | None], None]) -> None:
        self.ended: LayerEnd | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._opened = opened
        self._is_open = False

    def receive(self, chunk: bytes) -> bytes:
        """See `Layer`."""
        if self.ended is not None:
            return b""
        self._incoming.write(chunk)
        pieces: list[bytes] = []
        try:
            if not self._is_open:
                self._tls.do_handshake()
                self._is_open = True
                self._opened(self._tls.getpeercert() or None)
            while piece := self._tls.read(_READ_BYTES):
                pieces.append(piece)
            self.ended = LayerEnd("connection_lost", "the client ended TLS")
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.ended = LayerEnd("tls_failed", f"TLS failed: {_words(error)}")
        return b"".join(pieces)

    def send(self, chunk: bytes) -> None:
        """See `Layer`."""
        if not self._is_open or self.ended is not None:
            return
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            self.ended = LayerEnd("tls_failed", f"TLS failed: {_words(error)}")

    def take_output(self) -> bytes:
        """See `Layer`."""
        return self._outgoing.read()

    def admitted(self) -> None:
        """See `Layer`."""

    def end(self) -> None:
        """See `Layer`. Does not wait for the client's own goodbye."""
        if self._is_open:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                return


def user_of(certificate: dict[str, Any] | None, user_from: str) -> str | None:
    """Return the name that a verified certificate gives its owner, if it does."""
    if certificate is None or user_from == "none":
        return None
    if user_from == "cn":
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    else:
        kind = _SAN_KINDS[user_from]
        names = [value for key, value in certificate.get("subjectAltName", ()) if key == kind]
    return next(iter(names), None) or None


def _words(error: ssl.SSLError) -> str:
    """What a person can do something about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate is not accepted: {error.verify_message}"
    reason = error.reason or str(error)
    if reason in _NOT_TLS:
        return "what the client sent is not TLS"
    return reason.lower().replace("_", " ")
