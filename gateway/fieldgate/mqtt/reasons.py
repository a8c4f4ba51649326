"""Which reason codes each packet may carry [MQTT5 2.4 and the section of each packet], and the return codes of 3.1.1.

A code is accepted from either side: some brokers use those of a client, and nothing is won by refusing it.
"""

from __future__ import annotations

from typing import Final

from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.wire import MalformedPacket

__all__ = ["REASONS", "RETURN_CODES", "check_reason", "check_reasons"]

_PUBLISHED: Final = frozenset((0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
_RELEASED: Final = frozenset((0, 0x92))

REASONS: Final[dict[str, frozenset[int]]] = {
    "CONNACK": frozenset((0, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)),
    "PUBACK": _PUBLISHED,
    "PUBREC": _PUBLISHED,
    "PUBREL": _RELEASED,
    "PUBCOMP": _RELEASED,
    "SUBACK": frozenset((0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    "UNSUBACK": frozenset((0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)),
    "DISCONNECT": frozenset(
        (0, 4, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91), *range(0x93, 0xA3)),
    ),
    "AUTH": frozenset((0, 0x18, 0x19)),
}
"""Packet -> its reason codes in MQTT 5."""

RETURN_CODES: Final[dict[str, frozenset[int]]] = {
    "CONNACK": frozenset(range(6)),  # [3.1.1: 3.2.2.3]
    "SUBACK": frozenset((0, 1, 2, 0x80)),  # [3.1.1: MQTT-3.9.3-2]
}
"""Packet -> its return codes in 3.1.1; the others have none."""


def check_reason(code: int, legal: frozenset[int], name: str) -> int:
    """Answer ``code`` if packet ``name`` may carry it.

    Raises:
        MalformedPacket: it may not (0x82).
    """
    if code not in legal:
        raise MalformedPacket(f"{name} may not carry the code {code:#04x}", Reason.PROTOCOL_ERROR)
    return code


def check_reasons(codes: bytes | tuple[int, ...], legal: frozenset[int], name: str) -> None:
    """Check the list of a SUBACK or UNSUBACK: one code at least, all known.

    Raises:
        MalformedPacket: it is empty or has an unknown code (0x82).
    """
    if not codes:
        raise MalformedPacket(f"{name} has no reason code", Reason.PROTOCOL_ERROR)
    for code in set(codes) - legal:
        check_reason(code, legal, name)
