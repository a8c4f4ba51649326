"""What a file of rules may say: every key with its kind, unit, limits and meaning, as pydantic models."""

from fieldgate_rules.model.actions import ActionSpec
from fieldgate_rules.model.file import RULES_TREE, ParameterSpec, RuleFileSpec, TemplateSpec
from fieldgate_rules.model.rule import RuleSpec
from fieldgate_rules.model.tests import TestSpec
from fieldgate_rules.model.triggers import TriggerSpec
from fieldgate_rules.model.windows import WindowSpec

__all__ = [
    "RULES_TREE",
    "ActionSpec",
    "ParameterSpec",
    "RuleFileSpec",
    "RuleSpec",
    "TemplateSpec",
    "TestSpec",
    "TriggerSpec",
    "WindowSpec",
]
