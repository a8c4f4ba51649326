"""Every text of a configuration that may be a secret, wherever it stands: found by its type, not by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from fieldgate.config.secrets import Resolved, Secret

__all__ = ["resolved_texts", "secrets_of"]


def resolved_texts(value: object) -> Iterator[Resolved]:
    """All `Resolved` and `Secret` texts below ``value``, a configuration or a part of it."""
    if isinstance(value, Resolved):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from resolved_texts(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in _keys_and_values(value):
            yield from resolved_texts(one)
    elif isinstance(value, tuple | list | set | frozenset):
        for one in value:
            yield from resolved_texts(one)


def _keys_and_values(mapping: Mapping[Any, Any]) -> Iterator[Any]:
    yield from mapping.keys()
    yield from mapping.values()


def secrets_of(config: object) -> list[Secret]:
    """The texts that nothing may show."""
    return [text for text in resolved_texts(config) if isinstance(text, Secret)]
