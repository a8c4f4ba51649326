"""What an `MqttInbox` shares with others: limits, the counters of its listener, and the connection that feeds it."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec

from fieldgate.mqtt.packets import Packet

__all__ = ["InboxLimits", "InboxTally", "Throttle"]


class InboxLimits(msgspec.Struct, frozen=True):
    """``receive_maximum`` binds MQTT 5 clients; 3.1.1 clients are no longer read while they exceed it."""

    receive_maximum: int = 1000
    max_unsettled_bytes: int = 256 * 1024
    max_unreleased: int = 4096
    topic_alias_maximum: int = 16


class InboxTally:
    """Counters that all inboxes of a listener share."""

    __slots__ = ("bad_traces", "bytes", "echoes", "events", "joined", "publishes", "refused", "unsaved")

    def __init__(self) -> None:
        self.publishes = 0
        self.events = 0
        self.echoes = 0  # sent upstream by this very gateway, and brought back: no events
        self.bytes = 0  # of topics and payloads of events
        self.joined = 0  # resent while the first copy was still waiting
        self.refused: Counter[str] = Counter()  # not taken, by reason code; the client was told if it can be
        self.bad_traces = 0  # events whose traceparent or tracestate is none; it was left out
        self.unsaved = 0  # unacknowledged when their connection ended, never handed over: QoS 0 among them is lost


class Throttle(Protocol):
    """The connection that feeds this inbox."""

    def pause_reading(self) -> None:
        """Read nothing more from the client for now."""

    def resume_reading(self) -> None:
        """Read on."""

    def flush(self) -> None:
        """Write the acknowledgements that are due."""

    def fitting(self, packet: Packet) -> bytes:
        """Encode an answer within the limits of the client."""
