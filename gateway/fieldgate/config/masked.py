"""Take the secrets out of the text of a configuration and leave everything else of it as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from fieldgate.config.placeholders import PLACEHOLDER
from fieldgate_devices.files.document import Loc

__all__ = ["masked"]

_BLOCKS: Final = ("|", ">")


def masked(text: str, secrets: Sequence[Loc]) -> str:
    """Return ``text`` with CHANGE-ME for each of these values, which `fieldgate check` then asks for.

    Raises:
        ValueError: one of them is not found.
    """
    wanted = set(secrets)
    yaml = YAML(typ="rt", pure=True)
    found = {loc: node for loc, node in _scalars((), yaml.compose(text)) if _is_wanted(loc, wanted)}
    if len({loc for one in wanted for loc in found if _is_same(loc, one)}) < len(wanted):
        raise ValueError("a secret is not where it was expected")
    spans = {(node.start_mark.index, node.end_mark.index): node for node in found.values()}
    for (start, end), node in sorted(spans.items(), reverse=True):
        anchor = f"&{node.anchor} " if node.anchor else ""
        line_end = "\n" if node.style in _BLOCKS else ""
        text = f"{text[:start]}{anchor}{PLACEHOLDER}{line_end}{text[end:]}"
    return text


def _is_wanted(loc: Loc, wanted: set[Loc]) -> bool:
    return any(_is_same(loc, one) for one in wanted)


def _is_same(found: Loc, wanted: Loc) -> bool:
    """One entry may stand where a list of them is taken."""
    return found == wanted or found == tuple(step for step in wanted if step != 0)


def _scalars(loc: Loc, node: Any) -> Iterator[tuple[Loc, ScalarNode]]:
    match node:
        case MappingNode():
            for key, value in node.value:
                yield from _scalars((*loc, str(key.value)), value)
        case SequenceNode():
            for number, value in enumerate(node.value):
                yield from _scalars((*loc, number), value)
        case ScalarNode():
            yield loc, node
