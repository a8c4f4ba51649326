"""What the tests of sources share: a configuration, a source that runs, and brokers by script that publish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from fieldgate.config.source import SourceConfig
from fieldgate.ingest.echo import EchoGuard
from fieldgate.ingest.mqtt_source import MqttSource
from fieldgate.ingest.source_record import SourceRecord
from fieldgate.mqtt.packets import ConnAck, Packet, SubAck, Subscribe, UnsubAck, Unsubscribe
from fieldgate.net.broker_connection import Timing
from listener_kit import HeldIntake
from source_run import run_source
from uplink_kit import FAST, Peer, ScriptedBroker

__all__ = ["OWN_RUN", "GoodBroker", "make_source", "running", "source_config"]

OWN_RUN = 0x0123_4567_89AB_CDEF


def source_config(port: int, **changes: Any) -> SourceConfig:
    """A source of ``sensors/#``, unless ``changes`` (of the source, or of ``mqtt``) say otherwise."""
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "subscribe": ["sensors/#"], **changes.pop("mqtt", {})}
    return SourceConfig.model_validate({"name": "floor", "mqtt": mqtt, **changes})


async def _save(work: Callable[[], None]) -> None:
    work()


def make_source(
    intake: HeldIntake,
    port: int,
    *,
    folder: Path | None = None,
    timing: Timing = FAST,
    own: tuple[str, ...] = ("fieldgate/gw/#",),
    save: Callable[[Callable[[], None]], Awaitable[None]] = _save,
    **changes: Any,
) -> MqttSource:
    """A source that is not running yet; without a ``folder`` it has no memory of earlier runs."""
    path = (folder or Path("/proc/nowhere")) / "floor.json"
    return MqttSource(
        source_config(port, **changes),
        intake,
        gateway="gw",
        own=own,
        guard=EchoGuard("gw", {OWN_RUN}),
        record=SourceRecord(path, who="test"),
        save=save,
        rng=Random(7),
        timing=timing,
    )


@asynccontextmanager
async def running(intake: HeldIntake, port: int, **changes: Any) -> AsyncIterator[MqttSource]:
    """A source that runs until the block ends."""
    async with run_source(make_source(intake, port, **changes)) as source:
        yield source


class GoodBroker(ScriptedBroker):
    """Grants every subscription; ``session`` says what it answers to "is there one", ``subscribed`` what it was asked.

    ``on_subscribed`` is called after each SUBACK, ``on_packet`` for all that is no CONNECT, SUBSCRIBE or PUBLISH.
    """

    def __init__(self, *, session: bool = False) -> None:
        super().__init__()
        self.session = session
        self.subscribed: list[Subscribe] = []
        self.unsubscribed: list[Unsubscribe] = []
        self.grant: Callable[[Subscribe], tuple[int, ...]] = lambda packet: tuple(
            one.qos for one in packet.subscriptions
        )
        self.on_subscribed: Callable[[Peer], None] = lambda peer: None
        self.on_packet: Callable[[Peer, Packet], None] = lambda peer, packet: None
        self.on_connect = self._accept_client
        self.on_other = self._take

    def _accept_client(self, peer: Peer) -> None:
        peer.send(ConnAck(session_present=self.session))

    def _take(self, peer: Peer, packet: Packet) -> None:
        if isinstance(packet, Subscribe):
            self.subscribed.append(packet)
            peer.send(SubAck(packet.packet_id, self.grant(packet)))
            self.on_subscribed(peer)
        elif isinstance(packet, Unsubscribe):
            self.unsubscribed.append(packet)
            peer.send(UnsubAck(packet.packet_id, (0,) * len(packet.filters) if peer.version == 5 else ()))
        else:
            self.on_packet(peer, packet)
