"""What is sent so that a broker has the subscriptions of the configuration, and no others."""

from __future__ import annotations

from fieldgate.config.source import SubscribeConfig
from fieldgate.ingest.subscriptions import MAYBE, Ask, Subscriptions


def made(*filters: str, record: dict[str, int] | None = None, qos: int = 1) -> Subscriptions:
    return Subscriptions([SubscribeConfig(filter=one, qos=qos) for one in filters], record or {})


def sent(subscriptions: Subscriptions, *, now_s: float = 0.0) -> list[Ask]:
    """Take and send all packets, under ids from 1."""
    asks = []
    while (ask := subscriptions.next_ask()) is not None:
        asks.append(ask)
        subscriptions.sent(ask, len(asks), now_s)
    return asks


def connect(subscriptions: Subscriptions, *, session: bool, max_packet_bytes: int | None = None) -> list[Ask]:
    subscriptions.connected(is_session_present=session, max_packet_bytes=max_packet_bytes)
    return sent(subscriptions)


def filters(asks: list[Ask]) -> list[str]:
    return [one.filter for ask in asks for one in ask.subscribe]


def test_without_a_session_everything_is_subscribed_to_anew() -> None:
    """The record is of a session that the broker has not any more."""
    subscriptions = made("a", "b", record={"a": 1, "gone": 1})

    asks = connect(subscriptions, session=False)

    assert filters(asks) == ["a", "b"]
    assert all(not ask.unsubscribe for ask in asks)
    assert subscriptions.record == {"a": MAYBE, "b": MAYBE}
    assert not subscriptions.is_saved


def test_with_a_session_that_has_everything_nothing_is_sent() -> None:
    """A 3.1.1 broker would replay its retained messages at each SUBSCRIBE."""
    subscriptions = made("a", "b", record={"a": 1, "b": 1})

    assert connect(subscriptions, session=True) == []
    assert subscriptions.is_complete
    assert subscriptions.is_saved
    assert subscriptions.subscribed == 2


def test_only_what_changed_is_sent_and_what_is_not_configured_is_given_up() -> None:
    """Else the broker would send what nobody wants for as long as the session lives."""
    subscriptions = made("a", "b", "c", record={"a": 1, "b": 0, "gone": 1, "maybe": MAYBE, "c": MAYBE})

    asks = connect(subscriptions, session=True)
    for packet_id, ask in enumerate(asks, 1):
        subscriptions.answered(packet_id, [1] * len(ask.subscribe), version=4, now_s=0.0)

    assert asks[0].unsubscribe == ("gone", "maybe")
    assert filters(asks) == ["b", "c"]
    assert subscriptions.record == {"a": 1, "b": 1, "c": 1}


def test_many_filters_share_packets_of_eight_and_what_the_broker_takes() -> None:
    """AWS IoT takes eight; an MQTT 5 broker names its Maximum Packet Size [MQTT-3.2.2-15]."""
    many = [f"sensors/{number:04}/#" for number in range(20)]

    by_count = connect(made(*many), session=False)
    by_size = connect(made(*many), session=False, max_packet_bytes=70)

    assert [len(ask.subscribe) for ask in by_count] == [8, 8, 4]
    assert [len(ask.subscribe) for ask in by_size] == [3] * 6 + [2]
    assert filters(by_size) == many


def test_a_filter_that_is_too_long_for_the_broker_is_not_sent() -> None:
    """It would answer with DISCONNECT 0x95, at each connection."""
    subscriptions = made("x" * 100, "b")

    asks = connect(subscriptions, session=False, max_packet_bytes=70)

    assert filters(asks) == ["b"]
    assert subscriptions.refused == {
        "x" * 100: "it is too long for this broker, which takes packets of 70 bytes at most"
    }


def test_what_is_refused_is_said_in_words_and_tried_again_after_a_minute() -> None:
    """An access list may be mended on the far side."""
    subscriptions = made("a", "b", "c")
    connect(subscriptions, session=False)
    subscriptions.answered(1, [0x87, 1, 0x80], version=5, now_s=10.0)

    assert subscriptions.refused == {
        "a": "this client may not read it",
        "c": "the broker says unspecified error (0x80)",
    }
    assert subscriptions.record == {"b": 1}
    subscriptions.retry(69.0, max_packet_bytes=None)
    assert sent(subscriptions) == []
    subscriptions.retry(70.0, max_packet_bytes=None)
    assert filters(sent(subscriptions, now_s=70.0)) == ["a", "c"]
    subscriptions.answered(1, [1, 1], version=5, now_s=70.1)
    assert subscriptions.refused == {}


def test_a_lower_qos_is_noticed() -> None:
    """QoS 0 in place of 1 means that messages can be lost on the way."""
    subscriptions = made("a", "b")
    connect(subscriptions, session=False)

    subscriptions.answered(1, [0, 1], version=4, now_s=0.0)

    assert subscriptions.lowered == {"a": 0}


def test_a_suback_that_does_not_fit_is_a_broken_rule() -> None:
    """[MQTT-3.8.4-6]"""
    subscriptions = made("a", "b")
    connect(subscriptions, session=False)

    assert subscriptions.answered(1, [1], version=5, now_s=0.0) == "a SUBACK with 1 answers to 2 filters"
    assert subscriptions.answered(77, [1], version=5, now_s=0.0) is None  # of nothing that was asked


def test_a_broker_that_does_not_answer_is_noticed() -> None:
    """It may have lost the packet; nothing would ever come."""
    subscriptions = made("a")
    connect(subscriptions, session=False)

    assert subscriptions.overdue(29.0) is None
    assert subscriptions.overdue(30.0) == "the broker has not answered a SUBSCRIBE for 30 s"


def test_a_packet_without_a_free_id_is_sent_later() -> None:
    """65,535 are enough, until they are not."""
    subscriptions = made("a")
    subscriptions.connected(is_session_present=False, max_packet_bytes=None)
    ask = subscriptions.next_ask()
    assert ask is not None

    subscriptions.sent(ask, 0, 0.0)

    assert not subscriptions.is_complete
    assert subscriptions.next_ask() == ask
