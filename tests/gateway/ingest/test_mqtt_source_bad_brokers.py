"""Brokers by script that break rules, forget, hang up and refuse: the source says so, goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldgate.ingest import subscriptions
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PingReq,
    Properties,
    PubAck,
    Publish,
    PubRec,
    Reason,
    Subscribe,
)
from fieldgate.net.broker_connection import Timing
from listener_kit import HeldIntake, SettlingIntake
from source_kit import GoodBroker, make_source, running
from uplink_kit import Peer, until


def acks(broker: GoodBroker) -> list[int]:
    """The ids that were acknowledged, on all connections."""
    return [one.packet_id for peer in broker.peers for one in peer.packets if isinstance(one, PubAck | PubRec)]


def send(peer: Peer, *packets: Packet) -> None:
    peer.writer.write(b"".join(encode(packet, peer.version) for packet in packets))


# -- cuts ------------------------------------------------------------------------------------------------


async def test_a_cut_in_the_middle_of_a_publish_costs_nothing() -> None:
    """The broker sends it again on the next connection, and the half of it is forgotten."""
    intake, broker = SettlingIntake(), GoodBroker(session=True)

    def cut(peer: Peer) -> None:
        if peer.number > 1:
            return
        packet = encode(Publish("sensors/a", b"whole", 1, packet_id=7), 5)
        peer.writer.write(packet[:-3])
        peer.close()

    def go_on(peer: Peer) -> None:
        peer.send(ConnAck(session_present=True))
        if peer.number > 1:
            peer.send(Publish("sensors/a", b"whole", 1, packet_id=7, dup=True))

    broker.on_subscribed, broker.on_connect = cut, go_on
    async with broker.serving(), running(intake, broker.port):
        await until(lambda: acks(broker) == [7])

    assert intake.payloads == [b"whole"]


async def test_a_cut_during_redelivery_makes_one_event_of_each_message() -> None:
    """Three connections, each cut while the broker was sending again; only then everything is safe."""
    intake, broker = HeldIntake(), GoodBroker(session=True)

    def go_on(peer: Peer) -> None:
        peer.send(ConnAck(session_present=True))
        ids = range(1, 3 + peer.number)
        send(peer, *(Publish("sensors/a", b"%d" % n, 1, packet_id=n, dup=n < 2 + peer.number) for n in ids))
        if peer.number < 4:
            peer.close()

    broker.on_connect = go_on
    async with broker.serving(), running(intake, broker.port):
        await until(lambda: len(broker.peers) == 4 and len(intake.heard) >= 6)
        for batch in range(len(intake.batches)):
            intake.settle(batch)
        await until(lambda: len(acks(broker)) == 6)

    assert sorted(intake.payloads) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert acks(broker) == [1, 2, 3, 4, 5, 6]


async def test_a_lost_session_is_subscribed_to_anew() -> None:
    """A broker that was restarted without its store: nothing would ever come."""
    intake, broker = SettlingIntake(), GoodBroker()
    async with broker.serving(), running(intake, broker.port):
        await until(lambda: len(broker.subscribed) == 1)
        broker.peers[0].close()
        await until(lambda: len(broker.subscribed) == 2)
        broker.session = True
        broker.peers[1].close()
        await until(lambda: len(broker.peers) == 3)
        send(broker.peers[2], Publish("sensors/a", b"x", 1, packet_id=1))
        await until(lambda: acks(broker) == [1])

    assert len(broker.subscribed) == 2


# -- what is remembered ----------------------------------------------------------------------------------


async def test_the_next_process_gives_up_what_is_not_configured_any_more(tmp_path: Path) -> None:
    """MQTT cannot be asked for subscriptions; without the record the broker would send that for ever."""
    broker = GoodBroker()
    async with broker.serving():
        first = {"subscribe": ["sensors/#", {"filter": "old/+", "qos": 0}]}
        async with running(SettlingIntake(), broker.port, folder=tmp_path, mqtt=first) as source:
            await until(lambda: source.status.subscribed == 2)
            await until(lambda: -1 not in json.loads((tmp_path / "floor.json").read_text())["filters"].values())
        broker.session = True
        second = {"subscribe": ["sensors/#", "new/#"]}
        async with running(SettlingIntake(), broker.port, folder=tmp_path, mqtt=second) as source:
            await until(lambda: source.status.subscribed == 2 and bool(broker.unsubscribed))
            await until(lambda: "old/+" not in (tmp_path / "floor.json").read_text())

    assert [one.filters for one in broker.unsubscribed] == [("old/+",)]
    assert [[one.filter for one in packet.subscriptions] for packet in broker.subscribed] == [
        ["sensors/#", "old/+"],
        ["new/#"],
    ]


async def test_what_is_about_to_be_subscribed_is_written_down_first(tmp_path: Path) -> None:
    """A crash between SUBSCRIBE and the note would leave a subscription that nobody knows of."""
    broker = GoodBroker()
    noted: list[bool] = []
    broker.on_subscribed = lambda peer: noted.append("sensors/#" in (tmp_path / "floor.json").read_text())
    async with broker.serving(), running(SettlingIntake(), broker.port, folder=tmp_path):
        await until(lambda: noted == [True])


async def test_without_a_place_for_the_record_it_subscribes_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """The record is a help, not a condition; that it is missing is said."""
    broker = GoodBroker()

    async with broker.serving(), running(SettlingIntake(), broker.port) as source:
        await until(lambda: source.status.subscribed == 1)

    assert "source.not_noted" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{", b'{"who":"another","filters":{"x":1}}', b"\xff"])
async def test_a_record_that_cannot_be_used_is_as_good_as_none(content: bytes, tmp_path: Path) -> None:
    """P5: no reason not to start."""
    (tmp_path / "floor.json").write_bytes(content)
    broker = GoodBroker(session=True)

    async with broker.serving(), running(SettlingIntake(), broker.port, folder=tmp_path) as source:
        await until(lambda: source.status.subscribed == 1)

    assert broker.unsubscribed == []


# -- subscriptions that are not granted ------------------------------------------------------------------


async def test_what_the_broker_does_not_grant_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Connected and silent is the worst state for the person who looks for their messages."""
    broker = GoodBroker()
    broker.grant = lambda packet: (Reason.NOT_AUTHORIZED, 0)
    async with broker.serving():
        async with running(
            SettlingIntake(), broker.port, mqtt={"subscribe": ["secret/#", "sensors/#"], "version": "5"}
        ) as source:
            await until(lambda: bool(source.status.refused))
            status = source.status
        broker.grant = lambda packet: (1,) * len(packet.subscriptions)

    assert status.refused == {"secret/#": "this client may not read it"}
    assert status.lowered == {"sensors/#": 0}
    assert (status.subscribed, status.subscriptions) == (1, 2)
    out = capsys.readouterr().out
    assert out.count("source.subscription_refused") == 1
    assert out.count("source.qos_lowered") == 1


async def test_a_suback_that_does_not_fit_ends_the_connection() -> None:
    """[MQTT-3.8.4-6]; the status says what was wrong."""
    broker = GoodBroker()
    broker.grant = lambda packet: (1, 1, 1)
    timing = Timing(base_s=30, cap_s=30, stable_s=0)
    async with broker.serving(), running(SettlingIntake(), broker.port, timing=timing) as source:
        await until(lambda: source.status.state == "backoff")
        assert "a SUBACK with 3 answers to 1 filters" in source.status.reason


# -- rules broken ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason", "says"),
    [
        (encode(Publish("sensors/a", b"x" * 2000, 1, packet_id=1), 5), Reason.PACKET_TOO_LARGE, "packet of 20"),
        (b"\x32\x0a\x00\x03a/+\x00\x01\x00xx", Reason.MALFORMED_PACKET, "wildcard"),
        (b"\x32\x07\x00\x00\x00\x01\x00xx", Reason.PROTOCOL_ERROR, "topic is empty"),
        (b"\x32\x08\x00\x01\x00\x00\x01\x00xx", Reason.MALFORMED_PACKET, ""),
        (b"\x36\x08\x00\x01a\x00\x01\x00xx", Reason.MALFORMED_PACKET, "QoS 3"),
        (b"\x32\x08\x00\x01a\x00\x00\x00xx", Reason.PROTOCOL_ERROR, "packet id is 0"),
        (
            encode(Publish("", b"x", 1, packet_id=1, properties=Properties(topic_alias=1)), 5),
            Reason.TOPIC_ALIAS_INVALID,
            "topic alias",
        ),
        (b"\x20\x03\x00\x00\x00", Reason.PROTOCOL_ERROR, "CONNACK"),
    ],
    ids=["too large", "wildcard", "no topic", "NUL", "QoS 3", "id 0", "alias", "second CONNACK"],
)
async def test_a_broken_rule_ends_the_connection_with_the_reason_and_the_source_comes_back(
    bad: bytes, reason: Reason, says: str
) -> None:
    """P8; what was read before is safe and stays so."""
    intake, broker = SettlingIntake(), GoodBroker()

    def speak(peer: Peer) -> None:
        if peer.number == 1:
            send(peer, Publish("sensors/a", b"before", 1, packet_id=9))
            peer.writer.write(bad)
        else:
            send(peer, Publish("sensors/a", b"after", 1, packet_id=10))

    reasons: list[str] = []
    broker.on_subscribed = speak
    async with broker.serving(), running(intake, broker.port, mqtt={"max_packet": "1KiB"}) as source:
        while len(intake.heard) < 2:
            await until(lambda: source.status.reason not in reasons or len(intake.heard) == 2)
            reasons.append(source.status.reason)

    assert intake.payloads == [b"before", b"after"]
    goodbyes = [one for one in broker.peers[0].packets if isinstance(one, Disconnect)]
    assert [one.reason for one in goodbyes] == [reason]
    assert any(says in one for one in reasons)


async def test_qos_2_that_nobody_asked_for_is_taken_properly() -> None:
    """A subscription of QoS 1 and a message of QoS 2: a broken rule that costs nothing to bear."""
    intake, broker = SettlingIntake(), GoodBroker()
    broker.on_subscribed = lambda peer: send(peer, Publish("sensors/a", b"x", 2, packet_id=3))

    async with broker.serving(), running(intake, broker.port):
        await until(lambda: acks(broker) == [3])

    assert any(isinstance(one, PubRec) for one in broker.peers[0].packets)


# -- time ------------------------------------------------------------------------------------------------


async def test_a_source_that_does_not_read_is_kept_alive_and_stays_connected() -> None:
    """A journal that is full for hours must not make the broker throw us out, nor us give up the broker."""
    intake, broker = HeldIntake(), GoodBroker()
    intake.open = False
    broker.on_subscribed = lambda peer: send(
        peer, *(Publish("sensors/a", b"x" * 900, 1, packet_id=n) for n in range(1, 5))
    )
    pings: list[int] = []
    broker.on_ping = lambda peer: pings.append(peer.number)  # and never an answer
    settings = {"max_unsettled": "2KiB", "keep_alive": "1s"}
    async with broker.serving(), running(intake, broker.port, mqtt=settings) as source:
        await until(lambda: source.status.is_paused)
        await until(lambda: len(pings) >= 3)
        assert source.status.state == "connected"
        assert acks(broker) == []

        intake.open = True
        broker.on_ping = lambda peer: None
        await until(lambda: len(intake.heard) == 4)
        for batch in range(len(intake.batches)):
            intake.settle(batch)
        await until(lambda: acks(broker) == [1, 2, 3, 4])
        assert not source.status.is_paused

    assert len(broker.peers) == 1
    assert any(isinstance(one, PingReq) for one in broker.peers[0].packets)


async def test_the_stop_acknowledges_what_was_settled_after_reading_ended_and_says_goodbye() -> None:
    """The order of a clean stop: nothing more is read, the journal settles, PUBACK, DISCONNECT."""
    intake, broker = HeldIntake(), GoodBroker()
    broker.on_subscribed = lambda peer: send(peer, Publish("sensors/a", b"1", 1, packet_id=1))
    async with broker.serving(), running(intake, broker.port) as source:
        await until(lambda: len(intake.heard) == 1)
        await source.stop_reading()
        send(broker.peers[0], Publish("sensors/a", b"2", 1, packet_id=2))
        intake.settle(0)
        await source.stop()
        await until(lambda: any(isinstance(one, Disconnect) for one in broker.peers[0].packets))

    kinds = [type(one) for one in broker.peers[0].packets if not isinstance(one, PingReq)]
    assert kinds[-2:] == [PubAck, Disconnect]
    assert broker.peers[0].packets[-1] == Disconnect()
    assert intake.payloads == [b"1"]


async def test_a_broker_that_knows_3_1_1_only_is_read_in_3_1_1() -> None:
    """Nobody looks up which version their broker speaks."""
    intake, broker = SettlingIntake(), GoodBroker()

    def only_old(peer: Peer) -> None:
        if peer.version == 5:
            peer.writer.write(b"\x20\x02\x00\x01")
            peer.close()
        else:
            peer.send(ConnAck())

    broker.on_connect = only_old
    broker.on_subscribed = lambda peer: send(peer, Publish("sensors/a", b"x", 1, packet_id=1))
    async with broker.serving(), running(intake, broker.port) as source:
        await until(lambda: acks(broker) == [1])
        assert source.status.version == "3.1.1"


async def test_what_is_asked_of_the_broker_is_what_the_configuration_says() -> None:
    """The session is kept, and the limits are told."""
    broker = GoodBroker()
    settings = {
        "session_expiry": "2d",
        "receive_maximum": 50,
        "max_packet": "64KiB",
        "subscribe": ["$share/g/sensors/#", {"filter": "x", "qos": 2}],
    }
    async with broker.serving(), running(SettlingIntake(), broker.port, mqtt=settings):
        await until(lambda: bool(broker.subscribed))

    connect = broker.peers[0].connect
    assert connect is not None
    assert (connect.client_id, connect.clean_start) == ("fieldgate-gw-floor", False)
    assert connect.properties == Properties(session_expiry_s=172_800, receive_maximum=50, maximum_packet_size=65_536)
    options = [(one.filter, one.qos, one.retain_handling, one.retain_as_published, one.no_local)
               for one in broker.subscribed[0].subscriptions]  # fmt: skip
    assert options == [("$share/g/sensors/#", 1, 1, False, False), ("x", 2, 1, False, False)]


async def test_a_broker_that_keeps_the_session_for_less_than_asked_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """EMQX keeps two hours unless told otherwise; a longer outage loses what was published meanwhile."""
    broker = GoodBroker()
    broker.on_connect = lambda peer: peer.send(ConnAck(properties=Properties(session_expiry_s=7200)))

    async with broker.serving(), running(SettlingIntake(), broker.port) as source:
        await until(lambda: source.status.state == "connected")
        assert source.status.kept_s == 7200

    assert "source.session_shortened" in capsys.readouterr().out


async def test_a_defect_of_ours_ends_the_run_as_what_it_is_and_the_next_run_goes_on() -> None:
    """P8: the supervisor starts it again; what the first run had is neither acknowledged nor joined."""
    intake, broker = SettlingIntake(), GoodBroker(session=True)
    accept = intake.accept

    def fail(*args: object, **more: object) -> None:
        raise ZeroDivisionError("a defect")

    intake.accept = fail  # type: ignore[method-assign]
    broker.on_connect = lambda peer: send(
        peer, ConnAck(session_present=True), Publish("sensors/a", b"x", 1, packet_id=1, dup=peer.number > 1)
    )
    async with broker.serving():
        source = make_source(intake, broker.port)
        with pytest.raises(ZeroDivisionError):
            await source.run()
        intake.accept = accept  # type: ignore[method-assign]
        again = asyncio.create_task(source.run(), name="again")
        await until(lambda: acks(broker) == [1])
        await source.stop()
        again.cancel()

    assert intake.payloads == [b"x"]


async def test_what_is_asked_for_again_is_written_down_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes a filter out of the configuration is rid of it at the broker only if the record knew of it."""
    monkeypatch.setattr(subscriptions, "_RETRY_S", 0.0)
    order: list[str] = []
    answers = [(Reason.NOT_AUTHORIZED,), (1,)]

    async def save(work: Callable[[], None]) -> None:
        order.append("save")

    def grant(packet: Subscribe) -> tuple[int, ...]:
        order.append("subscribe")
        return answers.pop(0)

    broker = GoodBroker()
    broker.grant = grant
    async with broker.serving(), running(HeldIntake(), broker.port, save=save, mqtt={"keep_alive": "1s"}) as source:
        await until(lambda: source.status.subscribed == 1)

    assert order[:5] == ["save", "subscribe", "save", "save", "subscribe"]
