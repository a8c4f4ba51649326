"""A source's session and inbox in memory, and the broker's end of the line: packets go in and come out."""

from __future__ import annotations

from typing import Any

from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.source_inbox import SourceInbox, SourceLimits, SourceState
from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.mqtt.client_happenings import Happening
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import ConnAck, Connect, Packet, Publish
from listener_kit import HeldIntake
from source_kit import OWN_RUN, source_config

__all__ = ["Line", "message"]


class Line:
    """A source's session and inbox, and the broker's end of the line."""

    def __init__(self, version: int = 5, *, limits: SourceLimits | None = None, **changes: Any) -> None:
        self.version = version
        self.intake = HeldIntake()
        self.is_reading = True
        topics = SourceTopics(source_config(1, **changes), own=("fieldgate/gw/#", "up/#"))
        echo = EchoGuard("gw", {OWN_RUN})
        self.state = SourceState("me", topics, echo, lane=1)
        self.inbox: SourceInbox | None = None
        self._limits = limits or SourceLimits()
        self._session = ClientSession(
            ClientSettings("me", window=0), delivered=lambda *_: None, open_inbox=self._open_inbox
        )
        self.connect(session=False)

    def _open_inbox(self, _version: int, is_session_present: bool) -> SourceInbox:
        if not is_session_present:
            self.state.forget_session()
        self.inbox = SourceInbox(self, self.state, intake=self.intake, limits=self._limits)
        return self.inbox

    # Throttle
    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def kick(self) -> None:
        """`taken` writes what is due."""

    def connect(self, *, session: bool = True) -> None:
        self._session.closed()
        self._decoder = Decoder(version=None, max_packet_bytes=1 << 20, from_client=True)
        self._session.connect(self.version, 0.0)
        (connect,) = self._decoder.feed(b"".join(self._session.output()))
        assert isinstance(connect, Connect)
        self.give(ConnAck(session_present=session))

    def give(self, *packets: Packet) -> list[Happening]:
        return list(self._session.received(b"".join(encode(one, self.version) for one in packets), 0.0))

    def taken(self) -> list[Packet]:
        """What the source has written since the last time."""
        self._session.acknowledge(0.0)
        return list(self._decoder.feed(b"".join(self._session.output())))

    def settle_all(self) -> list[Packet]:
        for batch in range(len(self.intake.batches)):
            self.intake.settle(batch)
        self.intake.batches.clear()
        return self.taken()


def message(packet_id: int, payload: bytes = b"x", topic: str = "sensors/a", *, qos: int = 1, **flags: Any) -> Publish:
    return Publish(topic, payload, qos, packet_id=packet_id, **flags)
