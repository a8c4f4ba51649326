"""What a broker allows, against what the configuration wants of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fieldgate.doctor.ask_broker import BrokerAnswer
from fieldgate.doctor.finding import Figure, Finding
from fieldgate.mqtt.packets import Properties, Reason
from fieldgate_devices.files.quantities import about_size

__all__ = ["BrokerWishes", "broker_findings"]

_FEW_IN_FLIGHT: Final = 10
_SLOW_PER_S: Final = 100.0
_SMALL_BYTES: Final = 16 * 1024
_ABOUT_ID: Final = frozenset({2, Reason.CLIENT_ID_NOT_VALID})
_ABOUT_RIGHTS: Final = frozenset({5, Reason.NOT_AUTHORIZED})
_VERSIONS: Final = {4: "3.1.1", 5: "5"}


@dataclass(frozen=True, slots=True)
class BrokerWishes:
    """What the configuration wants: retained messages, QoS 1, events in a message, packets so large, a window.

    ``is_connected``: the running gateway is connected to that broker now.
    """

    wants_retain: bool = False
    wants_qos_1: bool = True
    events_each: int = 1
    largest_bytes: int = 0
    window: int = 0
    is_connected: bool = False


def broker_findings(answer: BrokerAnswer, wishes: BrokerWishes, *, about: str, broker: str) -> Iterator[Finding]:
    """Judge the CONNACK."""
    if answer.refusal:
        yield _refused(answer, wishes, about, broker)
        return
    said = answer.connack.properties or Properties()
    figures = _figures(answer, said)
    yield Finding("uplink.accepts", f"{broker} lets us in: {_told(answer, said)}", about=about, figures=figures)
    if said.maximum_qos == 0 and wishes.wants_qos_1:
        yield Finding(
            "uplink.qos_0_only",
            f"{broker} takes messages with QoS 0 only, which confirms nothing: no event can be sent there safely",
            "allow QoS 1 at the broker (mosquitto: max_qos)",
            about=about,
            figures=figures,
        )
    if said.retain_available == 0 and wishes.wants_retain:
        yield Finding(
            "uplink.no_retain",
            f"{broker} keeps no retained messages, and the uplink wants to leave one: it will be refused",
            "write 'status_topic: off' (and no 'home_assistant'), or allow it there (mosquitto: retain_available)",
            about=about,
            figures=figures,
        )
    yield from _flow(answer, said, wishes, about, broker, figures)
    yield from _sizes(said, wishes, about, broker, figures)


def _refused(answer: BrokerAnswer, wishes: BrokerWishes, about: str, broker: str) -> Finding:
    figures: dict[str, Figure] = {"reason": answer.connack.reason, "client_id": answer.client_id}
    seen = f"{broker} says no: {answer.refusal}"
    is_about_us = answer.connack.reason in _ABOUT_ID or answer.connack.reason in _ABOUT_RIGHTS
    if is_about_us and (wishes.is_connected or answer.connack.reason in _ABOUT_ID):
        state = "; the gateway itself is connected" if wishes.is_connected else ""
        return Finding(
            "uplink.probe_refused",
            f"{seen} to the client id {answer.client_id!r}, under which this looks, to disturb no session{state}",
            "nothing, if the broker lets in certain client ids only; what it allows was not found out",
            about=about,
            figures=figures,
        )
    return Finding(
        "uplink.refused",
        seen,
        "are 'username' and 'password' the right ones? If the broker ties them to the client id, it refuses "
        f"{answer.client_id!r}, under which this looks, and 'fieldgate status' tells how the gateway itself fares"
        if answer.connack.reason in _ABOUT_RIGHTS
        else "see what the broker's own log says of it",
        about=about,
        figures=figures,
    )


def _figures(answer: BrokerAnswer, said: Properties) -> dict[str, Figure]:
    return {
        "mqtt": _VERSIONS[answer.version],
        "connack_ms": answer.connack_ms,
        "ping_ms": answer.ping_ms,
        "receive_maximum": said.receive_maximum or (65_535 if answer.version == 5 else None),
        "maximum_packet_bytes": said.maximum_packet_size,
        "maximum_qos": 2 if said.maximum_qos is None else said.maximum_qos,
        "retain_available": said.retain_available != 0,
        "topic_alias_maximum": said.topic_alias_maximum or 0,
        "server_keep_alive_s": said.server_keep_alive_s,
    }


def _told(answer: BrokerAnswer, said: Properties) -> str:
    parts = [f"MQTT {_VERSIONS[answer.version]}"]
    if answer.ping_ms is not None:
        parts.append(f"{answer.ping_ms:.1f} ms there and back")
    if answer.version == 5:
        parts.append(f"Receive Maximum {said.receive_maximum or 65_535:,}")
        largest = said.maximum_packet_size
        parts.append(f"packets up to {about_size(largest)}" if largest else "packets of any size")
        parts.append(f"QoS up to {2 if said.maximum_qos is None else said.maximum_qos}")
        parts.append("retained messages" if said.retain_available != 0 else "no retained messages")
    return ", ".join(parts)


def _flow(
    answer: BrokerAnswer, said: Properties, wishes: BrokerWishes, about: str, broker: str, figures: dict[str, Figure]
) -> Iterator[Finding]:
    """So many messages may be on the way, and each is for as long as the way is: that bounds the rate."""
    if said.receive_maximum is None or not wishes.window:
        return
    on_the_way = min(said.receive_maximum, wishes.window)
    per_s = on_the_way / (answer.ping_ms / 1e3) * wishes.events_each if answer.ping_ms else None
    if on_the_way < _FEW_IN_FLIGHT or (per_s is not None and per_s < _SLOW_PER_S):
        rate = (
            f": {per_s:,.0f} events a second at most, over a way of {answer.ping_ms:.1f} ms, if it is quick"
            if per_s
            else ""
        )
        yield Finding(
            "uplink.receive_maximum_low",
            f"{broker} takes {on_the_way} messages at a time that are not acknowledged yet{rate}",
            "raise it at the broker (mosquitto: max_inflight_messages; EMQX: max_inflight), or send many events in a "
            "message: 'format: cloudevents-batch'",
            about=about,
            figures={**figures, "events_per_s": None if per_s is None else round(per_s, 1)},
        )


def _sizes(
    said: Properties, wishes: BrokerWishes, about: str, broker: str, figures: dict[str, Figure]
) -> Iterator[Finding]:
    largest = said.maximum_packet_size
    if largest is None or largest >= wishes.largest_bytes:
        return
    seen = (
        f"{broker} takes packets of {about_size(largest)} at most, and the listeners take "
        f"{about_size(wishes.largest_bytes)}: larger events are parked"
    )
    if largest < _SMALL_BYTES:
        advice = "raise it at the broker (mosquitto: max_packet_size); 'fieldgate parked list' shows what was too large"
        yield Finding("uplink.packet_size_low", seen, advice, about=about, figures=figures)
    else:
        yield Finding("uplink.packet_size", seen, about=about, figures=figures)
