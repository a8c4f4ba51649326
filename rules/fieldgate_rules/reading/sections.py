"""Take a file of rules apart: each rule and template is checked by itself, so that none hides another's problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fieldgate_devices.files.document import Document, Node, Problem, read_yaml
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.model_tree import ModelTree
from fieldgate_devices.files.validate import validate
from fieldgate_rules.file_limits import MAX_RULE_FILE
from fieldgate_rules.model import RULES_TREE, RuleFileSpec, RuleSpec, TemplateSpec
from fieldgate_rules.reading.source import SourceFile

__all__ = ["RULE_TREE", "TEMPLATE_TREE", "FileParts", "read_file"]

RULE_TREE: Final = ModelTree(RuleSpec, name="rule", stand_ins=RULES_TREE.stand_ins)
TEMPLATE_TREE: Final = ModelTree(TemplateSpec, name="template", stand_ins=RULES_TREE.stand_ins)
_MAX_RULES: Final = 10_000


@dataclass(slots=True)
class FileParts:
    """What one file holds. ``spec`` has its tags and tests; ``problems`` are those of the file as a whole.

    ``misread`` are those of them that are about the YAML.
    """

    path: str
    source: SourceFile
    rules: list[Node]
    templates: dict[str, tuple[Location, Node]]
    spec: RuleFileSpec
    problems: list[Problem]
    misread: list[Problem]


def read_file(path: str, content: bytes) -> FileParts:
    """Return the parts of a file; nothing is raised for what is wrong with it."""
    document = read_yaml(content, path, limits=MAX_RULE_FILE)
    parts = FileParts(path, SourceFile(path, content), [], {}, RuleFileSpec(), document.problems, document.problems)
    if document.root is None:
        return parts
    shell = _without_parts(document.root, parts)
    outcome = validate(Document(path, shell), RULES_TREE)
    misread = {problem.where for problem in document.problems}
    parts.problems = [*document.problems, *(one for one in outcome.problems if one.where not in misread)]
    if outcome.model is not None:
        parts.spec = outcome.model
        parts.templates = {name: one for name, one in parts.templates.items() if name in outcome.model.templates}
    return parts


def _without_parts(root: Node, parts: FileParts) -> Node:
    """The file without rules and bodies of templates, which go to ``parts``."""
    if not isinstance(root.content, dict):
        return root
    shell = dict(root.content)
    if (found := shell.get("rules")) is not None and isinstance(found[1].content, list):
        parts.rules = found[1].content
        del shell["rules"]
        if len(parts.rules) > _MAX_RULES:
            said = f"rules: a list has too many entries; {_MAX_RULES} at most"
            parts.problems.append(Problem(found[1].at, said))
            parts.rules = []
    if (found := shell.get("templates")) is not None and isinstance(found[1].content, dict):
        parts.templates = dict(found[1].content)
        empty = {key: (at, Node(node.at, {})) for key, (at, node) in found[1].content.items()}
        shell["templates"] = (found[0], Node(found[1].at, empty))
    return Node(root.at, shell, root.size)
