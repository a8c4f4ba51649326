"""All profiles of a gateway: which contract a message falls under.

Of several that match, the one that says most about the topic counts, then the one with more JSON conditions, then your
own before the built-in ones, then the id in the order of letters. The answer for a topic is worked out once. A source
that names a profile is of that profile, whatever others say of its topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fieldgate_devices.breach import Breach
from fieldgate_devices.commands import Commands
from fieldgate_devices.conditions import Conditions
from fieldgate_devices.contract import Contract
from fieldgate_devices.fast_json import Fast, compile_fast
from fieldgate_devices.matching import DeviceName, Matcher, json_or_word

__all__ = ["Assigned", "Candidate", "Catalogue", "LazyContract", "choose"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contract that messages of one topic may fall under.

    ``conditions`` None: they do. ``device`` is its name where the topic alone says it.
    """

    contract: Contract
    captures: Mapping[str, str]
    conditions: Conditions | None
    device: str | None
    fast: Fast | None


@dataclass(frozen=True, slots=True)
class Assigned:
    """What a source says of its messages: whose they are. ``source`` is its name, for people.

    ``device`` is the name where the profile's own template does not say more.
    """

    profile: str
    device: str
    source: str


@dataclass(frozen=True, slots=True)
class LazyContract:
    """What is known of a contract before it is needed; ``make`` makes it.

    ``matchers`` say which messages are its own, one for each of the contract's; ``commands`` are the topics of its
    commands; ``silent_after`` is in seconds.
    """

    id: str
    matchers: tuple[Matcher, ...]
    commands: tuple[str, ...]
    silent_after: float | None
    make: Callable[[], Contract]


class _Contracts(Mapping[str, Contract]):
    """Contracts by id, each made when it is first asked for."""

    def __init__(self, known: Mapping[str, Contract | LazyContract]) -> None:
        self._known = dict(known)
        self._fast: dict[str, Fast | None] = {}

    def __getitem__(self, name: str) -> Contract:
        one = self._known[name]
        if isinstance(one, LazyContract):
            one = self._known[name] = one.make()
        return one

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def fast(self, name: str) -> Fast | None:
        """Return the fast reader of the contract, where it can have one."""
        if name not in self._fast:
            self._fast[name] = compile_fast(self[name])
        return self._fast[name]


class Catalogue:
    """``own`` and ``built_in`` contracts; no id may stand twice. ``assigned`` is what sources say, by topic."""

    def __init__(
        self,
        own: Sequence[Contract] = (),
        built_in: Sequence[Contract | LazyContract] = (),
        assigned: Mapping[str, Assigned] | None = None,
    ) -> None:
        known = {_id(one): one for one in (*own, *built_in)}
        self.own = frozenset(_id(one) for one in own)
        self._contracts = _Contracts(known)
        self._assigned = {topic: one for topic, one in (assigned or {}).items() if one.profile in known}
        self._silent_after = {name: limit for name, one in known.items() if (limit := _silent_after(one)) is not None}
        self._commands = Commands((topic, name) for name, one in known.items() for topic in _commands(one))
        ordered = [
            (matcher.rank, name in self.own, name, number, matcher)
            for name, one in known.items()
            for number, matcher in enumerate(one.matchers)
        ]
        ordered.sort(key=lambda one: one[2])
        ordered.sort(key=lambda one: one[:2], reverse=True)
        self._ordered = [(matcher, name, number) for _, _, name, number, matcher in ordered]

    @property
    def contracts(self) -> Mapping[str, Contract]:
        """All of them by id. One that comes with Fieldgate is made when it is first taken from here."""
        return self._contracts

    def candidates(self, topic: str) -> list[Candidate]:
        """Return what a message of this topic may be, the best first; ends with the first that has no conditions."""
        assigned = self._assigned.get(topic)
        if assigned is not None:
            return [self._of_source(assigned, topic)]
        found: list[Candidate] = []
        for matcher, name, number in self._ordered:
            captures = matcher.of_topic(topic)
            if captures is None:
                continue
            contract = self._contracts[name]
            called = contract.name_of(contract.matchers[number])
            device = _name_in(called, captures, topic)
            fast = self._contracts.fast(name) if device is not None else None
            found.append(Candidate(contract, captures, matcher.conditions, device, fast))
            if matcher.conditions is None:
                break
        return found

    def _of_source(self, assigned: Assigned, topic: str) -> Candidate:
        contract = self._contracts[assigned.profile]
        captures = {"device": assigned.device}
        device = _name_in(contract.device_name, captures, topic)
        return Candidate(
            contract, captures, None, device, self._contracts.fast(assigned.profile) if device is not None else None
        )

    def find(self, topic: str, payload: bytes) -> Candidate | None:
        """Return the contract that this message falls under, if any."""
        return choose(self.candidates(topic), payload)

    @property
    def silent_after(self) -> Mapping[str, float]:
        """After how many seconds devices count as silent, by profile; those without that are not in it."""
        return self._silent_after

    @property
    def commands(self) -> int:
        """How many commands the profiles name, all together."""
        return self._commands.count

    def command_of(self, topic: str) -> str:
        """Return the profile that names ``topic`` as one of its commands, or an empty text.

        What a local client publishes there is meant for the device, and no event. To be asked once per topic.
        """
        return self._commands.profile_of(topic)


def _name_in(called: DeviceName, captures: Mapping[str, str], topic: str) -> str | None:
    """The device's name if the topic alone says it; one that cannot be a name is the contract's to refuse."""
    if not called.is_of_topic:
        return None
    try:
        return called.of({}, captures, topic)
    except Breach:
        return None


def _id(one: Contract | LazyContract) -> str:
    return one.id if isinstance(one, LazyContract) else one.profile.profile


def _silent_after(one: Contract | LazyContract) -> float | None:
    return one.silent_after if isinstance(one, LazyContract) else one.profile.silent_after


def _commands(one: Contract | LazyContract) -> Sequence[str]:
    if isinstance(one, LazyContract):
        return one.commands
    return [topic for command in one.profile.commands.values() for topic in command.topics]


def choose(candidates: Sequence[Candidate], payload: bytes) -> Candidate | None:
    """Return the first candidate whose conditions hold."""
    value: object = None
    for number, one in enumerate(candidates):
        if one.conditions is None:
            return one
        if number == 0:
            value = json_or_word(payload)
        if one.conditions.hold(value):
            return one
    return None
