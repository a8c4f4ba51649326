"""A stand-in for Azure IoT Hub: MQTT 3.1.1 with its rules for log-in, topics, QoS and retained messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from fieldgate import clock
from fieldgate.mqtt.packets import ConnAck, Connect, Publish
from uplink_kit import Peer, ScriptedBroker

_NOT_AUTHORIZED = 5


@dataclass
class Hub:
    """The rules, put onto a `ScriptedBroker`; ``refusals`` and ``violations`` say what it disliked."""

    broker: ScriptedBroker
    host: str
    device: str
    key: str
    policy: str | None = None
    tokens: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker.on_connect = self._connect
        self.broker.on_publish = self._publish

    def _connect(self, peer: Peer) -> None:
        assert peer.connect is not None
        problem = self._problem(peer.connect)
        if problem:
            self.refusals.append(problem)
            peer.send(ConnAck(_NOT_AUTHORIZED if peer.version == 4 else 0x87))
            peer.close()
        else:
            peer.send(ConnAck())

    def _problem(self, connect: Connect) -> str:
        if connect.version != 4:
            return "only MQTT 3.1.1"
        if connect.client_id != self.device:
            return f"no such device: {connect.client_id}"
        if connect.username != f"{self.host}/{self.device}/?api-version=2021-04-12":
            return f"user name {connect.username}"
        if connect.clean_start:
            return "a clean session"
        token = (connect.password or b"").decode()
        self.tokens.append(token)
        return self._token_problem(token)

    def _token_problem(self, token: str) -> str:
        kind, _, fields = token.partition(" ")
        values = dict(part.split("=", 1) for part in fields.split("&"))
        resource = self.host if self.policy else f"{self.host}/devices/{self.device}"
        if kind != "SharedAccessSignature" or urllib.parse.unquote(values["sr"]) != resource:
            return f"token for {values.get('sr')}"
        signed = f"{values['sr']}\n{values['se']}".encode()
        right = base64.b64encode(hmac.new(base64.b64decode(self.key), signed, hashlib.sha256).digest()).decode()
        if urllib.parse.unquote(values["sig"]) != right:
            return "wrong signature"
        if values.get("skn") != self.policy:
            return f"policy {values.get('skn')}"
        return "" if int(values["se"]) > clock.wall_ns() / 1e9 else "token has ended"

    def _publish(self, peer: Peer, publish: Publish) -> None:
        wanted = f"devices/{self.device}/messages/events/"
        if not publish.topic.startswith(wanted) or publish.qos != 1 or publish.retain or len(publish.payload) > 256_000:
            self.violations.append(f"{publish.topic} qos {publish.qos} retain {publish.retain}")
            peer.close()
            return
        peer.ack(publish)

    @property
    def ends_at(self) -> list[int]:
        """When each token that was shown ends."""
        return [int(token.rpartition("&se=")[2].partition("&")[0]) for token in self.tokens]


class Clocks:
    """Boot time and time of day that a test can move; ``is_synced`` is what the system says."""

    def __init__(self, monkeypatch: Any) -> None:
        self.moved_s = 0.0
        self.is_synced = True
        boot_s, wall_ns = clock.boot_s, clock.wall_ns
        monkeypatch.setattr(clock, "boot_s", lambda: boot_s() + self.moved_s)
        monkeypatch.setattr(clock, "wall_ns", lambda: wall_ns() + int(self.moved_s * 1e9))
        monkeypatch.setattr(clock, "is_synced", lambda: self.is_synced)
