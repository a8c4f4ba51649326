"""A pump between a feed in memory and a server that the test plays."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fieldgate.forward.expiry import Expiry
from fieldgate.forward.pump import Pump
from fieldgate.mqtt.client_happenings import Rejected
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import Decoder, encode
from fieldgate.mqtt.packets import ConnAck, Properties, PubAck, Publish
from uplink_kit import RUN, MemoryFeed, uplink_config


class Rig:
    """A pump between a feed in memory and a server that the test plays."""

    def __init__(self, version: int = 5, **changes: Any) -> None:
        self.version = version
        self.honours_expiry = changes.get("honour_expiry", False)
        self.feed = MemoryFeed()
        window = changes.get("mqtt", {}).get("window", 1000)
        self.session = ClientSession(ClientSettings("me", window=window), delivered=self.feed.delivered)
        config = uplink_config(1883, **changes)
        self.pump = Pump(
            config,
            self.feed,
            self.session,
            gateway="gw",
            os_boot_of=lambda _run: None,
            rng=Random(1),
            expiry=self.expiry(),
        )
        self.now_s = 0.0
        self._decoder = Decoder(version=None, max_packet_bytes=1 << 28, from_client=True)

    def expiry(self) -> Expiry | None:
        """Events of this process end when their publishers said, if ``honour_expiry`` is asked for."""
        if not self.honours_expiry:
            return None
        return Expiry(run=RUN, os_boot_of=lambda _run: None, wall_ns=lambda: None)

    def connect(self, *, session_present: bool = False, **properties: Any) -> None:
        self._decoder = Decoder(version=None, max_packet_bytes=1 << 28, from_client=True)
        self.session.connect(self.version, self.now_s)
        self._decoder.feed(b"".join(self.session.output()))
        connack = ConnAck(session_present=session_present, properties=Properties(**properties) if properties else None)
        self.session.received(encode(connack, self.version), self.now_s)
        self.pump.connected(is_session_present=session_present)

    def fill(self) -> list[Publish]:
        self.wait_s = self.pump.fill(self.now_s)
        packets = self._decoder.feed(b"".join(self.session.output()))
        return [packet for packet in packets if isinstance(packet, Publish)]

    def ack(self, *packet_ids: int, reason: int = 0) -> None:
        """Answer each of these."""
        chunk = b"".join(encode(PubAck(packet_id, reason), self.version) for packet_id in packet_ids)
        for happening in self.session.received(chunk, self.now_s):
            if isinstance(happening, Rejected):
                self.pump.rejected(happening, self.now_s)
        self.pump.acknowledged()

    def lose(self, *, is_by_server: bool = True, is_too_large: bool = False) -> bool:
        self.session.closed()
        return self.pump.lost(is_by_server=is_by_server, is_too_large=is_too_large)

    def fill_after_the_pause(self) -> list[Publish]:
        """Let the time pass that the pump asks for, and fill, until something is sent."""
        while True:
            assert self.wait_s is not None
            self.now_s += self.wait_s
            if sent := self.fill():
                return sent


def number(publish: Publish) -> int:
    event = json.loads(publish.payload)
    return int(event["id"].split("-")[1])
