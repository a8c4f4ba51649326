"""A file of rules as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from fieldgate_devices.files.model_tree import ModelTree
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName, Number, Plain
from fieldgate_rules.model.rule import Body, RuleSpec
from fieldgate_rules.model.tests import TestSpec
from fieldgate_rules.model.values import Globs, RuleId

__all__ = ["RULES_TREE", "ParameterSpec", "RuleFileSpec", "TemplateSpec"]


class ParameterSpec(Section):
    """What a template is given."""

    type: Literal["number", "text", "truth", "duration", "field", "list"] = Field(
        description="What it is; field: the name of a field."
    )
    default: Any = Field(None, description="Its value where none is given; without one it must be given.")
    min: Number | None = Field(None, description="Least number.")
    max: Number | None = Field(None, description="Greatest number.")
    values: Annotated[tuple[Plain, ...], Field(strict=False, max_length=64)] = Field((), description="What it may be.")
    description: str = Field("", max_length=1000, description="What it means.")


class TemplateSpec(Body):
    """A rule with parameters: ``{name}`` as a whole value is what was given; conditions and texts have it as a name."""

    parameters: dict[FieldName, ParameterSpec] = Field(
        default_factory=dict, max_length=32, description="What it is given, by name."
    )


class RuleFileSpec(Section):
    """All that one file holds."""

    rules: Annotated[tuple[RuleSpec, ...], Field(strict=False, max_length=10_000)] = Field(
        (), description="The rules, in order."
    )
    templates: dict[RuleId, TemplateSpec] = Field(
        default_factory=dict, max_length=256, description="Rules with parameters, for use in all files."
    )
    tags: dict[RuleId, Globs] = Field(
        default_factory=dict, max_length=256, description="Names for groups of devices, for on: {tag: …} in all files.",
        examples=[{"outdoor": ["garden-*", "roof-1"]}],
    )  # fmt: skip
    tests: Annotated[tuple[TestSpec, ...], Field(strict=False, max_length=1000)] = Field(
        (), description="Tests of this file's rules: 'fieldgate rules test'."
    )


RULES_TREE: Final = ModelTree(
    RuleFileSpec,
    name="file of rules",
    stand_ins={
        "id": "stand-in",
        "name": "stand_in",
        "within": "1m",
        "size": "1m",
        "per": "1m",
        "steps": ("true", "true"),
        "values": {"stand_in": {"count": True}},
        "text": "stand-in",
        "device": "stand-in",
        "topic": "stand/in",
        "type": "number",
        "of": "stand_in",
        "at_least": 2,
        "when": "true",
    },
)
