"""Which publishes of a listener are events, and the part of their content id that depends on the topic.

Answers are remembered for the topics that are in use; what is remembered is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from xxhash import xxh3_64_intdigest

from fieldgate.mqtt.packets import Reason
from fieldgate.mqtt.topics import has_control, is_reserved, matches, topic_problem, valid_topic
from fieldgate.mqtt.violation import Violation

__all__ = ["EventFilter", "TopicRefused", "client_seed", "content_id"]

_EVERYTHING: Final = "#"
_NEVER_BY_DEFAULT: Final = ("homeassistant", "fieldgate")
_MAX_LEVELS: Final = 201
_MAX_KNOWN: Final = 8192
_MAX_KNOWN_TOPIC: Final = 256  # longer topics are judged each time


def client_seed(client_id: str) -> int:
    """The part of a content id that depends on the client."""
    return xxh3_64_intdigest(client_id.encode("utf-8", "surrogatepass"), 1)


def content_id(*, client_seed: int, topic_seed: int, packet_id: int, payload: bytes) -> int:
    """The 64-bit hash by which a message that was sent again is recognised; the same in every process."""
    return xxh3_64_intdigest(payload, topic_seed ^ client_seed ^ packet_id)


class TopicRefused(Violation):
    """Nobody may publish to this topic; who tries may stay if it can be told."""


class EventFilter:
    """The ``events`` of one ``listen`` entry.

    ``#`` leaves out what is not for the flow: ``$…``, ``homeassistant/#`` and ``fieldgate/#``; a filter that names
    them takes them. A filter that ends with ``#`` leaves out topics of commands, too, which ``use`` tells; one that
    writes all levels takes them. ``seeds`` holds the events' topics judged so far, for the hot path.
    """

    def __init__(self, filters: Sequence[str], *, max_levels: int = _MAX_LEVELS) -> None:
        self.seeds: dict[str, int] = {}
        self._others: set[str] = set()
        self._filters = tuple(filters)
        self._max_levels = max_levels
        self._is_command: Callable[[str], bool] = _is_never

    def use(self, is_command: Callable[[str], bool]) -> None:
        """From now on ``is_command`` says which topics are those of commands; every topic is judged anew."""
        self._is_command = is_command
        self.seeds.clear()
        self._others.clear()

    def seed(self, topic: str) -> int | None:
        """The topic's part of the content id if publishes to it are events, else None.

        Raises:
            TopicRefused: the topic is the broker's own.
            Violation: no client should send such a topic.
        """
        seed = self.seeds.get(topic)
        if seed is not None:
            return seed
        if topic in self._others:
            return None
        self._check(topic)
        is_event = self._is_event(topic)
        if is_event:
            seed = xxh3_64_intdigest(topic.encode())
        if len(topic) <= _MAX_KNOWN_TOPIC:
            if len(self.seeds) + len(self._others) >= _MAX_KNOWN:
                self.seeds.clear()
                self._others.clear()
            if seed is None:
                self._others.add(topic)
            else:
                self.seeds[topic] = seed
        return seed

    def _check(self, topic: str) -> None:
        if not valid_topic(topic):
            raise Violation(Reason.TOPIC_NAME_INVALID, "the topic is none")
        if has_control(topic):
            raise Violation(Reason.MALFORMED_PACKET, "the topic has a control character")
        problem = topic_problem(topic, max_levels=self._max_levels)
        if is_reserved(topic):
            raise TopicRefused(Reason.NOT_AUTHORIZED, problem)
        if problem:
            raise Violation(Reason.TOPIC_NAME_INVALID, problem)

    def _is_event(self, topic: str) -> bool:
        taking = [one for one in self._filters if matches(one, topic)]
        if topic.split("/", 1)[0] in _NEVER_BY_DEFAULT:
            taking = [one for one in taking if one != _EVERYTHING]
        if not taking or not all(one.endswith("#") for one in taking):
            return bool(taking)
        return not self._is_command(topic)


def _is_never(_topic: str) -> bool:
    return False
