"""The codec against two that strangers wrote: PyPI ``mqtt5`` (Rust, MQTT 5 only) and paho's encoder (both versions).

Our own halves could share a mistake; these share none of our code. ``mqtt5`` is asked only about packets that our
decoder accepts: on invalid UTF-8, which we refuse, version 0.8 panics with an exception outside of `Exception`.
"""

from __future__ import annotations

import socket
from typing import Any

import mqtt5
import paho.mqtt.client as paho
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fieldgate.mqtt.codec import CodecError, encode
from fieldgate.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    Properties,
    PubAck,
    Publish,
    PubRec,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.reasons import REASONS
from mqtt_packets import client_samples, client_side, connects, packets, server_samples, server_side, wire

# Our field -> (theirs, what they say where the property is absent).
_PROPERTIES: dict[str, tuple[str, object]] = {
    "payload_format": ("payload_format_indicator", 0),
    "message_expiry_s": ("message_expiry_interval", None),
    "content_type": ("content_type", None),
    "response_topic": ("response_topic", None),
    "correlation_data": ("correlation_data", None),
    "session_expiry_s": ("session_expiry_interval", None),
    "assigned_client_id": ("assigned_client_id", None),
    "server_keep_alive_s": ("server_keep_alive", None),
    "authentication_method": ("authentication_method", None),
    "authentication_data": ("authentication_data", None),
    "request_problem_information": ("request_problem_info", True),
    "will_delay_s": ("will_delay_interval", 0),
    "request_response_information": ("request_response_info", False),
    "response_information": ("response_info", None),
    "server_reference": ("server_reference", None),
    "reason_string": ("reason_str", None),
    "receive_maximum": ("receive_max", 65_535),
    "topic_alias_maximum": ("topic_alias_max", 0),
    "topic_alias": ("topic_alias", None),
    "maximum_qos": ("max_qos", 2),
    "retain_available": ("retain_available", True),
    "maximum_packet_size": ("max_packet_size", None),
    "wildcard_available": ("wildcard_subscription_available", True),
    "subscription_ids_available": ("subscription_id_available", True),
    "shared_available": ("shared_subscription_available", True),
}
_FIELDS: dict[str, str] = {
    "client_id": "client_id",
    "clean_start": "clean_start",
    "keep_alive_s": "keep_alive",
    "username": "username",
    "password": "password",
    "session_present": "session_present",
    "reason": "reason_code",
    "topic": "topic",
    "payload": "payload",
    "qos": "qos",
    "retain": "retain",
    "dup": "duplicate",
    "reasons": "reason_codes",
    "filters": "patterns",
}
_SUBSCRIPTION: dict[str, str] = {
    "filter": "pattern",
    "qos": "max_qos",
    "no_local": "no_local",
    "retain_as_published": "retain_as_published",
    "retain_handling": "retain_handling",
}


def _assert_same(ours: Any, theirs: Any) -> None:
    """Compare what both read, field by field."""
    for name, their_name in _FIELDS.items():
        if hasattr(ours, name):
            value = getattr(ours, name)
            assert (list(value) if isinstance(value, tuple) else value) == getattr(theirs, their_name), name
    if hasattr(ours, "packet_id"):
        assert (ours.packet_id or None) == theirs.packet_id
    if isinstance(ours, Connect):
        assert (ours.will is None) == (theirs.will is None)
        if ours.will is not None:
            _assert_same(ours.will, theirs.will)
    if isinstance(ours, Subscribe):
        for one, other in zip(ours.subscriptions, theirs.topic_filters, strict=True):
            assert {n: getattr(one, n) for n in _SUBSCRIPTION} == {
                n: getattr(other, t) for n, t in _SUBSCRIPTION.items()
            }
    if hasattr(ours, "properties"):
        _assert_same_properties(ours, theirs)


def _assert_same_properties(ours: Any, theirs: Any) -> None:
    properties = ours.properties or Properties()
    for name, (their_name, absent) in _PROPERTIES.items():
        if hasattr(theirs, their_name):
            value = getattr(properties, name)
            if name == "session_expiry_s" and isinstance(ours, Connect):
                absent = 0
            assert (absent if value is None else value) == getattr(theirs, their_name), name
        else:
            assert getattr(properties, name) is None, name
    assert list(properties.user) == theirs.user_properties
    if hasattr(theirs, "subscription_ids"):
        assert list(properties.subscription_ids) == theirs.subscription_ids
    elif hasattr(theirs, "subscription_id"):
        assert (properties.subscription_ids or (None,)) == (theirs.subscription_id,)


# Without the AUTH of two bytes, which [3.15.2.1] allows and mqtt5 does not know.
_PACKETS = (
    st.booleans()
    .flatmap(lambda side: st.tuples(st.just(side), packets(5, from_client=side)))
    .filter(lambda case: case[1] != Auth())
)


def _theirs(stream: bytes) -> Any:
    packet, size = mqtt5.read(memoryview(stream))
    assert size == len(stream)
    return packet


@settings(deadline=None, max_examples=300)
@given(_PACKETS.map(lambda case: case[1]) | connects(5))
def test_mqtt5_reads_what_we_write(packet: Packet):
    """A mislabelled property would survive our own round trip and be wrong for every other broker."""
    _assert_same(packet, _theirs(encode(packet, 5)))


@settings(deadline=None, max_examples=300)
@given(_PACKETS)
def test_we_read_what_mqtt5_writes(case: tuple[bool, Packet]):
    """Their bytes differ from ours (order of properties, defaults written out); the packet must not."""
    from_client, packet = case
    theirs = _theirs(encode(packet, 5))
    decoder = server_side(5) if from_client else client_side(5)

    (again,) = decoder.feed(theirs.write())

    _assert_same(again, theirs)


@settings(deadline=None, max_examples=100)
@given(connects(5))
def test_we_read_the_connect_that_mqtt5_writes(packet: Connect):
    """As above, for the packet with the most options."""
    theirs = _theirs(encode(packet, 5))

    (again,) = server_side().feed(theirs.write())

    _assert_same(again, theirs)


_BODIES = [
    (from_client, raw)
    for from_client, samples in ((True, client_samples(5)[1:]), (False, server_samples(5)[3:]))
    for packet in samples
    if len(raw := wire([packet], 5)) > 2
]


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from(_BODIES),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_a_damaged_packet_that_we_accept_means_the_same_to_mqtt5(
    sample: tuple[bool, bytes], changes: list[tuple[int, int]]
):
    """We refuse more than it does; what we let through must not be another packet for the next reader."""
    from_client, good = sample
    damaged = bytearray(good)
    for at, byte in changes:
        damaged[0 if at == 0 else 2 + at % (len(good) - 2)] = byte  # not the length: one packet stays one
    try:
        (packet,) = (server_side(5) if from_client else client_side(5)).feed(bytes(damaged))
    except CodecError:
        return

    if not (isinstance(packet, ConnAck) and len(damaged) == 4):  # mqtt5 does not know the refusal of a 3.1.1 server
        _assert_same(packet, _theirs(bytes(damaged)))


@pytest.mark.parametrize(
    ("name", "enum"),
    [
        ("CONNACK", mqtt5.ConnAckReasonCode),
        ("PUBACK", mqtt5.PubAckReasonCode),
        ("PUBREC", mqtt5.PubRecReasonCode),
        ("PUBREL", mqtt5.PubRelReasonCode),
        ("PUBCOMP", mqtt5.PubCompReasonCode),
        ("SUBACK", mqtt5.SubAckReasonCode),
        ("UNSUBACK", mqtt5.UnsubAckReasonCode),
        ("DISCONNECT", mqtt5.DisconnectReasonCode),
        ("AUTH", mqtt5.AuthReasonCode),
    ],
)
def test_the_reason_codes_are_those_that_mqtt5_knows(name: str, enum: Any):
    """The tables were typed from the specification by hand; a missing code would close a connection for nothing."""
    codes = {int(code) for label, code in vars(enum).items() if label.isupper()}

    assert codes == REASONS[name]


class _Paho:
    """paho's client with its outgoing packets caught."""

    def __init__(self, version: int) -> None:
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id="me",
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
        )
        self.sent: list[bytes] = []
        self.client._sock = socket.socket()  # never connected: but a PUBLISH is made only where there is one
        self.client._packet_queue = self._catch  # type: ignore[method-assign]  # it has no encoder apart from the socket

    def _catch(self, command: int, packet: bytes, *rest: object, **more: object) -> Any:
        self.sent.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


def _paho_properties(kind: int, **values: object) -> PahoProperties:
    properties = PahoProperties(kind)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@pytest.mark.parametrize("version", [4, 5])
def test_we_read_what_paho_writes_and_write_the_same(version: int):
    """The client that most users run; in 3.1.1 the bytes are equal, in MQTT 5 they are where no order is open."""
    peer = _Paho(version)
    client = peer.client
    client.username_pw_set("user", "secret")
    will = _paho_properties(PacketTypes.WILLMESSAGE, WillDelayInterval=7) if version == 5 else None
    client.will_set("gone/é", b"bye", 1, True, will)
    if version == 5:
        client._connect_properties = _paho_properties(PacketTypes.CONNECT, ReceiveMaximum=9)
    client._clean_start = True
    client._send_connect(60)
    client._send_publish(1, b"a/b", b"x" * 200, 1, True, True)
    client._send_publish(2, b"a/b", b"x" * 200, 2)
    client._send_publish(0, "é".encode(), b"")
    client._send_puback(7)
    client._send_pubrec(8)
    client._send_pubrel(9)
    client._send_pubcomp(10)
    wanted: list[Any] = [("a/+", SubscribeOptions(1, True, True, 2) if version == 5 else 1)]
    client._send_subscribe(False, [(topic.encode(), options) for topic, options in wanted])
    client._send_unsubscribe(False, [b"a/+", b"#"])
    client._send_pingreq()
    client._send_disconnect()
    client._reset_sockets()

    got = server_side().feed(b"".join(peer.sent))

    will_properties = Properties(will_delay_s=7) if version == 5 else None
    connect = Connect("me", version, True, 60, "user", b"secret", Will("gone/é", b"bye", 1, True, will_properties))
    if version == 5:
        connect.properties = Properties(receive_maximum=9)
    assert got[0] == connect
    assert got[1:4] == [
        Publish("a/b", b"x" * 200, 1, True, True, 1),
        Publish("a/b", b"x" * 200, 2, packet_id=2),
        Publish("é", b""),
    ]
    assert got[4:6] == [PubAck(7), PubRec(8)]
    (subscribe, unsubscribe) = got[8:10]
    options = Subscription("a/+", 1, True, True, 2) if version == 5 else Subscription("a/+", 1)
    assert isinstance(subscribe, Subscribe)
    assert isinstance(unsubscribe, Unsubscribe)
    assert subscribe.subscriptions == (options,)
    assert unsubscribe.filters == ("a/+", "#")
    assert got[11] == Disconnect()
    assert [encode(packet, version) for packet in got] == peer.sent
