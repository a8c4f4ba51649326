"""Say what a configuration comes to, value by value, as a person would write it; secrets stay masked."""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.config.model import Config
from fieldgate.config.tree import TREE
from fieldgate_devices.files.document import Loc

__all__ = ["effective_values"]


def effective_values(config: Config) -> Iterator[tuple[Loc, object]]:
    """Every value that is in effect, defaults included, in the order of declaration."""
    yield from _leaves((), config.model_dump(mode="json"))


def _leaves(loc: Loc, value: object) -> Iterator[tuple[Loc, object]]:
    if isinstance(value, dict) and (value or TREE.model_at(loc) is not None):
        for key, below in value.items():
            yield from _leaves((*loc, key), below)
    elif isinstance(value, list) and value and TREE.model_at((*loc, 0)) is not None:
        for number, below in enumerate(value):
            yield from _leaves((*loc, number), below)
    else:
        yield loc, value
