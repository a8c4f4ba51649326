"""All profiles of a gateway: which contract a message falls under.

Of several that match, the one that says most about the topic counts, then the one with more JSON conditions, then your
own before the built-in ones, then the id in the order of letters. The answer for a topic is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldgate_devices.conditions import Conditions
from fieldgate_devices.contract import Contract, json_or_nothing
from fieldgate_devices.fast_json import FastRead, compile_fast

__all__ = ["Candidate", "Catalogue", "choose"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contract that messages of one topic may fall under.

    ``conditions`` None: they do. ``device`` is its name where the topic alone says it.
    """

    contract: Contract
    captures: Mapping[str, str]
    conditions: Conditions | None
    device: str | None
    fast: FastRead | None


class Catalogue:
    """``own`` and ``built_in`` contracts; no id may stand twice."""

    def __init__(self, own: Sequence[Contract] = (), built_in: Sequence[Contract] = ()) -> None:
        self.contracts = {one.profile.profile: one for one in (*own, *built_in)}
        self.own = frozenset(one.profile.profile for one in own)
        ordered = [
            (matcher.rank, name in self.own, name, matcher, contract)
            for name, contract in self.contracts.items()
            for matcher in contract.matchers
        ]
        ordered.sort(key=lambda one: one[2])
        ordered.sort(key=lambda one: one[:2], reverse=True)
        self._ordered = [(matcher, contract) for *_, matcher, contract in ordered]
        self._fast = {name: compile_fast(contract) for name, contract in self.contracts.items()}

    def candidates(self, topic: str) -> list[Candidate]:
        """Return what a message of this topic may be, the best first; ends with the first that has no conditions."""
        found: list[Candidate] = []
        for matcher, contract in self._ordered:
            captures = matcher.of_topic(topic)
            if captures is None:
                continue
            name = contract.device_name
            device = name.of({}, captures, topic) if name.is_of_topic else None
            fast = self._fast[contract.profile.profile] if device is not None else None
            found.append(Candidate(contract, captures, matcher.conditions, device, fast))
            if matcher.conditions is None:
                break
        return found

    def find(self, topic: str, payload: bytes) -> Candidate | None:
        """Return the contract that this message falls under, if any."""
        return choose(self.candidates(topic), payload)

    def topics_of_commands(self) -> Iterable[str]:
        """Return the topics that profiles name as commands: what is published there is no event."""
        for contract in self.contracts.values():
            for command in contract.profile.commands.values():
                yield command.publish


def choose(candidates: Sequence[Candidate], payload: bytes) -> Candidate | None:
    """Return the first candidate whose conditions hold."""
    value: object = None
    for number, one in enumerate(candidates):
        if one.conditions is None:
            return one
        if number == 0:
            value = json_or_nothing(payload)
        if one.conditions.hold(value):
            return one
    return None
