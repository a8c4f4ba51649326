"""The topics of one uplink's commands: which to subscribe to, what one says, and where its answer goes.

A device stands in a topic as `fieldgate.forward.topic_template` writes it, so that the topic of an event tells the one
of a command. That loses something (``a/b`` and ``a.b`` look alike), so the way back needs the devices that are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fieldgate.config.command_topic import answer_filter, command_filter
from fieldgate.forward.topic_template import device_level
from fieldgate.mqtt.topics import has_control, matches, valid_topic

__all__ = ["Ambiguous", "CommandTopics", "DeviceNames"]

_MAX_REPLY_BYTES = 1024


class Ambiguous(ValueError):
    """A level of a topic may be one device or another."""


class CommandTopics:
    """``filter`` is what to subscribe to; no topic of an answer matches it (`answer` and `problem` see to that)."""

    def __init__(self, template: str, *, gateway: str) -> None:
        self.filter = command_filter(template, gateway)
        self.answers = answer_filter(template, gateway)
        levels = template.split("/")
        self._device_at, self._name_at = levels.index("{device}"), levels.index("{name}")

    def read(self, topic: str) -> tuple[str, str] | None:
        """Return the device's level and the name of the command; None for a topic of something else."""
        if not matches(self.filter, topic):
            return None
        levels = topic.split("/")
        return levels[self._device_at], levels[self._name_at]

    def command(self, device: str, name: str) -> str:
        """Return the topic of a command."""
        levels = self.filter.split("/")
        levels[self._device_at], levels[self._name_at] = device_level(device), name
        return "/".join(levels)

    def answer(self, topic: str) -> str:
        """Return where a command on ``topic`` is answered that names no topic for it."""
        return f"{topic}/{self.answers.rpartition('/')[2]}"

    def problem(self, reply_to: str) -> str:
        """Say why nothing is answered on a Response Topic, which anybody may have written; empty if it may be.

        Not on the topics of commands: the answer would be one. Not on the server's own.
        """
        if not valid_topic(reply_to) or has_control(reply_to):
            return "the response topic is no topic"
        if reply_to.startswith("$"):
            return "the response topic begins with '$'"
        if len(reply_to.encode()) > _MAX_REPLY_BYTES:
            return f"the response topic is longer than {_MAX_REPLY_BYTES} bytes"
        if matches(self.filter, reply_to):
            return "the response topic is one of commands"
        return ""


class DeviceNames:
    """Finds the device that a level of a topic means.

    ``names`` are those of all known devices, ``version`` changes whenever one is added.
    """

    def __init__(self, names: Callable[[], Iterable[str]], version: Callable[[], object]) -> None:
        self._names = names
        self._version = version
        self._known_at: object = None
        self._odd: dict[str, list[str]] = {}  # level -> the devices whose names it does not spell out

    def of_level(self, level: str) -> str:
        """Return the name of the device, which is the level itself where no device is known by another name.

        Raises:
            Ambiguous: several devices look like this.
        """
        version = self._version()
        if version != self._known_at:
            self._known_at = version
            self._look()
        odd = self._odd.get(level)
        if odd is None:
            return level
        found = sorted({*odd, *(name for name in self._names() if name == level)})
        if len(found) > 1:
            raise Ambiguous(f"{level!r} may mean {' or '.join(map(repr, found[:3]))}")
        return found[0]

    def _look(self) -> None:
        self._odd = {}
        for name in set(self._names()):
            level = device_level(name)
            if level != name:
                self._odd.setdefault(level, []).append(name)
