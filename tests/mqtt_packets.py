"""Every MQTT packet as hypothesis strategies and as a list of samples, for the codec's tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from fieldgate.mqtt.codec import Decoder, encode
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
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
)
from fieldgate.mqtt.properties import PLACES
from fieldgate.mqtt.reasons import REASONS, RETURN_CODES

LIMIT = 1 << 18

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
_words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0+#/"), max_size=5)
topics = st.lists(_words, min_size=1, max_size=4).map("/".join).filter(bool)
plain_filters = st.builds(
    lambda levels, ending: "/".join((*levels, *ending)),
    st.lists(st.one_of(_words, st.just("+")), min_size=1, max_size=4),
    st.sampled_from(((), ("#",))),
).filter(lambda text: bool(text) and not text.startswith("$share"))
shared_filters = st.builds("$share/{}/{}".format, _words.filter(bool), plain_filters)
filters = st.one_of(plain_filters, shared_filters, st.just("#"))
blobs = st.binary(max_size=20)
packet_ids = st.integers(1, 65_535)
qualities = st.integers(0, 2)

_u16, _u32, _bit = st.integers(0, 65_535), st.integers(0, 0xFFFF_FFFF), st.integers(0, 1)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "payload_format": _bit,
    "message_expiry_s": _u32,
    "content_type": texts,
    "response_topic": topics,
    "correlation_data": blobs,
    "session_expiry_s": _u32,
    "assigned_client_id": texts,
    "server_keep_alive_s": _u16,
    "authentication_method": texts,
    "authentication_data": blobs,
    "request_problem_information": _bit,
    "will_delay_s": _u32,
    "request_response_information": _bit,
    "response_information": texts,
    "server_reference": texts,
    "reason_string": texts,
    "receive_maximum": st.integers(1, 65_535),
    "topic_alias_maximum": _u16,
    "topic_alias": st.integers(1, 65_535),
    "maximum_qos": _bit,
    "retain_available": _bit,
    "maximum_packet_size": st.integers(1, 0xFFFF_FFFF),
    "wildcard_available": _bit,
    "subscription_ids_available": _bit,
    "shared_available": _bit,
}
_subscription_ids = st.integers(1, 268_435_455)


@cache
def properties(place: str, *, from_client: bool = True) -> st.SearchStrategy[Properties]:
    """Strategy of the property sets, not empty, that ``place`` may have."""
    fields = {spec.field: _VALUES[spec.field] for spec in PLACES[place].values() if spec.field in _VALUES}
    if place == "DISCONNECT" and not from_client:
        del fields["session_expiry_s"]
    optional: dict[str, st.SearchStrategy[Any]] = {
        name: st.one_of(st.none(), values) for name, values in fields.items()
    }
    optional["user"] = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
    if place == "SUBSCRIBE" or (place == "PUBLISH" and not from_client):
        most = 1 if place == "SUBSCRIBE" else 3
        optional["subscription_ids"] = st.lists(_subscription_ids, max_size=most).map(tuple)
    return st.builds(Properties, **optional).map(_with_method).filter(lambda found: found != Properties())


def _with_method(found: Properties) -> Properties:
    if found.authentication_data is not None and found.authentication_method is None:
        found.authentication_method = "m"
    return found


@cache
def packets(version: int, *, from_client: bool) -> st.SearchStrategy[Packet]:
    """Strategy of every packet that one side may send once connected."""
    return st.one_of(
        publishes(version, from_client=from_client),
        *(_acknowledgements(version)),
        *(_of_client(version) if from_client else _of_server(version)),
        *(_of_both(from_client) if version == 5 else ()),
    )


@cache
def _maybe(version: int, place: str, *, from_client: bool = True) -> st.SearchStrategy[Properties | None]:
    return st.none() if version < 5 else st.one_of(st.none(), properties(place, from_client=from_client))


@cache
def publishes(version: int, *, from_client: bool) -> st.SearchStrategy[Publish]:
    """Strategy of PUBLISH; an empty topic only with an alias."""

    def build(qos: int, packet_id: int, dup: bool, topic: str, props: Properties | None, **rest: Any) -> Publish:
        has_alias = props is not None and props.topic_alias is not None
        return Publish(
            topic or ("" if has_alias else "t"),
            qos=qos,
            dup=dup and qos > 0,
            packet_id=packet_id if qos else 0,
            properties=props,
            **rest,
        )

    return st.builds(
        build,
        qualities,
        packet_ids,
        st.booleans(),
        st.one_of(topics, st.just("")),
        _maybe(version, "PUBLISH", from_client=from_client),
        payload=st.binary(max_size=300),
        retain=st.booleans(),
    )


def _acknowledgements(version: int) -> list[st.SearchStrategy[Packet]]:
    kinds = {"PUBACK": PubAck, "PUBREC": PubRec, "PUBREL": PubRel, "PUBCOMP": PubComp}
    return [
        st.builds(kind, packet_ids, st.sampled_from(sorted(REASONS[name])) if version == 5 else st.just(0),
                  _maybe(version, name))
        for name, kind in kinds.items()
    ]  # fmt: skip


def _of_client(version: int) -> list[st.SearchStrategy[Packet]]:
    reasons = st.sampled_from(sorted(REASONS["DISCONNECT"])) if version == 5 else st.just(0)
    return [
        st.builds(Subscribe, packet_ids, st.lists(subscriptions(version), min_size=1, max_size=4).map(tuple),
                  _maybe(version, "SUBSCRIBE")),
        st.builds(Unsubscribe, packet_ids, st.lists(filters, min_size=1, max_size=4).map(tuple),
                  _maybe(version, "UNSUBSCRIBE")),
        st.builds(PingReq),
        st.builds(Disconnect, reasons, _maybe(version, "DISCONNECT")),
    ]  # fmt: skip


@cache
def subscriptions(version: int) -> st.SearchStrategy[Subscription]:
    """Strategy of one filter with its options."""
    if version < 5:
        return st.builds(Subscription, filters, qualities)
    shared = st.builds(Subscription, shared_filters, qualities, st.just(False), st.booleans(), st.integers(0, 2))
    plain = st.builds(Subscription, plain_filters, qualities, st.booleans(), st.booleans(), st.integers(0, 2))
    return st.one_of(plain, shared)


def _of_server(version: int) -> list[st.SearchStrategy[Packet]]:
    legal = REASONS if version == 5 else RETURN_CODES
    refusals = st.sampled_from(sorted(legal["CONNACK"] - {0}))
    granted = st.lists(st.sampled_from(sorted(legal["SUBACK"])), min_size=1, max_size=4).map(tuple)
    return [
        st.builds(ConnAck, st.just(0), st.booleans(), _maybe(version, "CONNACK")),
        st.builds(ConnAck, refusals, st.just(False), _maybe(version, "CONNACK")),
        st.builds(SubAck, packet_ids, granted, _maybe(version, "SUBACK")),
        _unsubacks() if version == 5 else st.builds(UnsubAck, packet_ids),
        st.builds(PingResp),
    ]


def _unsubacks() -> st.SearchStrategy[Packet]:
    reasons = st.lists(st.sampled_from(sorted(REASONS["UNSUBACK"])), min_size=1, max_size=4).map(tuple)
    return st.builds(UnsubAck, packet_ids, reasons, _maybe(5, "UNSUBACK"))


def _of_both(from_client: bool) -> list[st.SearchStrategy[Packet]]:
    with_method = properties("AUTH").filter(lambda found: found.authentication_method is not None)
    return [
        st.just(Auth()),
        st.builds(Auth, st.sampled_from(sorted(REASONS["AUTH"])), with_method),
        st.builds(
            Disconnect,
            st.sampled_from(sorted(REASONS["DISCONNECT"])),
            _maybe(5, "DISCONNECT", from_client=from_client),
        ),
    ]


@cache
def connects(version: int) -> st.SearchStrategy[Connect]:
    """Strategy of CONNECT."""
    wills = st.builds(Will, topics, blobs, qualities, st.booleans(), _maybe(version, "WILL"))
    names = st.tuples(st.one_of(st.none(), texts), st.one_of(st.none(), blobs))
    if version < 5:
        names = names.filter(lambda pair: pair[0] is not None or pair[1] is None)

    def build(pair: tuple[str | None, bytes | None], **rest: Any) -> Connect:
        return Connect(version=version, username=pair[0], password=pair[1], **rest)

    return st.builds(
        build,
        names,
        client_id=texts,
        clean_start=st.booleans(),
        keep_alive_s=_u16,
        will=st.one_of(st.none(), wills),
        properties=_maybe(version, "CONNECT"),
    )


ALL_CONNACK = Properties(
    session_expiry_s=1, receive_maximum=2, maximum_qos=1, retain_available=0, maximum_packet_size=9,
    topic_alias_maximum=3, assigned_client_id="c", reason_string="r", user=(("a", "b"),), wildcard_available=0,
    subscription_ids_available=1, shared_available=0, server_keep_alive_s=7, response_information="i",
    server_reference="s", authentication_method="m", authentication_data=b"d",
)  # fmt: skip
ALL_PUBLISH = Properties(
    payload_format=1, message_expiry_s=70_000, topic_alias=4, response_topic="r/t", correlation_data=b"\0\xff",
    user=(("k", "v"), ("k", "")), content_type="é",
)  # fmt: skip
WILL = Will("w/é", b"gone", 2, True)
WILL_5 = Will("w", b"", 1, False, Properties(will_delay_s=5, message_expiry_s=6, user=(("a", ""),)))


def client_samples(version: int) -> list[Packet]:
    """One of each packet that a client sends, from CONNECT to DISCONNECT, with all that it can hold."""
    samples: list[Packet] = [
        Connect("id", version, False, 30, "user", b"secret", WILL if version < 5 else WILL_5),
        Publish("a/b", b"payload", 1, packet_id=1),
        Publish("a/b", b"payload", 1, packet_id=2),
        Publish("a/b", b"payload"),
        Publish("a/b", b"p" * 200, 2, True, True, 258),
        Publish("é" * 70, b"", 1, False, True, 65_535),
        *(kind(7) for kind in (PubAck, PubAck, PubRec, PubRel, PubComp)),
        Subscribe(9, (Subscription("a/+/#", 1), Subscription("$share/g/x", 2))),
        Unsubscribe(10, ("a/+/#", "x")),
        PingReq(),
    ]
    if version == 5:
        text = Properties(reason_string="why", user=(("a", "b"),))
        samples += [
            Publish("a/b", b"x", 1, packet_id=3, properties=ALL_PUBLISH),
            Publish("", b"x", 1, packet_id=4, properties=Properties(topic_alias=1)),
            PubAck(1, 0x10),
            PubRec(1, 0x97, text),
            PubRel(1, 0x92),
            PubComp(1, 0, text),
            Subscribe(9, (Subscription("a", 2, True, True, 2),), Properties(subscription_ids=(268_435_455,))),
            Unsubscribe(9, ("a",), Properties(user=(("a", "b"),))),
            Auth(0x18, Properties(authentication_method="m", authentication_data=b"d")),
            Auth(),
            Disconnect(4, Properties(session_expiry_s=3)),
            Disconnect(0x81),
        ]
    return [*samples, Disconnect()]


def server_samples(version: int) -> list[Packet]:
    """One of each packet that a server sends."""
    samples: list[Packet] = [
        ConnAck(0, True),
        ConnAck(5 if version < 5 else 0x87),
        Publish("a/b", b"payload", 1, packet_id=1),
        *(kind(7) for kind in (PubAck, PubRec, PubRel, PubComp)),
        SubAck(1, (0, 1, 2, 0x80)),
        UnsubAck(2, () if version < 5 else (0, 0x11)),
        PingResp(),
    ]
    if version == 5:
        samples += [
            ConnAck(0, False, ALL_CONNACK),
            Publish("a", b"", properties=Properties(subscription_ids=(1, 2, 1))),
            SubAck(1, (0x9E,), Properties(reason_string="no")),
            UnsubAck(2, (0x87,), Properties(user=(("", ""),))),
            Disconnect(0x8E, Properties(server_reference="other")),
            Auth(0, Properties(authentication_method="m")),
        ]
    return samples


def server_side(version: int | None = None, *, max_packet_bytes: int = LIMIT) -> Decoder:
    """A decoder of what a client sends."""
    return Decoder(version=version, max_packet_bytes=max_packet_bytes, from_client=True)


def client_side(version: int, *, max_packet_bytes: int = LIMIT) -> Decoder:
    """A decoder of what a server sends."""
    return Decoder(version=version, max_packet_bytes=max_packet_bytes, from_client=False)


def wire(sent: list[Packet], version: int) -> bytes:
    """The bytes of ``sent``."""
    return b"".join(encode(packet, version) for packet in sent)
