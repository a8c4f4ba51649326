"""A small model of what a client of an MQTT server can see, and the server's sessions to compare it with.

Written from the standard, it knows nothing of the server: it matches filters its own way and keeps plain lists.
Deliveries are compared after every step. Filters and topics overlap on purpose; clients acknowledge at once, or late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from fieldgate.mqtt.packets import (
    ConnAck,
    Disconnect,
    Packet,
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
from listener_kit import SettlingIntake
from session_kit import Client, Server

__all__ = ["MOURNED", "Due", "Session", "World"]

MOURNED = "w"  # the client that has a will, and no subscriptions
WILL_TOPIC = "t/b"


def is_match(wanted: list[str], levels: list[str], *, is_first: bool = True) -> bool:
    """The rules of [MQTT5 4.7], by recursion."""
    if not wanted:
        return not levels
    if is_first and levels[0].startswith("$") and wanted[0] in ("#", "+"):
        return False
    if wanted[0] == "#":
        return True
    if not levels or wanted[0] not in ("+", levels[0]):
        return not levels and wanted == ["#"]
    return is_match(wanted[1:], levels[1:], is_first=False)


@dataclass(frozen=True)
class Due:
    """A delivery that must come. ``again``: it was sent before and not acknowledged."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    ids: tuple[int, ...]
    again: bool = False


@dataclass
class Session:
    """What a server remembers of a client."""

    subscriptions: dict[str, tuple[Subscription, int]] = field(default_factory=dict)
    unacked: list[Due] = field(default_factory=list)
    queued: deque[Due] = field(default_factory=deque)
    expiry_s: float = 0.0
    forget_at_s: float | None = None


class World:
    """The server, its clients, and the model of both."""

    def __init__(self) -> None:
        self.server = Server(SettlingIntake(keep=False))
        self.clients: dict[str, Client] = {}
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, tuple[bytes, int, str]] = {}
        self.due: dict[str, list[Due]] = {}
        self.lazy: dict[str, bool] = {}
        self.held: dict[str, list[Publish]] = {}
        self.wills: dict[str, bytes] = {}
        self.count = 0
        self.heard = 0

    # the model

    def deliver(self, topic: str, payload: bytes, *, qos: int, retain: bool, origin: str) -> None:
        if retain:
            self.retained.pop(topic, None)
            if payload:
                self.retained[topic] = (payload, qos, origin)
        for name, session in self.sessions.items():
            found = [
                (options, number)
                for options, number in session.subscriptions.values()
                if is_match(options.filter.split("/"), topic.split("/")) and not (options.no_local and name == origin)
            ]
            if found:
                best = min(qos, max(options.qos for options, _ in found))
                is_kept = retain and any(options.retain_as_published for options, _ in found)
                ids = tuple(sorted(number for _, number in found if number))
                self.expect(name, session, Due(topic, payload, best, is_kept, ids))

    def expect(self, name: str, session: Session, due: Due) -> None:
        if name in self.clients:
            self.due.setdefault(name, []).append(due)
            if due.qos:
                session.unacked.append(due)
        elif due.qos:
            session.queued.append(due)

    def left(self, name: str) -> None:
        self.clients.pop(name)
        self.due.pop(name, None)
        self.held.pop(name, None)
        session = self.sessions[name]
        if session.expiry_s <= 0:
            del self.sessions[name]
        else:
            session.forget_at_s = self.server.now_s + session.expiry_s

    def speak(self, name: str) -> None:
        payload = self.wills.pop(name, None)
        if payload is not None:
            self.deliver(WILL_TOPIC, payload, qos=1, retain=False, origin=name)

    # steps

    def connect(self, name: str, version: int, clean: bool, keep: bool) -> None:
        expiry_s = (60.0 if keep else 0.0) if version == 5 else (0.0 if clean else 7 * 86_400.0)
        old = self.clients.get(name)
        if old is not None:
            self.left(name)
            self.speak(name)
        session = self.sessions.get(name)
        is_present = session is not None and not clean
        if session is None or clean:
            session = self.sessions[name] = Session()
        session.expiry_s, session.forget_at_s = expiry_s, None
        self.count += 1
        will = Will(WILL_TOPIC, b"will %d" % self.count, 1) if name == MOURNED else None

        properties = Properties(session_expiry_s=60) if version == 5 and keep else None
        client = self.server.connect(name, version=version, clean=clean, will=will, properties=properties)

        assert isinstance(client.connack, ConnAck)
        assert client.connack.session_present == is_present
        if old is not None:
            assert old.closed == "politely"
        self.clients[name] = client
        self.lazy[name] = False
        self.held[name] = []
        if will is not None:
            self.wills[name] = will.payload
        self.due[name] = [replace(due, again=True) for due in session.unacked]
        while session.queued:
            self.expect(name, session, session.queued.popleft())
        self.hear(name, client.early)

    def leave(self, name: str, is_polite: bool) -> None:
        client = self.clients[name]
        self.left(name)
        if is_polite:
            self.wills.pop(name, None)
            assert client.send(Disconnect()) == []
        else:
            self.speak(name)
            client.vanish()
        self.server.broker.flush()

    def subscribe(self, name: str, options: Subscription, number: int) -> None:
        client, session = self.clients[name], self.sessions[name]
        is_v5 = client.version == 5
        wanted = options if is_v5 else Subscription(options.filter, options.qos)
        number = number if is_v5 else 0
        is_new = wanted.filter not in session.subscriptions
        session.subscriptions[wanted.filter] = (wanted, number)
        properties = Properties(subscription_ids=(number,)) if number else None

        answers = client.send(Subscribe(7, (wanted,), properties))

        assert answers[0] == SubAck(7, (wanted.qos,))
        old = []
        if wanted.retain_handling == 0 or (wanted.retain_handling == 1 and is_new):
            for topic, (payload, qos, origin) in self.retained.items():
                is_own = wanted.no_local and origin == name
                if is_match(wanted.filter.split("/"), topic.split("/")) and not is_own:
                    old.append(Due(topic, payload, min(qos, wanted.qos), True, (number,) if number else ()))
        came = [packet.topic for packet in answers[1:] if isinstance(packet, Publish)]
        old.sort(key=lambda due: came.index(due.topic) if due.topic in came else -1)  # any order of topics will do
        for due in old:
            self.expect(name, session, due)
        self.hear(name, answers[1:])

    def unsubscribe(self, name: str, topic_filter: str) -> None:
        client, session = self.clients[name], self.sessions[name]
        existed = session.subscriptions.pop(topic_filter, None) is not None

        answers = client.send(Unsubscribe(8, (topic_filter,)))

        assert answers[0] == UnsubAck(8, ((0 if existed else 0x11),) if client.version == 5 else ())
        self.hear(name, answers[1:])

    def publish(self, name: str, topic: str, qos: int, retain: bool, is_empty: bool) -> None:
        self.count += 1
        client = self.clients[name]
        payload = b"" if is_empty else b"%d" % self.count
        self.deliver(topic, payload, qos=qos, retain=retain, origin=name)

        answers = client.send(Publish(topic, payload, qos, retain, packet_id=9 if qos else 0))

        acks = [packet for packet in answers if not isinstance(packet, Publish)]
        if qos == 2:
            assert acks[0].__class__ is PubRec
            answers += client.send(PubRel(9))
            assert answers[-1] == PubComp(9)
            acks = acks[1:]
        assert [type(ack) for ack in acks] == ([PubAck] if qos == 1 else [])
        self.hear(name, [packet for packet in answers if isinstance(packet, Publish)])

    def hear(self, name: str, packets: list[Packet]) -> None:
        """Compare what came with what was due, and acknowledge it unless this client is lazy."""
        client, due = self.clients[name], self.due.pop(name, [])
        came = [packet for packet in packets if isinstance(packet, Publish)]
        assert len(came) == len(packets), packets
        assert [self.seen(client, packet) for packet in came] == [self.shown(client, one) for one in due]
        self.heard += len(came)
        self.held[name] += [packet for packet in came if packet.qos]
        if not self.lazy[name]:
            self.acknowledge(name)

    def seen(self, client: Client, packet: Publish) -> tuple[Any, ...]:
        ids = packet.properties.subscription_ids if packet.properties is not None else ()
        return packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, tuple(sorted(ids))

    def shown(self, client: Client, due: Due) -> tuple[Any, ...]:
        return due.topic, due.payload, due.qos, due.retain, due.again, due.ids if client.version == 5 else ()

    def acknowledge(self, name: str) -> None:
        client, session = self.clients[name], self.sessions[name]
        held, self.held[name] = self.held[name], []
        ids = [packet.packet_id for packet in held]
        assert len(set(ids)) == len(ids), "an id stands for two messages"
        for packet in held:
            if packet.qos == 1:
                assert client.send(PubAck(packet.packet_id)) == []
            else:
                assert client.send(PubRec(packet.packet_id)) == [PubRel(packet.packet_id)]
                assert client.send(PubComp(packet.packet_id)) == []
        session.unacked.clear()

    def pass_time(self) -> None:
        self.server.now_s += 40
        for name, session in list(self.sessions.items()):
            if session.forget_at_s is not None and session.forget_at_s <= self.server.now_s:
                del self.sessions[name]
        self.server.broker.tick(self.server.now_s)

    def settle(self) -> None:
        """Everybody hears what the last step brought."""
        for name in list(self.clients):
            self.hear(name, self.clients[name].received())

    def step(self, step: tuple[Any, ...]) -> None:
        what, name, *rest = step
        match what:
            case "connect":
                self.connect(name, *rest)
            case "time":
                self.pass_time()
            case _ if name not in self.clients:
                return
            case "leave":
                self.leave(name, *rest)
            case "subscribe" if name != MOURNED:
                self.subscribe(name, *rest)
            case "unsubscribe":
                self.unsubscribe(name, *rest)
            case "publish":
                self.publish(name, *rest)
            case "lazy":
                self.lazy[name] = rest[0]
        self.settle()
