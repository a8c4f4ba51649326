"""What can happen to a client's session, as values, and the server's reason codes in words."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.mqtt.in_flight import Run
from fieldgate.mqtt.packets import ConnAck, Disconnect, Reason

__all__ = [
    "Announced", "Connected", "Ended", "Happening", "Refused", "Rejected", "Subscribed", "connack_text",
    "disconnect_text", "reason_text", "says",
]  # fmt: skip


class Connected(msgspec.Struct):
    """The server has accepted the connection; what is in flight is held and must be sent again."""

    is_session_present: bool


class Refused(msgspec.Struct):
    """CONNACK said no; the connection is over. ``is_version``: another protocol version may be accepted."""

    reason: int
    text: str
    is_version: bool = False


class Rejected(msgspec.Struct):
    """The server refused one message; it is no longer in flight. The owner parks it or holds it again.

    A first `Reason.PACKET_ID_IN_USE` is none: such a message is held again, under another id.
    """

    run: Run
    reason: int
    text: str


class Subscribed(msgspec.Struct):
    """SUBACK or UNSUBACK: one reason code per filter (none for a 3.1.1 UNSUBACK)."""

    packet_id: int
    reasons: tuple[int, ...]


class Announced(msgspec.Struct):
    """The server's answer to `ClientSession.announce`, which gave the packet id: a PUBACK's reason."""

    packet_id: int
    reason: int
    text: str


class Ended(msgspec.Struct):
    """The connection is over, in words; ``is_by_server``: the server said DISCONNECT with ``reason``."""

    text: str
    reason: int = 0
    is_by_server: bool = False


Happening = Connected | Refused | Rejected | Subscribed | Announced | Ended

_MAX_WORDS: Final = 200  # of a server's own, which may send 65,535 bytes of them
_RETURN_CODES: Final = {  # [MQTT 3.1.1, 3.2.2.3]
    1: "the server does not speak this protocol version",
    2: "the server does not accept the client id",
    3: "the server is not available",
    4: "the server refuses the user name or password",
    5: "the server does not authorise this client",
}
_ADVICE: Final[dict[int, str]] = {
    Reason.CLIENT_ID_NOT_VALID: "the server does not accept the client id",
    Reason.BAD_USER_NAME_OR_PASSWORD: "the server refuses the user name or password",
    Reason.SERVER_UNAVAILABLE: "the server is not available",
    Reason.SERVER_BUSY: "the server is busy",
    Reason.BANNED: "the server has banned this client",
    Reason.SERVER_SHUTTING_DOWN: "the server shuts down",
    Reason.SESSION_TAKEN_OVER: "another client uses the same client id; give each its own",
    Reason.QUOTA_EXCEEDED: "a quota of the server is used up",
    Reason.RETAIN_NOT_SUPPORTED: "the server keeps no retained messages; write status_topic: off",
    Reason.USE_ANOTHER_SERVER: "the server asks to use another server",
    Reason.SERVER_MOVED: "the server has moved",
    Reason.CONNECTION_RATE_EXCEEDED: "the server wants fewer attempts to connect",
}


def reason_text(reason: int) -> str:
    """Return an MQTT 5 reason code in words."""
    try:
        name = Reason(reason).name.replace("_", " ").lower()
    except ValueError:
        return f"reason 0x{reason:02x}"
    return f"{name} (0x{reason:02x})"


def says(words: str | None) -> str:
    """Return a server's own words as the end of a reason, for status, log and ledger; empty if there are none."""
    return f", it says {_quoted(words)}" if words else ""


def _quoted(words: str) -> str:
    return repr(words if len(words) <= _MAX_WORDS else words[:_MAX_WORDS] + "…")


def connack_text(packet: ConnAck, version: int) -> str:
    """Return why the server refused the connection."""
    if version != 5:
        return _RETURN_CODES.get(packet.reason, f"return code {packet.reason}")
    if packet.reason == Reason.NOT_AUTHORIZED:
        return _with_server_words(f"{_RETURN_CODES[5]} (0x{packet.reason:02x})", packet, has_reason=True)
    return _with_server_words(_ADVICE.get(packet.reason, ""), packet)


def disconnect_text(packet: Disconnect) -> str:
    """Return why the server ended the connection."""
    return _with_server_words(_ADVICE.get(packet.reason, "the server ended the connection"), packet)


def _with_server_words(advice: str, packet: ConnAck | Disconnect, *, has_reason: bool = False) -> str:
    reason = reason_text(packet.reason)
    text = advice if has_reason else f"{advice}: {reason}" if advice else reason
    properties = packet.properties
    if properties is None:
        return text
    if properties.server_reference:
        text += f", {_quoted(properties.server_reference)}"
    return text + says(properties.reason_string)
