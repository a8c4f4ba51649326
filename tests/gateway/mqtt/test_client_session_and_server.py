"""Our client's session and our server's, joined in memory by nothing but bytes: each keeps the other honest."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from client_wire import LineInbox
from fieldgate.mqtt.client_happenings import Connected, Subscribed
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.packets import Subscription
from listener_kit import HeldIntake
from session_kit import Client as ServerSide
from session_kit import Server


class Pair:
    """A client session, a server, and the wire between them, which passes bytes in pieces of ``size``."""

    def __init__(self, version: int, *, size: int = 65_536) -> None:
        self.version = version
        self.size = size
        self.intake = HeldIntake()
        self.server = Server(self.intake)
        self.delivered: list[int] = []
        self.happenings: list[object] = []
        self.inbox = LineInbox()
        settings = ClientSettings("gateway", keep_alive_s=0)
        self.session = ClientSession(settings, delivered=self._delivered, open_inbox=self._open_inbox)
        self.far: ServerSide | None = None
        self.count = 0
        self.settled_batches = 0

    def _delivered(self, _batch: object, start: int, stop: int) -> None:
        self.delivered += range(start, stop)

    def _open_inbox(self, _version: int, _is_session_present: bool) -> LineInbox:
        self.inbox = LineInbox()
        return self.inbox

    def connect(self) -> None:
        self.far = self.server.open(self.version)
        self.session.connect(self.version, 0.0)
        self.exchange()
        while (run := self.session.in_flight.next_held(1000)) is not None:
            self.session.resend(run, 0.0)
        self.exchange()

    def drop(self) -> None:
        assert self.far is not None
        self.far.vanish()
        self.session.closed()
        self.far = None

    def exchange(self) -> None:
        """Pass bytes to and fro until nobody says anything."""
        far = self.far
        assert far is not None
        while True:
            up = b"".join(self.session.output())
            for at in range(0, len(up), self.size):
                far.session.receive(up[at : at + self.size], self.server.now_s)
            down, far.written = far.written, b""
            for at in range(0, len(down), self.size):
                self.happenings += self.session.received(down[at : at + self.size], 0.0)
            if not up and not down:
                return

    def publish(self, count: int) -> None:
        block = b"\x00" if self.version == 5 else b""
        payloads = [b"%d" % (self.count + k) for k in range(count)]
        self.session.publish([b"\x00\x01t"] * count, [block] * count, payloads, batch="b", start=self.count, now_s=0.0)
        self.count += count
        self.exchange()

    def settle(self, count: int) -> None:
        """Settle that many more batches at the server."""
        for _ in range(min(count, len(self.intake.batches) - self.settled_batches)):
            self.intake.settle(self.settled_batches)
            self.settled_batches += 1
        if self.far is not None:
            self.far.flush()
            self.exchange()

    @property
    def safe(self) -> set[int]:
        """What the server's side has settled."""
        return {int(one.payload) for _, _, batch in self.intake.batches[: self.settled_batches] for one in batch}


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([4, 5]), st.sampled_from([1, 2, 3, 7, 65_536]))
def test_whatever_breaks_the_events_arrive_in_order_and_only_safe_ones_are_told(data, version, size):
    """P1 to P3 between the two ends, over any sequence of losses."""
    pair = Pair(version, size=size)
    pair.connect()
    for _ in range(data.draw(st.integers(1, 20))):
        match data.draw(st.sampled_from(["publish", "settle", "drop"])):
            case "publish":
                pair.publish(data.draw(st.integers(1, 10)))
            case "settle":
                pair.settle(data.draw(st.integers(1, 3)))
            case "drop":
                pair.drop()
                pair.connect()
        assert set(pair.delivered) <= pair.safe
    pair.settle(10_000)

    arrived = [int(payload) for payload in pair.intake.payloads]
    assert list(dict.fromkeys(arrived)) == list(range(pair.count))
    assert sorted(pair.delivered) == list(range(pair.count))
    assert len(pair.session.in_flight) == 0
    assert any(isinstance(happening, Connected) for happening in pair.happenings)


def test_a_resumed_session_joins_the_events_that_are_already_on_their_way():
    """With DUP and the old packet id the server recognises them, so upstream gets no copy under a new id."""
    pair = Pair(5)
    pair.connect()
    pair.publish(5)

    pair.drop()
    pair.connect()
    pair.settle(10)

    assert [int(payload) for payload in pair.intake.payloads] == [0, 1, 2, 3, 4]
    assert pair.delivered == [0, 1, 2, 3, 4]


def test_a_command_comes_down_and_is_acknowledged_when_it_is_safe():
    """The way back, which later issues build on."""
    pair = Pair(5)
    pair.connect()
    packet_id = pair.session.subscribe([Subscription("cmd/#", qos=1)], 0.0)
    pair.exchange()
    assert pair.happenings[-1] == Subscribed(packet_id, (1,))
    sender = pair.server.connect("sender")
    sender.publish(1, topic="cmd/boiler", payload=b"on")
    pair.far.flush()
    pair.exchange()
    (command,) = pair.inbox.runs[0]
    assert (command.topic, command.payload) == ("cmd/boiler", b"on")
    before = pair.session.output()

    pair.inbox.line.settled(0, 1)
    pair.session.acknowledge(0.0)

    assert before == []
    assert pair.session.output() == [b"\x40\x02" + command.packet_id.to_bytes(2, "big")]
