"""The answer to CONNECT: whom the listener refuses, and what it tells an accepted client about itself."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.mqtt.packets import ConnAck, Connect, Properties, Reason
from fieldgate.mqtt.session_roles import Accepted, Refused
from fieldgate.mqtt.topics import has_control, topic_problem
from fieldgate.mqtt.violation import Violation

__all__ = [
    "SessionLimits", "connack", "keep_alive", "objection", "refusal", "return_code", "wanted_expiry_s",
]  # fmt: skip

_FOR_EVER_S: Final = 0xFFFFFFFF
_UNAVAILABLE_311: Final = 3
_RETURN_CODES: Final = {  # [3.1.1: 3.2.2.3]; what else keeps a client out may pass
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4,
    Reason.NOT_AUTHORIZED: 5,
    Reason.BANNED: 5,
    Reason.TOPIC_NAME_INVALID: 5,  # of a will; 3.1.1 has no code of its own for it
}
_BAD_CLIENT_ID: Final = Reason.CLIENT_ID_NOT_VALID


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
    max_subscriptions: int = 1000
    max_filter_bytes: int = 65_536
    max_topic_levels: int = 201
    max_user_properties: int = 1000
    stuck_s: float = 30.0
    max_keep_alive_s: int = 3600


def refusal(connect: Connect, limits: SessionLimits) -> Refused | None:
    """Return why ``connect`` is refused, whoever it is from.

    Raises:
        Violation: a 3.1.1 client has a control character in one of its names: it is not answered [3.1.1: 1.5.3].
    """
    is_v5 = connect.version == 5
    if connect.version == 3:
        return _refused(Reason.UNSUPPORTED_PROTOCOL_VERSION, "MQTT 3.1 is not supported")
    if len(connect.client_id) > limits.max_client_id:
        return _refused(_BAD_CLIENT_ID, "client id is too long")
    if (refused := _control(connect)) is not None:
        if not is_v5:
            raise Violation(Reason.MALFORMED_PACKET, refused.problem)
        return refused
    if not is_v5 and not connect.client_id and not connect.clean_start:
        return _refused(_BAD_CLIENT_ID, "no client id for a session that is to be kept")  # [3.1.1: MQTT-3.1.3-8]
    if connect.properties is not None and connect.properties.authentication_method is not None:
        return _refused(Reason.BAD_AUTHENTICATION_METHOD, "enhanced authentication is not supported")
    if connect.will is not None and (problem := topic_problem(connect.will.topic, max_levels=limits.max_topic_levels)):
        return _refused(Reason.TOPIC_NAME_INVALID, f"will: {problem}")
    return None


def _control(connect: Connect) -> Refused | None:
    """Return which of the names in ``connect`` has a control character, if one has [MQTT5 1.5.4]."""
    if has_control(connect.client_id):
        return _refused(_BAD_CLIENT_ID, "client id has a control character")
    if has_control(connect.username or ""):
        return _refused(Reason.BAD_USER_NAME_OR_PASSWORD, "user name has a control character")
    if connect.will is not None and has_control(connect.will.topic):
        return _refused(Reason.TOPIC_NAME_INVALID, "will: the topic has a control character")
    return None


def _refused(reason: Reason, problem: str) -> Refused:
    return Refused(reason, "connect_refused", problem)


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


def keep_alive(connect: Connect, limits: SessionLimits) -> tuple[int | None, float]:
    """Return the Server Keep Alive to tell the client, if any, and the seconds of silence that end its connection.

    One and a half times the keep-alive [MQTT-3.1.2-22]. An MQTT 5 client that asks for none, or for more than
    ``max_keep_alive_s``, is told that [MQTT-3.2.2-21]. A 3.1.1 client cannot be told: it has what it asks for, and when
    it asks for none, a silence as long as that of an MQTT 5 client is taken for its end, as the server may
    [3.1.1: 3.1.2.10].
    """
    asked_s = connect.keep_alive_s
    longest_s = limits.max_keep_alive_s
    if connect.version != 5:
        return None, (asked_s or longest_s) * 1.5
    if not 0 < asked_s <= longest_s:
        return longest_s, longest_s * 1.5
    return None, asked_s * 1.5


def connack(
    connect: Connect,
    limits: SessionLimits,
    *,
    is_assigned: bool,
    expiry_s: float,
    server_keep_alive_s: int | None,
) -> ConnAck:
    """Return the CONNACK that accepts ``connect`` and, to an MQTT 5 client, names the limits.

    Whether the session was there is for the caller to add. What is not named is available: QoS 2, retained messages,
    wildcards, subscription ids, shared subscriptions.
    """
    if connect.version != 5:
        return ConnAck()
    return ConnAck(
        Reason.SUCCESS,
        False,
        Properties(
            receive_maximum=limits.receive_maximum,
            maximum_packet_size=limits.max_packet_bytes,
            topic_alias_maximum=limits.topic_alias_maximum,
            assigned_client_id=connect.client_id if is_assigned else None,
            server_keep_alive_s=server_keep_alive_s,
            session_expiry_s=int(expiry_s) if expiry_s != wanted_expiry_s(connect) else None,
        ),
    )
