"""Read the body of each MQTT control packet: one function for each type, for 3.1.1 and 5.

A function is given the first byte, a `Reader` over the body and the `Rules` of the connection, and answers the
packet or raises a `CodecError`. It checks all that the packet alone can tell; what depends on earlier packets (aliases,
packet ids in use, quotas) is the session's. Clauses are those of MQTT 5.0 unless marked 3.1.1.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from fieldgate.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    Properties,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.properties import DELIVERED, PLACES, PropertyTable, decode_properties
from fieldgate.mqtt.reasons import REASONS, RETURN_CODES, check_reason, check_reasons
from fieldgate.mqtt.topics import valid_topic, well_formed_filter
from fieldgate.mqtt.wire import MalformedPacket, Reader

__all__ = ["BODIES", "Rules", "check_header", "check_protocol", "lawful_first_bytes"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a connection lets its packets be. ``version`` is None until the CONNECT has told it.

    ``is_v5`` says whether packets have properties and reason codes.
    """

    version: int | None
    from_client: bool
    max_user_properties: int
    is_v5: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_v5", self.version == 5)


def _not_allowed(problem: str) -> MalformedPacket:
    """Make the error for what can be read and is not allowed (0x82)."""
    return MalformedPacket(problem, Reason.PROTOCOL_ERROR)


def check_header(first: int, rules: Rules) -> None:
    """Check the first byte of a packet, before its body has come.

    The type must exist, its flags are fixed [MQTT-2.1.3-1; 3.1.1: MQTT-2.2.2-2], and this side may send it. The first
    packet of a client is a CONNECT [MQTT-3.1.0-1], and none follows [MQTT-3.1.0-2].
    """
    kind = first >> 4
    if kind not in _NAMES or (kind == _AUTH and rules.version in (3, 4)):
        raise MalformedPacket(f"there is no packet type {kind}")
    name = _NAMES[kind]
    if rules.from_client and (kind == _CONNECT) != (rules.version is None):
        raise _not_allowed(f"{name} may not come {'before' if rules.version is None else 'after'} the CONNECT")
    if kind == _PUBLISH:
        if first & 6 == 6:
            raise MalformedPacket("PUBLISH has QoS 3")  # [MQTT-3.3.1-4]
        if first & 14 == 8:
            raise MalformedPacket("PUBLISH has DUP at QoS 0")  # [MQTT-3.3.1-2]
    elif first & 15 != (2 if kind in _FLAGS_2 else 0):
        raise MalformedPacket(f"{name} has reserved flags {first & 15:#x}")
    if kind in (_SERVER_ONLY if rules.from_client else _CLIENT_ONLY):
        raise _not_allowed(f"{name} may not be sent by the {'client' if rules.from_client else 'server'}")
    if kind == _DISCONNECT and not rules.from_client and not rules.is_v5:
        raise _not_allowed("DISCONNECT may not be sent by the server")


@cache
def lawful_first_bytes(version: int | None, from_client: bool) -> frozenset[int]:
    """Return the first bytes that `check_header` lets pass; looking there is quicker than asking it."""
    rules = Rules(version, from_client, 0)
    lawful = set()
    for first in range(256):
        with suppress(MalformedPacket):
            check_header(first, rules)
            lawful.add(first)
    return frozenset(lawful)


def _packet_id(reader: Reader) -> int:
    packet_id = reader.u16()
    if packet_id == 0:
        raise _not_allowed("packet id is 0")  # [MQTT-2.2.1-3, MQTT-2.2.1-4; 3.1.1: MQTT-2.3.1-1]
    return packet_id


def _topic(reader: Reader) -> str:
    """Read a topic name that is not empty.

    A wildcard is 0x81: code 0x90 is for names that are well formed and not accepted [3.14.2.1], the session's matter.
    """
    topic = reader.string()
    if not topic:
        raise _not_allowed("topic is empty")  # [MQTT-4.7.3-1]
    if not valid_topic(topic):
        raise MalformedPacket(f"topic {topic!r} has a wildcard")  # [MQTT-3.3.2-2]
    return topic


def _filter(reader: Reader) -> str:
    """Read a topic filter; whether one that begins with ``$share`` is a shared subscription is the session's question.

    It can be answered for each filter (0x8F), where 3.1.1 gives the name no meaning at all.
    """
    text = reader.string()
    if not well_formed_filter(text):
        raise MalformedPacket(f"topic filter {text!r} is not valid")  # [MQTT-4.7.1-1, -2; MQTT-4.7.3-1]
    return text


def _properties(reader: Reader, rules: Rules, allowed: PropertyTable) -> Properties | None:
    if not rules.is_v5:
        return None
    properties = decode_properties(reader, allowed, max_user=rules.max_user_properties)
    if properties is not None and properties.authentication_data is not None:
        _check_method(properties)
    return properties


def _check_method(properties: Properties | None) -> None:
    if properties is None or properties.authentication_method is None:
        raise _not_allowed("authentication data without a method")  # [3.1.2.11.10]


def check_protocol(name: str, level: int) -> None:
    """Refuse all but MQTT 4 and 5, and MQIsdp 3, which is read so that it can be refused in its own words."""
    if (name, level) not in (("MQTT", 5), ("MQTT", 4), ("MQIsdp", 3)):  # [MQTT-3.1.2-1, MQTT-3.1.2-2]
        problem = f"protocol {name[:16]!r} level {level} is not supported"
        raise MalformedPacket(problem, Reason.UNSUPPORTED_PROTOCOL_VERSION)


def _connect(first: int, reader: Reader, rules: Rules) -> Packet:
    """Read what follows the protocol name and level, which the decoder has read to know the version."""
    assert rules.version is not None
    flags = reader.byte()
    _check_connect_flags(flags, rules.version)
    keep_alive_s = reader.u16()
    properties = _properties(reader, rules, PLACES["CONNECT"])
    client_id = reader.string()  # whether an empty one will do is the session's decision [MQTT-3.1.3-8]
    will = _will(flags, reader, rules) if flags & 4 else None
    username = reader.string() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    return Connect(client_id, rules.version, bool(flags & 2), keep_alive_s, username, password, will, properties)


def _check_connect_flags(flags: int, version: int) -> None:
    if flags & 1:
        raise MalformedPacket("CONNECT has its reserved flag set")  # [MQTT-3.1.2-3]
    if flags & 4 == 0 and flags & 0x38:
        raise MalformedPacket("CONNECT has will flags without a will")  # [MQTT-3.1.2-11, MQTT-3.1.2-13]
    if flags & 0x18 == 0x18:
        raise MalformedPacket("CONNECT has will QoS 3")  # [MQTT-3.1.2-12]
    if version < 5 and flags & 0xC0 == 0x40:
        raise MalformedPacket("CONNECT has a password without a user name")  # [3.1.1: MQTT-3.1.2-22]


def _will(flags: int, reader: Reader, rules: Rules) -> Will:
    properties = _properties(reader, rules, PLACES["WILL"])
    return Will(_topic(reader), reader.binary(), flags >> 3 & 3, bool(flags & 0x20), properties)


def _connack(first: int, reader: Reader, rules: Rules) -> Packet:
    flags = reader.byte()
    if flags > 1:
        raise MalformedPacket(f"CONNACK has reserved flags {flags:#x}")  # [MQTT-3.2.2-1]
    code = reader.byte()
    if rules.is_v5 and reader.at == reader.stop:
        return ConnAck(_refusal_of_3_1_1(flags, code))
    reason = check_reason(code, (REASONS if rules.is_v5 else RETURN_CODES)["CONNACK"], "CONNACK")
    if flags and reason:
        raise _not_allowed("CONNACK refuses and has a session present")  # [MQTT-3.2.2-6; 3.1.1: MQTT-3.2.2-4]
    return ConnAck(reason, bool(flags), _properties(reader, rules, PLACES["CONNACK"]))


def _refusal_of_3_1_1(flags: int, code: int) -> int:
    """Answer the MQTT 5 code for a CONNACK of two bytes.

    So a server that knows only 3.1.1 refuses a CONNECT of level 5 [3.1.1: 3.1.2.2].
    """
    if flags or code not in _REFUSALS_OF_3_1_1:
        raise MalformedPacket("CONNACK has no properties")
    return _REFUSALS_OF_3_1_1[code]


def _publish(first: int, reader: Reader, rules: Rules) -> Packet:
    topic = reader.string()
    if topic and not valid_topic(topic):
        raise MalformedPacket(f"topic {topic!r} has a wildcard")  # [MQTT-3.3.2-2]
    qos = first >> 1 & 3
    packet_id = _packet_id(reader) if qos else 0
    properties = _properties(reader, rules, PLACES["PUBLISH"] if rules.from_client else DELIVERED)
    if not topic and (properties is None or properties.topic_alias is None):
        raise _not_allowed("topic is empty")  # [MQTT-4.7.3-1]; legal with an alias only [3.3.2.1]
    if properties is not None and properties.subscription_ids and rules.from_client:
        raise _not_allowed("PUBLISH from a client has a subscription id")  # [MQTT-3.3.4-6]
    return Publish(topic, reader.rest(), qos, bool(first & 1), bool(first & 8), packet_id, properties)


def _acknowledgement(
    make: type[PubAck] | type[PubRec] | type[PubRel] | type[PubComp], name: str
) -> Callable[[int, Reader, Rules], Packet]:
    """Make the reader of the four packets that are a packet id and, in MQTT 5, may say why [3.4.2]."""
    allowed, legal = PLACES[name], REASONS[name]

    def read(first: int, reader: Reader, rules: Rules) -> Packet:
        packet_id = _packet_id(reader)
        if not rules.is_v5 or reader.at == reader.stop:
            return make(packet_id)
        reason = check_reason(reader.byte(), legal, name)
        properties = _properties(reader, rules, allowed) if reader.at != reader.stop else None
        return make(packet_id, reason, properties)

    return read


def _subscribe(first: int, reader: Reader, rules: Rules) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(reader, rules, PLACES["SUBSCRIBE"])
    if properties is not None and len(properties.subscription_ids) > 1:
        raise _not_allowed("SUBSCRIBE has two subscription ids")  # [3.8.2.1.2]
    subscriptions = []
    while reader.at != reader.stop:
        text = _filter(reader)
        options = reader.byte()
        _check_options(options, text, rules)
        subscriptions.append(Subscription(text, options & 3, bool(options & 4), bool(options & 8), options >> 4 & 3))
    if not subscriptions:
        raise _not_allowed("SUBSCRIBE has no topic filter")  # [MQTT-3.8.3-2; 3.1.1: MQTT-3.8.3-3]
    return Subscribe(packet_id, tuple(subscriptions), properties)


def _check_options(options: int, filter: str, rules: Rules) -> None:
    if options & (0xC0 if rules.is_v5 else 0xFC):
        raise MalformedPacket("SUBSCRIBE has reserved option bits set")  # [MQTT-3.8.3-5; 3.1.1: MQTT-3-8.3-4]
    if options & 3 == 3:
        raise _not_allowed("SUBSCRIBE asks for QoS 3")  # [3.8.3.1]
    if options & 0x30 == 0x30:
        raise _not_allowed("SUBSCRIBE has retain handling 3")  # [3.8.3.1]
    if options & 4 and filter.startswith("$share/"):
        raise _not_allowed("SUBSCRIBE has no-local on a shared subscription")  # [MQTT-3.8.3-4]


def _suback(first: int, reader: Reader, rules: Rules) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(reader, rules, PLACES["SUBACK"])
    return SubAck(packet_id, _reasons(reader, "SUBACK", rules), properties)


def _unsubscribe(first: int, reader: Reader, rules: Rules) -> Packet:
    packet_id = _packet_id(reader)
    properties = _properties(reader, rules, PLACES["UNSUBSCRIBE"])
    filters = []
    while reader.at != reader.stop:
        filters.append(_filter(reader))
    if not filters:
        raise _not_allowed("UNSUBSCRIBE has no topic filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, tuple(filters), properties)


def _unsuback(first: int, reader: Reader, rules: Rules) -> Packet:
    packet_id = _packet_id(reader)
    if not rules.is_v5:
        return UnsubAck(packet_id)
    properties = _properties(reader, rules, PLACES["UNSUBACK"])
    return UnsubAck(packet_id, _reasons(reader, "UNSUBACK", rules), properties)


def _reasons(reader: Reader, name: str, rules: Rules) -> tuple[int, ...]:
    codes = reader.rest()
    check_reasons(codes, (REASONS if rules.is_v5 else RETURN_CODES)[name], name)
    return tuple(codes)


def _pingreq(first: int, reader: Reader, rules: Rules) -> Packet:
    return PingReq()


def _pingresp(first: int, reader: Reader, rules: Rules) -> Packet:
    return PingResp()


def _disconnect(first: int, reader: Reader, rules: Rules) -> Packet:
    if not rules.is_v5 or reader.at == reader.stop:
        return Disconnect()
    reason = check_reason(reader.byte(), REASONS["DISCONNECT"], "DISCONNECT")
    properties = _properties(reader, rules, PLACES["DISCONNECT"]) if reader.at != reader.stop else None
    if properties is not None and properties.session_expiry_s is not None and not rules.from_client:
        raise _not_allowed("DISCONNECT from a server has a session expiry")  # [MQTT-3.14.2-2]
    return Disconnect(reason, properties)


def _auth(first: int, reader: Reader, rules: Rules) -> Packet:
    if reader.at == reader.stop:
        return Auth()  # [3.15.2.1]: success, and nothing more to say
    reason = check_reason(reader.byte(), REASONS["AUTH"], "AUTH")
    properties = _properties(reader, rules, PLACES["AUTH"])
    _check_method(properties)  # [3.15.2.2.2]
    return Auth(reason, properties)


_CONNECT, _PUBLISH, _DISCONNECT, _AUTH = 1, 3, 14, 15
_NAMES: Final = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 8: "SUBSCRIBE",
    9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT", 15: "AUTH",
}  # fmt: skip
_REFUSALS_OF_3_1_1: Final = {1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}  # [3.1.1: table 3.1] in words of MQTT 5
_FLAGS_2: Final = frozenset((6, 8, 10))  # PUBREL, SUBSCRIBE, UNSUBSCRIBE
_CLIENT_ONLY: Final = frozenset((1, 8, 10, 12))
_SERVER_ONLY: Final = frozenset((2, 9, 11, 13))

BODIES: Final[dict[int, Callable[[int, Reader, Rules], Packet]]] = {
    1: _connect,
    2: _connack,
    3: _publish,
    4: _acknowledgement(PubAck, "PUBACK"),
    5: _acknowledgement(PubRec, "PUBREC"),
    6: _acknowledgement(PubRel, "PUBREL"),
    7: _acknowledgement(PubComp, "PUBCOMP"),
    8: _subscribe,
    9: _suback,
    10: _unsubscribe,
    11: _unsuback,
    12: _pingreq,
    13: _pingresp,
    14: _disconnect,
    15: _auth,
}
"""Packet type -> reader of its body. The caller checks that the body was read to its end."""
