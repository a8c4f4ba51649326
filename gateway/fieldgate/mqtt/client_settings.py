"""Who connects to a server, and what is asked of it."""

from __future__ import annotations

import msgspec

from fieldgate.mqtt.packets import Connect, Properties, Will

__all__ = ["ClientSettings"]


class ClientSettings(msgspec.Struct, frozen=True):
    """Who connects, and what the session promises and expects."""

    client_id: str
    username: str | None = None
    password: bytes | None = None
    keep_alive_s: int = 60
    window: int = 1000
    puback_timeout_s: float = 30.0
    session_expiry_s: int = 86_400
    receive_maximum: int = 100
    max_packet_bytes: int = 256 * 1024
    will: Will | None = None
    clean_start: bool = False

    def connect(self, version: int) -> Connect:
        """Return the CONNECT for protocol level ``version`` (4 or 5).

        It asks for no clean start unless told: what a restarted process had in flight comes from its journal as new
        messages, so the session state on our side is known, and empty [MQTT-3.2.2-4].
        """
        properties = None
        if version == 5:
            properties = Properties(
                session_expiry_s=self.session_expiry_s,
                receive_maximum=self.receive_maximum,
                maximum_packet_size=self.max_packet_bytes,
            )
        return Connect(
            self.client_id,
            version=version,
            clean_start=self.clean_start,
            keep_alive_s=self.keep_alive_s,
            username=self.username,
            password=self.password,
            will=self.will,
            properties=properties,
        )
