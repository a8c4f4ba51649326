"""Why TLS failed, by kind: each has another remedy. What is said is ``fieldgate.net.connect_errors``'s to word."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from typing import Final

from fieldgate.net.connect_errors import Stage

__all__ = ["reason_of"]

_EXPIRED: Final = 10  # of X509_V_ERR_…
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_WRONG_NAME: Final = frozenset({62, 63, 64})
_TOO_OLD: Final = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_SSL_VERSION", "DH_KEY_TOO_SMALL"}
)
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
_OURS: Final = re.compile(
    r"CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN|REQUIRED)|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ALERT_UNKNOWN_CA"
    r"|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE"
)
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


def reason_of(error: BaseException, stage: Stage) -> str:
    """Return the last part of the finding's id: ``certificate_expired`` and so on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error.verify_code)
    if isinstance(error, ssl.SSLError):
        return _of_alert(_ssl_name(error))
    if isinstance(error, socket.gaierror) or (stage is Stage.LOOK_UP and isinstance(error, TimeoutError)):
        return "name_not_found" if isinstance(error, socket.gaierror) else "name_server_silent"
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return "no_route"
    match stage:
        case Stage.LOOK_UP | Stage.TCP:
            return "nothing_listens" if isinstance(error, ConnectionRefusedError) else "unreachable"
        case Stage.PROXY:
            return "proxy_failed"
        case Stage.TLS:
            return "tls_failed"
        case Stage.WEBSOCKET:
            return "websocket_failed"
        case Stage.MQTT:
            return "no_answer"


def _of_certificate(code: int) -> str:
    if code == _EXPIRED:
        return "certificate_expired"
    if code == _NOT_YET_VALID:
        return "certificate_not_yet_valid"
    if code in _UNKNOWN_AUTHORITY:
        return "certificate_unknown_authority"
    return "certificate_wrong_host" if code in _WRONG_NAME else "certificate_unverified"


def _of_alert(name: str) -> str:
    if name in _TOO_OLD:
        return "tls_too_old"
    if name in _NO_TLS:
        return "no_tls"
    return "own_certificate_refused" if _OURS.search(name) else "tls_failed"


def _ssl_name(error: ssl.SSLError) -> str:
    if error.reason:  # None, whatever the type stubs say, where Python has no name
        return error.reason
    text = re.sub(r"^\[[^]]*\] | \(_ssl.*$", "", str(error.args[-1]))
    return text.replace(" ", "_").upper()
