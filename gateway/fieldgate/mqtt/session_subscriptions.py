"""The answers to one client's SUBSCRIBE and UNSUBSCRIBE, and the retained messages that follow a subscription.

Each filter of a packet is answered by itself [MQTT-3.9.3-1]; SUBACK goes before the retained messages. What a client's
searches of the retained messages cost is bounded per second: a SUBSCRIBE of 12 bytes must not buy a walk over all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fieldgate.mqtt.handshake import SessionLimits
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import (
    Packet,
    Properties,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
)
from fieldgate.mqtt.session_output import SessionOutput
from fieldgate.mqtt.session_state import SessionState
from fieldgate.mqtt.topics import has_control, valid_filter
from fieldgate.mqtt.violation import Violation

__all__ = ["SessionSubscriptions"]

_SEARCH_BUDGET: Final = 200_000  # retained topics that a client's searches may visit between two ticks before the next
_FAILURE: Final = 0x80  # the one code that 3.1.1 has [3.1.1: 3.9.3]


_PROBLEMS: Final[dict[int, str]] = {
    Reason.TOPIC_FILTER_INVALID: "it has too many levels, or is no shared subscription",
    Reason.NOT_AUTHORIZED: "the user may not subscribe to all of it",
    Reason.QUOTA_EXCEEDED: "too many subscriptions, or too long ones",
}


class SessionSubscriptions:
    """What one client subscribes to, while it is connected."""

    __slots__ = ("_broker", "_budget", "_limits", "_output", "_state")

    def __init__(self, broker: LocalBroker, state: SessionState, output: SessionOutput, limits: SessionLimits) -> None:
        self._limits = limits
        self._broker = broker
        self._state = state
        self._output = output
        self._budget = _SEARCH_BUDGET

    def tick(self) -> None:
        """The client may search again; to be called a few times per second."""
        self._budget = _SEARCH_BUDGET

    def subscribe(self, packet: Subscribe, now_s: float) -> None:
        """Answer SUBSCRIBE [MQTT-3.8.4-1 to 8].

        Raises:
            Violation: a filter has a control character; the searches that the client asks for, or what they find, go
                over its limits.
        """
        _check(options.filter for options in packet.subscriptions)
        state, is_v5 = self._state, self._output.version == 5
        ids = packet.properties.subscription_ids if packet.properties is not None else ()
        subscription_id = ids[0] if ids else 0
        codes: list[int] = []
        problem = ""
        wanting: list[Subscription] = []
        for number, options in enumerate(packet.subscriptions, 1):
            code, is_new = self._subscribe(options, subscription_id)
            codes.append(code if code < _FAILURE or is_v5 else _FAILURE)
            if code >= _FAILURE:
                problem = problem or f"filter {number}: {_PROBLEMS.get(code, 'refused')}"
            elif options.retain_handling == 0 or (options.retain_handling == 1 and is_new):
                wanting.append(options)
        self._output.send(_explained(SubAck(packet.packet_id, tuple(codes)), problem))
        if state.client is None:  # that was more than its socket may hold, and the end of the connection
            return
        for options in wanting:
            if self._budget <= 0:
                raise Violation(Reason.MESSAGE_RATE_TOO_HIGH, "too many searches of the retained messages")
            self._budget -= self._broker.send_retained(state, options, subscription_id, now_s=now_s)
        state.outbound.pump(now_s)

    def _subscribe(self, options: Subscription, subscription_id: int) -> tuple[int, bool]:
        """Make one subscription; answers its reason code and whether it is new."""
        state, limits, broker = self._state, self._limits, self._broker
        wanted = options.filter
        if not valid_filter(wanted):  # a shared one that is none
            return Reason.TOPIC_FILTER_INVALID, False
        if wanted.count("/") >= limits.max_topic_levels:
            broker.refused["topic_levels"] += 1
            return Reason.TOPIC_FILTER_INVALID, False
        if state.rights is not None and not state.rights.may_subscribe(wanted):
            return Reason.NOT_AUTHORIZED, False
        if wanted not in state.subscriptions and (
            len(state.subscriptions) >= limits.max_subscriptions
            or state.filter_bytes + len(wanted.encode()) > limits.max_filter_bytes
        ):
            broker.refused["client_subscriptions"] += 1
            return Reason.QUOTA_EXCEEDED, False
        return broker.subscribe(state, options, subscription_id)

    def unsubscribe(self, packet: Unsubscribe) -> None:
        """Answer UNSUBSCRIBE [MQTT-3.10.4-4 to 6]; what was queued or is in flight is still delivered.

        Raises:
            Violation: a filter has a control character.
        """
        _check(packet.filters)
        codes = tuple(
            Reason.SUCCESS if self._broker.unsubscribe(self._state, one) else Reason.NO_SUBSCRIPTION_EXISTED
            for one in packet.filters
        )
        self._output.send(UnsubAck(packet.packet_id, codes if self._output.version == 5 else ()))


def _check(filters: Iterable[str]) -> None:
    if any(map(has_control, filters)):
        raise Violation(Reason.MALFORMED_PACKET, "a topic filter has a control character")


def _explained(packet: SubAck, problem: str) -> Packet:
    if problem:
        packet.properties = Properties(reason_string=problem)
    return packet
