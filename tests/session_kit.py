"""Clients and server joined in memory: bytes go in, packets come out, time is a number. No sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

from fieldgate.ingest.event_filter import EventFilter
from fieldgate.ingest.inbox_terms import InboxLimits, InboxTally
from fieldgate.ingest.mqtt_inbox import MqttInbox
from fieldgate.mqtt.access_rules import AccessRules, ClientRights, Rule
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import BrokerLimits, LocalBroker
from fieldgate.mqtt.packets import ConnAck, Connect, Packet, Properties, PubAck, Publish, Subscribe, Subscription, Will
from fieldgate.mqtt.server_session import Phase, ServerSession
from fieldgate.mqtt.session_roles import Accepted, Inbox, Verdict
from fieldgate.mqtt.session_state import SessionState
from fieldgate_devices.files.location import Location
from listener_kit import HeldIntake

__all__ = ["Client", "Server", "ack_ids", "may", "rules"]


class Client:
    """One client with its connection; it is the `Link` and the `Throttle` of its server session."""

    def __init__(self, server: Server, version: int) -> None:
        self.version = version
        self.server = server
        self.written = b""
        self.writes = 0
        self.closed: str | None = None  # "politely" or "at once"
        self.is_reading = True
        self.stuck_bytes = 0  # what the network has not taken; set by tests
        self.inbox: MqttInbox | None = None
        self.connack = ConnAck()
        self.early: list[Packet] = []  # what came right behind the CONNACK
        self._decoder = Decoder(version=version, max_packet_bytes=2**28, from_client=False)
        self.session = ServerSession(
            self,
            broker=server.broker,
            authority=server,
            limits=server.limits,
            open_inbox=self._open_inbox,
            new_client_id=lambda: f"assigned-{next(server.ids)}",
            now_s=server.now_s,
        )

    def _open_inbox(self, session: ServerSession, state: SessionState, connect: Connect) -> Inbox:
        self.inbox = MqttInbox(
            self,
            state,
            version=connect.version,
            intake=self.server.intake,
            event_filter=self.server.event_filter,
            broker=self.server.broker,
            lane=1,
            limits=self.server.inbox_limits,
            tally=self.server.tally,
        )
        return self.inbox

    def write(self, chunk: bytes) -> None:
        assert self.closed is None, "written after the end"
        self.written += chunk
        self.writes += 1

    def unsent_bytes(self) -> int:
        return self.stuck_bytes

    def close(self, *, at_once: bool) -> None:
        assert self.closed is None, "closed twice"
        self.closed = "at once" if at_once else "politely"

    def pause_reading(self) -> None:
        self.is_reading = False
        self.session.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True
        self.session.resumed_reading(self.server.now_s)

    def flush(self) -> None:
        self.session.flush()

    def fitting(self, packet: Packet) -> bytes:
        return self.session.fitting(packet)

    def send(self, *packets: Packet) -> list[Packet]:
        """Send in one read; returns the answers, and whatever else has come since the last look."""
        return self.send_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def send_bytes(self, chunk: bytes) -> list[Packet]:
        self.session.receive(chunk, self.server.now_s)
        return self.received()

    def received(self) -> list[Packet]:
        chunk, self.written = self.written, b""
        return self._decoder.feed(chunk)

    def publish(
        self, *ids: int, topic: str = "t", qos: int = 1, dup: bool = False, payload: bytes = b""
    ) -> list[Packet]:
        return self.send(
            *(Publish(topic, payload or b"%d" % one, qos, dup=dup, packet_id=one if qos else 0) for one in ids)
        )

    def subscribe(self, *subscriptions: Subscription, packet_id: int = 1) -> list[Packet]:
        return self.send(Subscribe(packet_id, subscriptions))

    def vanish(self) -> None:
        """The connection breaks."""
        self.session.lost("gone", self.server.now_s)
        self.closed = self.closed or "gone"

    @property
    def is_connected(self) -> bool:
        return self.session.phase is Phase.CONNECTED


class Server:
    """A broker, an intake and a clock; makes clients."""

    def __init__(
        self,
        intake: HeldIntake | None = None,
        *,
        events: tuple[str, ...] = ("#",),
        limits: SessionLimits | None = None,
        inbox_limits: InboxLimits | None = None,
        broker_limits: BrokerLimits | None = None,
    ) -> None:
        self.now_s = 1000.0
        self.verdict: Verdict | None = Accepted()
        self.answers: list[Callable[[Verdict, float], None]] = []
        self.ids = count(1)
        self.intake = intake or HeldIntake()
        self.broker = LocalBroker(broker_limits)
        self.limits = limits or SessionLimits()
        self.event_filter = EventFilter(events, max_levels=self.limits.max_topic_levels)
        self.inbox_limits = inbox_limits or InboxLimits()
        self.tally = InboxTally()

    def judge(self, connect: Connect, answer: Callable[[Verdict, float], None]) -> Verdict | None:
        """See `Authority`: by default everybody may do everything; None puts the verdict off (`answers`)."""
        self.answers.append(answer)
        return self.verdict

    def open(self, version: int = 4) -> Client:
        return Client(self, version)

    def connect(
        self,
        client_id: str = "c",
        *,
        version: int = 4,
        clean: bool = True,
        keep_alive_s: int = 0,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> Client:
        client = self.open(version)
        answers = client.send(Connect(client_id, version, clean, keep_alive_s, will=will, properties=properties))
        assert isinstance(answers[0], ConnAck), answers
        assert answers[0].reason == 0, answers
        client.connack, client.early = answers[0], answers[1:]
        return client


def may(*filters: str) -> ClientRights:
    """The rights to publish and subscribe to ``filters``, and nothing else."""
    return ClientRights(rules(*filters), user="somebody", client_id="c", denied=Counter())


def rules(*filters: str) -> AccessRules:
    """What `may` allows, to be exchanged while a client is in."""
    return AccessRules(all_users=tuple(Rule(one, True, True, True, Location("acl", 1, 1)) for one in filters))


def ack_ids(packets: list[Packet]) -> list[int]:
    """The ids of PUBACKs, asserting that there is nothing else."""
    ids = []
    for packet in packets:
        assert isinstance(packet, PubAck), packet
        ids.append(packet.packet_id)
    return ids
