"""Events of a test that are written by their fields: ``{device: boiler-1, temperature: 85}``.

Each field is held against the contract of the device as a message's would be: its kind, its range, its values. A field
that is not written is not there, whatever the contract says of it: a test says what matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import GENERIC, Address, Lane
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.fields import FieldReader, json_value
from fieldgate_devices.files.model_tree import key_names
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.names import name_problem
from fieldgate_rules.condition import EventKind
from fieldgate_rules.model.tests import GivenSpec
from fieldgate_rules.rule import EventTrigger, RuleSet
from fieldgate_rules.tester.messages import LANES_BY_NAME, Said

__all__ = ["NotInContract", "ShortForms"]

_NO_NAME: Final = re.compile("[\x00-\x1f\x7f-\x9f+#]")
_encode = msgspec.json.Encoder().encode


class NotInContract(ValueError):
    """A field that cannot be so; ``name`` is the key at fault, empty where it is the whole entry."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.name = name


@dataclass(frozen=True, slots=True)
class _Type:
    """What is known of a type of events; ``kind`` None: anything goes."""

    name: str
    version: int
    lane: int
    kind: EventKind | None

    def knows(self, field: str) -> bool:
        """Whether its events may have such a field."""
        return self.kind is None or self.kind.keeps_others or bool(self.kind.specs_of(field))


class ShortForms:
    """Makes events of fields. ``rules`` are those under test: they say of which profile a device is."""

    def __init__(self, catalogue: Catalogue, rules: RuleSet) -> None:
        self._catalogue = catalogue
        self._rules = rules
        self._derived = rules.kinds
        self._triggers = [one for rule in rules.rules for one in rule.triggers if isinstance(one, EventTrigger)]
        self._type_of: dict[str, str] = {}
        self._types: dict[str, _Type] = {}

    def read(self, spec: GivenSpec, device: str) -> Said:
        """Return the event of one device that an entry stands for.

        Raises:
            NotInContract: it can be no event of that device.
        """
        if not device or len(device) > 256 or _NO_NAME.search(device):
            raise NotInContract("device", f"{device!r} cannot be the name of a device")
        written = {**spec.others, **spec.fields}
        of = self._type(self._name_of_type(spec, device, written))
        values = {name: _value(of, name, one) for name, one in written.items() if one is not None}
        declared = {} if of.kind is None else of.kind.fields
        fields: dict[str, object] = {}
        for name, one in declared.items():  # in the order that a message's have
            if name in values:
                fields[name] = values.pop(name)
            elif one.default is not None:
                fields[name] = one.default
        lane = of.lane if spec.lane is None else LANES_BY_NAME[spec.lane]
        topic = device.replace(".", "/") if of.name == GENERIC else f"test/{device}"
        return Said(Address(device, of.name, topic, of.version), _encode({**fields, **values}), True, lane)

    def is_taken(self, said: Said) -> bool:
        """Whether any of the rules is asked about this event, or looks at what the device said."""
        type_, device = said.address.type, said.address.device
        for rule in self._rules.rules:
            if any(device == one for one, _ in rule.reads.last):
                return True
            if any(fnmatchcase(device, glob) for step in rule.steps for glob in step.devices):
                return True
        return any(trigger.takes(type_, device, said.lane) for trigger in self._triggers)

    def _name_of_type(self, spec: GivenSpec, device: str, written: Mapping[str, object]) -> str:
        """The type of a device's events: what the entry says, what it was before, or what the rules are on."""
        if spec.profile is None:
            if device not in self._type_of:
                self._type_of[device] = self._guess(device, written)
            return self._type_of[device]
        known = [*self._catalogue.contracts, *self._derived, GENERIC]
        if spec.profile not in known:
            hint = did_you_mean(spec.profile, known)
            raise NotInContract("profile", f"there is no profile {spec.profile!r}, and no rule emits it{hint}")
        if spec.profile not in self._derived:
            self._type_of[device] = spec.profile
        return spec.profile

    def _guess(self, device: str, written: Mapping[str, object]) -> str:
        taking = [trigger for trigger in self._triggers if _is_for(trigger, device)]
        named = {name for one in taking for name in (*one.types, *one.tagged_types)}
        types = sorted(name for name in named if name in self._catalogue.contracts)
        fitting = [name for name in types if all(self._type(name).knows(field) for field in written)]
        if len(fitting) > 1:
            said = f"{device!r} may be of {' or '.join(fitting)}; say which, for example profile: {fitting[0]}"
            raise NotInContract("", said)
        if fitting:
            return fitting[0]
        is_any_taken = any(not one.types and not one.tagged_types for one in taking)
        return GENERIC if is_any_taken or not types else types[0]

    def _type(self, name: str) -> _Type:
        found = self._types.get(name)
        if found is None:
            found = self._types[name] = self._made(name)
        return found

    def _made(self, name: str) -> _Type:
        if (derived := self._derived.get(name)) is not None:
            return _Type(name, derived.version, Lane.NORMAL, EventKind(f"event {name!r}", derived.fields))
        if name == GENERIC:
            return _Type(name, 0, Lane.NORMAL, None)
        profile = self._catalogue.contracts[name].profile
        lane = Lane.NORMAL if profile.lane is None else LANES_BY_NAME[profile.lane]
        return _Type(name, profile.version, lane, EventKind.of(profile))


def _is_for(trigger: EventTrigger, device: str) -> bool:
    """Whether a trigger may take events of a device, of some type."""
    if trigger.devices and not any(fnmatchcase(device, glob) for glob in trigger.devices):
        return False
    if trigger.tagged_devices is None or trigger.tagged_types:
        return True
    return any(fnmatchcase(device, glob) for glob in trigger.tagged_devices)


def _value(of: _Type, name: str, written: object) -> object:
    """The value of a field, as its contract has it."""
    if of.kind is None:
        return json_value(written)
    if specs := of.kind.specs_of(name):
        return _checked(specs, name, written)
    if not of.kind.keeps_others:
        raise NotInContract(name, _unknown(of.kind, name))
    if problem := name_problem(name):
        raise NotInContract(name, problem)
    return json_value(written)


def _checked(specs: Sequence[FieldSpec], name: str, written: object) -> object:
    """The value by the first of several declarations that it fits."""
    wrong: Breach | None = None
    for spec in specs:
        plain = FieldSpec(type=spec.type, min=spec.min, max=spec.max, values=spec.values)
        try:
            return FieldReader(name, plain, lenient=False).value_of(written)
        except Breach as breach:
            if spec.unfit == "other":
                return json_value(written)
            wrong = wrong or breach
    assert wrong is not None
    raise NotInContract(name, wrong.detail) from wrong


def _unknown(kind: EventKind, name: str) -> str:
    known = [*kind.fields, *kind.repeated]
    hint = did_you_mean(name, [*kind.fields, *key_names(GivenSpec)]) or f"; known: {', '.join(known[:12])}"
    return f"{kind.label} has no field {name!r}{hint}"
