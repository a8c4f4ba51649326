"""Which rules give one field a value, found by the events that they are on and not by looking at each other one."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate_rules.rule import EventTrigger, Rule

__all__ = ["Setters"]

_ALL = ""


class Setters:
    """The rules that set one field. Globs are compared as they are written, so that what is said is true."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], str] = {}
        self._of_type: dict[str, str] = {}
        self._of_device: dict[str, str] = {}

    def add(self, rule: Rule) -> None:
        """There is this one."""
        for type_, device in _pairs(rule):
            self._pairs.setdefault((type_, device), rule.id)
            self._of_type.setdefault(type_, rule.id)
            self._of_device.setdefault(device, rule.id)

    def other(self, rule: Rule) -> str | None:
        """Return the id of another one for some of the same events, if there is one."""
        found = (one for pair in _pairs(rule) for one in self._like(*pair))
        return next((one for one in found if one is not None and one != rule.id), None)

    def _like(self, type_: str, device: str) -> Iterator[str | None]:
        yield self._pairs.get((type_, device))
        if type_ == _ALL:
            yield self._of_device.get(device)
        if device == _ALL:
            yield self._of_type.get(type_)
        if type_ == device == _ALL:
            yield next(iter(self._pairs.values()), None)
        yield self._pairs.get((_ALL, device))
        yield self._pairs.get((type_, _ALL))
        yield self._pairs.get((_ALL, _ALL))


def _pairs(rule: Rule) -> Iterator[tuple[str, str]]:
    """Type and device of each entry of ``on``, empty for all; tags are not looked into."""
    for trigger in rule.triggers:
        if isinstance(trigger, EventTrigger) and trigger.tagged_devices is None:
            for type_ in sorted(trigger.types) or [_ALL]:
                for device in trigger.devices or [_ALL]:
                    yield type_, device
