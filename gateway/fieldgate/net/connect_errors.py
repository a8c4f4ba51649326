"""The errors of connecting, in words that a person can act on."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from fieldgate.errors import UplinkError
from fieldgate.net.refusals import ClosedByServer, TryLater, join_address

__all__ = ["Stage", "Way", "connect_problem", "is_refusal"]

_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME: Final = frozenset({62, 63, 64})

_ALERTS: Final = {  # RFC 8446, 6.2, by the names that OpenSSL gives them
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "refuses our certificate: it has expired, says that side",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "refuses our certificate: it was revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "refuses our certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "refuses TLS with us: it wants a certificate ('certificate' and 'key'), or "
    "there is no cipher in common",
    "SSLV3_ALERT_BAD_CERTIFICATE": "refuses our certificate, or our having none: see 'certificate' and 'key'",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "refuses our certificate: its kind is not supported",
    "TLSV1_ALERT_UNKNOWN_CA": "refuses our certificate: its authority is not known there",
    "TLSV1_ALERT_ACCESS_DENIED": "refuses our certificate: access denied",
    "TLSV1_ALERT_DECRYPT_ERROR": "refuses our certificate: its signature does not fit",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a certificate of ours; set 'certificate' and 'key'",
    "TLSV1_UNRECOGNIZED_NAME": "does not know the name it was asked for; see 'server_name'",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "knows none of the protocol names in 'alpn'",
}


class Stage(Enum):
    """How far connecting has come, and whose answer is waited for."""

    LOOK_UP = "the name server"
    TCP = "TCP"
    PROXY = "the proxy's answer to CONNECT"
    TLS = "TLS"
    WEBSOCKET = "the WebSocket handshake"
    MQTT = "MQTT"


@dataclass(frozen=True, slots=True)
class Way:
    """Where to: the broker, the name its certificate must bear, and the proxy (host and port) if there is one."""

    host: str
    port: int
    server_name: str
    proxy: tuple[str, int] | None = None

    @property
    def broker(self) -> str:
        """The broker in words."""
        return join_address(self.host, self.port)

    @property
    def first(self) -> tuple[str, int]:
        """What TCP connects to."""
        return self.proxy or (self.host, self.port)

    @property
    def first_name(self) -> str:
        """What TCP connects to, in words."""
        return f"the proxy {join_address(*self.proxy)}" if self.proxy is not None else self.broker


def is_refusal(error: BaseException) -> bool:
    """Whether a person must act (wrong certificate, wrong CA file, a log-in refused) before connecting can succeed."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
        return _ssl_name(error) in _ALERTS
    return isinstance(error, ssl.SSLCertVerificationError | UplinkError) and not isinstance(error, TryLater)


def connect_problem(error: BaseException, way: Way, *, stage: Stage, wall_ns: int) -> str:
    """Return in words why connecting failed at ``stage``, or why the connection broke (``Stage.MQTT``)."""
    where = way.first_name if stage is Stage.TCP else way.broker
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate_problem(error, name=way.server_name, wall_ns=wall_ns)
        case ssl.SSLError() if (name := _ssl_name(error)) in _ALERTS:
            return f"{way.broker} {_ALERTS[name]}"
        case ssl.SSLError():
            reason = _ssl_name(error).replace("_", " ").lower()
            return f"TLS with {way.broker} failed: {reason}; is that a TLS port, with TLS 1.2 or later?"
        case socket.gaierror():
            return f"cannot look up {way.first[0]}: {error.strerror}"
        case TimeoutError():
            return _silence(way, stage)
        case ClosedByServer():
            return str(error)
        case ConnectionRefusedError():
            return f"{where} refuses connections: nothing listens there"
        case ConnectionError() if error.errno in {None, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
            return _hang_up(way, stage)
        case OSError():
            return f"cannot reach {where}: {error.strerror or error}"
        case _:
            return str(error)


def _ssl_name(error: ssl.SSLError) -> str:
    """OpenSSL's name of what happened; the newer ones Python knows by their text only."""
    if error.reason:  # None, whatever the type stubs say, where Python has no name
        return error.reason
    text = re.sub(r"^\[[^]]*\] | \(_ssl.*$", "", str(error.args[-1]))
    return text.replace(" ", "_").upper()


def _silence(way: Way, stage: Stage) -> str:
    match stage:
        case Stage.LOOK_UP:
            return f"the name server did not answer in time for {way.first[0]}"
        case Stage.TCP:
            return f"{way.first_name} did not answer in time"
        case Stage.PROXY:
            return f"{way.first_name} did not connect to {way.broker} in time"
        case Stage.TLS | Stage.WEBSOCKET:
            return f"{way.broker} connected and did not answer in time: {stage.value} hangs"
        case Stage.MQTT:
            return f"{way.broker} did not answer in time"


def _hang_up(way: Way, stage: Stage) -> str:
    match stage:
        case Stage.PROXY:
            return f"{way.first_name} hung up instead of connecting to {way.broker}"
        case Stage.TLS:
            return f"{way.broker} hung up while TLS was agreed on; is that a TLS port, with TLS 1.2 or later?"
        case Stage.WEBSOCKET:
            return f"{way.broker} hung up instead of answering the WebSocket handshake"
        case Stage.LOOK_UP | Stage.TCP:
            return f"{way.first_name} reset the connection"
        case Stage.MQTT:
            return f"{way.broker} reset the connection"


def _certificate_problem(error: ssl.SSLCertVerificationError, *, name: str, wall_ns: int) -> str:
    code = error.verify_code
    now = datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if code == _EXPIRED:
        return f"the certificate of {name} has expired (this machine's clock says {now})"
    if code == _NOT_YET_VALID:
        return f"the certificate of {name} is not valid yet (this machine's clock says {now}; is it set?)"
    if code in _UNKNOWN_AUTHORITY:
        return f"the certificate of {name} is signed by an authority that is not known here; set 'ca' to its PEM file"
    if code in _WRONG_NAME:
        return f"the certificate is not for {name}: {error.verify_message.rstrip('.')}"
    return f"the certificate of {name} cannot be verified: {error.verify_message.rstrip('.')}"
