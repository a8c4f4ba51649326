"""What a server's CONNACK says: whether it lets the client in, and on which terms."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.mqtt.client_happenings import Refused, connack_text
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.packets import ConnAck, Properties, Reason

__all__ = ["ServerTerms", "old_refusal", "refusal", "terms_of"]

_MAX_WINDOW: Final = 65_000  # leaves packet ids for SUBSCRIBE
_MAX_RECEIVE_MAXIMUM: Final = 65_535
_NONE: Final = Properties()


class ServerTerms(msgspec.Struct, frozen=True):
    """What the server allows on one connection. ``window``: most messages without a PUBACK that we send.

    ``receive_maximum`` is the most that it takes, of events and announcements together [MQTT-3.3.4-7].
    ``kept_s`` is how long it keeps the session, where it says so.
    """

    window: int = 0
    receive_maximum: int = _MAX_RECEIVE_MAXIMUM
    max_packet_bytes: int | None = None
    keep_alive_s: int = 0
    is_retain_available: bool = True
    topic_aliases: int = 0
    kept_s: int | None = None


def refusal(packet: ConnAck, settings: ClientSettings, *, version: int) -> Refused | None:
    """Return why the client may not come in, or does not want to, if so."""
    if packet.reason:
        is_version = packet.reason == (Reason.UNSUPPORTED_PROTOCOL_VERSION if version == 5 else 1)
        return Refused(packet.reason, connack_text(packet, version), is_version=is_version)
    if settings.window and packet.properties is not None and packet.properties.maximum_qos == 0:
        return Refused(Reason.QOS_NOT_SUPPORTED, "the server takes QoS 0 only, which confirms nothing")
    return None


def old_refusal(return_code: int) -> Refused:
    """Return what a CONNACK of 3.1.1 means that answers a CONNECT of MQTT 5."""
    return Refused(return_code, connack_text(ConnAck(return_code), 4), is_version=True)


def terms_of(packet: ConnAck, settings: ClientSettings) -> ServerTerms:
    """Return the terms of a CONNACK that lets the client in."""
    said = packet.properties or _NONE
    return ServerTerms(
        window=min(settings.window, _MAX_WINDOW, said.receive_maximum or _MAX_WINDOW),
        receive_maximum=said.receive_maximum or _MAX_RECEIVE_MAXIMUM,
        max_packet_bytes=said.maximum_packet_size,
        keep_alive_s=settings.keep_alive_s if said.server_keep_alive_s is None else said.server_keep_alive_s,
        is_retain_available=said.retain_available != 0,
        topic_aliases=said.topic_alias_maximum or 0,
        kept_s=said.session_expiry_s,
    )
