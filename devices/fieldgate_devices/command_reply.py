"""The reply by which a device confirms a command: on which topic, and what it must say."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fieldgate_devices.command_model import ReplySpec
from fieldgate_devices.command_template import JsonTemplate, TextTemplate
from fieldgate_devices.conditions import TEXT, Conditions
from fieldgate_devices.matching import json_or_word

__all__ = ["Reply"]


class Reply:
    """What is waited for, for one command. ``topic`` is empty where the reply comes from where the command went.

    Raises:
        Unfilled: it cannot be made of these values.
    """

    __slots__ = ("_conditions", "_pattern", "topic")

    def __init__(self, spec: ReplySpec, values: Mapping[str, object], optional: frozenset[str] = frozenset()) -> None:
        self.topic = "" if spec.mqtt is None else TextTemplate(spec.mqtt).fill(values)
        wanted = JsonTemplate(spec.json_, optional=optional).fill(values)
        assert isinstance(wanted, dict)
        if spec.text:
            wanted[TEXT] = [TextTemplate(one).fill(values) for one in spec.text]
        self._conditions = Conditions(wanted) if wanted else None
        self._pattern = None if spec.pattern is None else re.compile(spec.pattern.encode())

    def is_said_by(self, payload: bytes) -> bool:
        """Whether a message on that topic is the reply."""
        if self._pattern is not None and self._pattern.search(payload) is None:
            return False
        return self._conditions is None or self._conditions.hold(json_or_word(payload))
