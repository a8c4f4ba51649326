"""MQTT control packets as values, for 3.1.1 and 5 alike.

A packet says what stood on the wire and nothing else; ``codec`` makes and reads the bytes, the sessions
decide what is legal when. Properties exist in MQTT 5 only and are None when there are none.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

__all__ = [
    "Auth", "ConnAck", "Connect", "Disconnect", "Packet", "PingReq", "PingResp", "Properties", "PubAck", "PubComp",
    "PubRec", "PubRel", "Publish", "Reason", "SubAck", "Subscribe", "Subscription", "UnsubAck", "Unsubscribe", "Will",
]  # fmt: skip


class Reason(IntEnum):
    """MQTT 5 reason codes [MQTT5 2.4]."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    REAUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_ID_IN_USE = 0x91
    PACKET_ID_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class Properties(msgspec.Struct, omit_defaults=True):
    """Every MQTT 5 property [MQTT5 2.2.2.2]; None means absent. Intervals are in seconds, as on the wire."""

    payload_format: int | None = None
    message_expiry_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_ids: tuple[int, ...] = ()
    session_expiry_s: int | None = None
    assigned_client_id: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: int | None = None
    will_delay_s: int | None = None
    request_response_information: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: int | None = None
    user: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    wildcard_available: int | None = None
    subscription_ids_available: int | None = None
    shared_available: int | None = None


class Will(msgspec.Struct):
    """What the server publishes for a client that vanishes."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties | None = None


class Connect(msgspec.Struct):
    """CONNECT. ``version`` is the protocol level: 3 (refused), 4 (MQTT 3.1.1) or 5."""

    client_id: str
    version: int = 5
    clean_start: bool = True
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties | None = None


class ConnAck(msgspec.Struct):
    """CONNACK. ``reason`` is an MQTT 5 reason code, or a 3.1.1 return code (0 to 5) where the version is 4."""

    reason: int = 0
    session_present: bool = False
    properties: Properties | None = None


class Publish(msgspec.Struct, gc=False):
    """PUBLISH. ``packet_id`` is 0 at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties | None = None


class PubAck(msgspec.Struct, gc=False):
    """PUBACK."""

    packet_id: int
    reason: int = 0
    properties: Properties | None = None


class PubRec(msgspec.Struct, gc=False):
    """PUBREC."""

    packet_id: int
    reason: int = 0
    properties: Properties | None = None


class PubRel(msgspec.Struct, gc=False):
    """PUBREL."""

    packet_id: int
    reason: int = 0
    properties: Properties | None = None


class PubComp(msgspec.Struct, gc=False):
    """PUBCOMP."""

    packet_id: int
    reason: int = 0
    properties: Properties | None = None


class Subscription(msgspec.Struct, frozen=True):
    """One topic filter of a SUBSCRIBE with its options [MQTT5 3.8.3.1]."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct):
    """SUBSCRIBE."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties | None = None


class SubAck(msgspec.Struct):
    """SUBACK."""

    packet_id: int
    reasons: tuple[int, ...]
    properties: Properties | None = None


class Unsubscribe(msgspec.Struct):
    """UNSUBSCRIBE."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties | None = None


class UnsubAck(msgspec.Struct):
    """UNSUBACK. ``reasons`` is empty in 3.1.1."""

    packet_id: int
    reasons: tuple[int, ...] = ()
    properties: Properties | None = None


class PingReq(msgspec.Struct):
    """PINGREQ."""


class PingResp(msgspec.Struct):
    """PINGRESP."""


class Disconnect(msgspec.Struct):
    """DISCONNECT."""

    reason: int = 0
    properties: Properties | None = None


class Auth(msgspec.Struct):
    """AUTH (MQTT 5 only)."""

    reason: int = 0
    properties: Properties | None = None


Packet = (
    Connect | ConnAck | Publish | PubAck | PubRec | PubRel | PubComp | Subscribe | SubAck | Unsubscribe | UnsubAck
    | PingReq | PingResp | Disconnect | Auth
)  # fmt: skip
