"""Which device a command is for, and what it means for it: the registry, the profiles and who reaches the device."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from fieldgate.decide.desk_contract import Refusal, Target
from fieldgate.decide.orders import CLI, Executor, Order
from fieldgate.device_watch import DeviceWatch
from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.command import Command, CommandRefused
from fieldgate_devices.contract import Contract
from fieldgate_devices.event import GENERIC
from fieldgate_devices.files.validate import did_you_mean

__all__ = ["DeviceDirectory", "Known"]

_NEAR: Final = 2  # characters by which a name that was mistyped is longer or shorter
_MAX_COMPARED: Final = 2000
_MAX_NAME: Final = 100

Choose = Callable[[object, str], Executor | None]
"""Takes a request and the device's topic; returns who carries it out."""


class Known:
    """A device that can be told something: its contract, the topic it was heard on last, and what that topic says."""

    __slots__ = ("captures", "contract", "device", "topic")

    def __init__(self, device: str, contract: Contract, topic: str, captures: Mapping[str, str]) -> None:
        self.device = device
        self.contract = contract
        self.topic = topic
        self.captures = captures


class DeviceDirectory:
    """Implements `fieldgate.decide.desk_contract.Directory`. ``assigned`` are devices that the configuration names."""

    def __init__(
        self, devices: DeviceWatch, catalogue: Catalogue, *, assigned: Mapping[str, Assigned], choose: Choose
    ) -> None:
        self._devices = devices
        self._assigned = assigned
        self._choose = choose
        self._catalogue = catalogue
        self._commands: dict[tuple[str, str], Command] = {}

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles."""
        self._catalogue = catalogue
        self._commands.clear()

    def is_known(self, device: str) -> bool:
        """Whether there is a device of this name."""
        devices = self._devices.registry.devices
        kinds = (GENERIC, *self._catalogue.contracts)
        return any((kind, device) in devices for kind in kinds) or device in self._assigned_names()

    def _assigned_names(self) -> set[str]:
        return {one.device for one in self._assigned.values()}

    def find(self, device: str, *, is_for_person: bool = True) -> list[Known]:
        """Return what is known of the devices of this name, the one that was heard last first.

        ``is_for_person``: a refusal says which name may have been meant; programs do not pay for that.

        Raises:
            Refusal: there is none, or none with a profile.
        """
        self._devices.registry.fold()
        found = list(self._heard(device)) or list(self._configured(device))
        if found:
            return found
        if (GENERIC, device) in self._devices.registry.devices:
            raise Refusal(f"{device!r} has no profile, so nothing is known of what it can be told")
        if (missing := next((one for one in self._assigned.values() if one.device == device), None)) is not None:
            raise Refusal(f"{device!r} is of profile {missing.profile!r}, which is not in use")
        raise Refusal(f"no device {device!r} is known{self._like(device) if is_for_person else ''}")

    def _like(self, device: str) -> str:
        names = {name for _, name in self._devices.registry.devices} | self._assigned_names()
        near = (name for name in names if abs(len(name) - len(device)) <= _NEAR)
        like = difflib.get_close_matches(device, islice(near, _MAX_COMPARED), n=1) if len(device) <= _MAX_NAME else []
        return f"; did you mean {like[0]!r}?" if like else ""

    def _heard(self, device: str) -> Iterator[Known]:
        contracts = self._catalogue.contracts
        devices = self._devices.registry.devices
        heard = [one for kind in contracts if (one := devices.get((kind, device))) is not None]
        for one in sorted(heard, key=lambda each: each.last_s, reverse=True):
            contract = contracts[one.type]
            captures: dict[str, str] = {}
            for topic in one.topics:  # the newest last, which counts
                captures.update(_captures(contract, topic))
            yield Known(device, contract, next(reversed(one.topics), ""), captures | {"device": device})

    def _configured(self, device: str) -> Iterator[Known]:
        for topic, one in self._assigned.items():
            if one.device == device and one.profile in self._catalogue.contracts:
                yield Known(device, self._catalogue.contracts[one.profile], topic, {"device": device})

    def command(self, device: str, name: str, *, is_for_person: bool = True) -> tuple[Known, Command]:
        """Return what a device is told by a command of this name.

        Raises:
            Refusal: the device is not known, or has no such command.
        """
        found = self.find(device, is_for_person=is_for_person)
        for known in found:
            if name in known.contract.profile.commands:
                return known, self._command(known.contract, name)
        profile = found[0].contract.profile
        commands = sorted({command for known in found for command in known.contract.profile.commands})
        if not commands:
            raise Refusal(f"{device!r} is a {profile.profile}, which has no commands")
        hint = did_you_mean(name, commands) or f"; it has {', '.join(commands)}"
        raise Refusal(f"{profile.profile} has no command {name!r}{hint}")

    def _command(self, contract: Contract, name: str) -> Command:
        key = contract.profile.profile, name
        if key not in self._commands:
            self._commands[key] = Command(name, contract.profile.commands[name])
        return self._commands[key]

    def target(self, order: Order) -> Target:
        """See `Directory`."""
        known, command = self.command(order.device, order.name, is_for_person=order.origin == CLI)
        try:
            request = command.request(command.check(order.arguments), known.captures, order.id)
        except CommandRefused as refused:
            raise Refusal(str(refused)) from None
        executor = self._choose(request, known.topic)
        if executor is None:
            raise Refusal(
                f"nothing reaches {order.device!r}: it was heard on {known.topic!r}, and commands go elsewhere"
            )
        return Target(request, known.topic, executor, command.spec.timeout, command.spec.max_age)


def _captures(contract: Contract, topic: str) -> dict[str, str]:
    """What the profile's patterns catch of a topic on which the device was heard."""
    found: dict[str, str] = {}
    for matcher in contract.matchers:
        found.update(matcher.of_topic(topic) or {})
    return found
