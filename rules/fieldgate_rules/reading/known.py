"""What whoever reads rules may say of the gateway that they are for, and what he gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location
from fieldgate_rules.model import ParameterSpec
from fieldgate_rules.rule import RuleSet

__all__ = ["Known", "ReadRules", "TemplateFacts", "UplinkKind"]

UplinkKind = Literal["mqtt", "self", "webhook"]


@dataclass(frozen=True, slots=True)
class Known:
    """The gateway's configuration, as far as it is known: what is None is not checked against.

    ``uplinks`` are their names and kinds (``self`` is the gateway's own listener as an uplink), ``devices`` the names
    of devices with their profiles, an empty text for one without.
    """

    uplinks: Mapping[str, UplinkKind] | None = None
    devices: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """A template: one of the files that were read."""

    name: str
    where: Location
    description: str
    parameters: Mapping[str, ParameterSpec]


@dataclass(frozen=True, slots=True)
class ReadRules:
    """``rules`` are those without problems; whoever puts rules in force takes them only if ``is_valid``.

    ``problems`` are sorted by place, warnings among them. ``used`` says of which template a rule is made.
    """

    rules: RuleSet
    problems: tuple[Problem, ...] = ()
    templates: Mapping[str, TemplateFacts] = field(default_factory=dict)
    used: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Whether nothing but warnings was found."""
        return all(problem.is_warning for problem in self.problems)
