"""The answer to CONNECT: whom the listener refuses, and what it tells an accepted client about itself."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.mqtt.packets import ConnAck, Connect, Properties, Reason
from fieldgate.mqtt.session_roles import Accepted, Refused

__all__ = ["SessionLimits", "connack", "objection", "refusal", "return_code", "wanted_expiry_s"]

_FOR_EVER_S: Final = 0xFFFFFFFF
_UNAVAILABLE_311: Final = 3
_RETURN_CODES: Final = {  # [3.1.1: 3.2.2.3]; what else keeps a client out may pass
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4,
    Reason.NOT_AUTHORIZED: 5,
    Reason.BANNED: 5,
}


class SessionLimits(msgspec.Struct, frozen=True):
    """What one connection may cost; see ``ListenConfig`` for the meaning of each."""

    max_packet_bytes: int = 256 * 1024
    max_connect_bytes: int = 100_000
    connect_timeout_s: float = 5.0
    receive_maximum: int = 1000
    max_unsent_bytes: int = 2**20
    max_client_id: int = 1024
    topic_alias_maximum: int = 16
    delivery_window: int = 100
    stuck_s: float = 30.0


def refusal(connect: Connect, limits: SessionLimits) -> tuple[int, str] | None:
    """Return the CONNACK code that refuses ``connect``, and why; a 3.1.1 return code unless it is MQTT 5."""
    is_v5 = connect.version == 5
    if connect.version == 3:
        return 0x01, "MQTT 3.1 is not supported"
    if len(connect.client_id) > limits.max_client_id:
        return Reason.CLIENT_ID_NOT_VALID if is_v5 else 0x02, "client id is too long"
    if not is_v5 and not connect.client_id and not connect.clean_start:
        return 0x02, "no client id for a session that is to be kept"  # [3.1.1: MQTT-3.1.3-8]
    if connect.properties is not None and connect.properties.authentication_method is not None:
        return Reason.BAD_AUTHENTICATION_METHOD, "enhanced authentication is not supported"
    return None


def objection(connect: Connect, accepted: Accepted, *, is_taken: bool) -> Refused | None:
    """Return why a client that the authority let in is refused all the same.

    ``is_taken``: its client id is that of another user's session. To hand that over, or to end it, would let one user
    read or silence another.
    """
    if is_taken:
        return Refused(Reason.CLIENT_ID_NOT_VALID, "client_id_of_another", "the client id is that of another user")
    will = connect.will
    if will is not None and accepted.rights is not None and not accepted.rights.may_publish(will.topic):
        return Refused(Reason.NOT_AUTHORIZED, "will_denied", "the will is for a topic that the user may not publish to")
    return None


def return_code(reason: Reason, *, version: int) -> int:
    """Return the CONNACK code that says ``reason`` in this version of MQTT."""
    return reason if version == 5 else _RETURN_CODES.get(reason, _UNAVAILABLE_311)


def wanted_expiry_s(connect: Connect) -> int:
    """Return how long the client wants its session kept after the connection."""
    if connect.version != 5:
        return 0 if connect.clean_start else _FOR_EVER_S
    return (connect.properties.session_expiry_s or 0) if connect.properties is not None else 0


def connack(
    connect: Connect, limits: SessionLimits, *, is_present: bool, is_assigned: bool, expiry_s: float
) -> ConnAck:
    """Return the CONNACK that accepts ``connect`` and, to an MQTT 5 client, names the limits."""
    if connect.version != 5:
        return ConnAck(0, is_present)
    return ConnAck(
        Reason.SUCCESS,
        is_present,
        Properties(
            receive_maximum=limits.receive_maximum,
            maximum_packet_size=limits.max_packet_bytes,
            topic_alias_maximum=limits.topic_alias_maximum,
            shared_available=0,
            assigned_client_id=connect.client_id if is_assigned else None,
            session_expiry_s=int(expiry_s) if expiry_s != wanted_expiry_s(connect) else None,
        ),
    )
