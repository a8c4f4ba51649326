"""What to do where the way to a server ends, by the kind of reason."""

from __future__ import annotations

from typing import Final

__all__ = ["ADVICE", "CLOCK_FIRST"]

ADVICE: Final = {
    "log_in_not_tried": "to have it tried with what systemd has handed to the service: sudo env "
    "CREDENTIALS_DIRECTORY=/run/credentials/fieldgate.service fieldgate doctor",
    "name_not_found": "is the name spelled right? 'getent hosts NAME' asks as we do; /etc/resolv.conf says which name "
    "server is asked",
    "name_server_silent": "the name server in /etc/resolv.conf does not answer: is the network up, UDP port 53 open?",
    "no_route": "the network has no way there: 'ip route' shows a default route where there is one; is the cable in, "
    "the modem on?",
    "nothing_listens": "the machine is there and nothing listens on that port: is the broker running, and the port the "
    "right one (1883 plain, 8883 TLS)?",
    "unreachable": "a firewall on the way may drop it: allow TCP to that port, or use wss:// on port 443, or a proxy",
    "proxy_failed": "see 'proxy' of the configuration, and the proxy's own log",
    "tls_failed": "is it a port with TLS 1.2 or later? 'openssl s_client -connect HOST:PORT' shows the handshake",
    "no_tls": "what answers there speaks no TLS: is it the plain port? Write mqtt:// (and port 1883), or find the TLS "
    "port (8883)",
    "tls_too_old": "the server speaks only TLS older than 1.2, which is not safe and not spoken here: update it",
    "certificate_expired": "the server's owner must renew it; nothing here can, and switching the check off is not "
    "possible",
    "certificate_not_yet_valid": "it is of the future for this machine: whose clock is wrong?",
    "certificate_wrong_host": "write the name that the certificate bears into the URL, or into 'server_name' where the "
    "broker is reached by an address or through a tunnel",
    "certificate_unknown_authority": "set 'ca' to the PEM file of the authority that signed it (for a certificate that "
    "signed itself: to that certificate); a server that does not send its chain looks the same",
    "certificate_unverified": "'openssl s_client -connect HOST:PORT -showcerts' shows what it sends",
    "own_certificate_refused": "see 'certificate' and 'key': has it expired, does the server know its authority, is "
    "the device registered there?",
    "websocket_failed": "is the path of the URL the right one (often /mqtt), and does the server want 'headers'?",
    "no_answer": "something accepts connections there and does not speak MQTT to us: is the port the right one?",
    "unusable": "mend the file that is named",
}
"""By the last part of the finding's id."""

CLOCK_FIRST: Final = "set this machine's clock first: it is not set, and every certificate looks wrong until it is"
