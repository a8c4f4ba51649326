"""Find the declaration of a key: what the models say at a place of the file."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from fieldgate.config.model import Config
from fieldgate.config.quantities import Quantity
from fieldgate.config.secrets import Secret
from fieldgate.config.section import Section

__all__ = [
    "PRIVATE_KEYS",
    "Key",
    "all_keys",
    "choices_at",
    "choices_of",
    "declared_at",
    "dotted",
    "model_at",
    "quantity_of",
    "range_of",
    "section_of",
]


class Key(NamedTuple):
    """A key that the file may hold. In ``path`` a list reads ``listen[]``, a name of the user's choice ``NAME``."""

    path: str
    name: str
    field: FieldInfo
    owner: type[Section]

    @property
    def is_secret(self) -> bool:
        """Whether its value, or each value in it, is never shown."""
        kind = _core(self.field.annotation)
        return (_core(get_args(kind)[1]) if get_origin(kind) is dict else kind) is Secret


def dotted(loc: tuple[str | int, ...]) -> str:
    """``("listen", 0, "mqtt")`` as ``listen[0].mqtt``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return text.removeprefix(".")


def all_keys(model: type[Section] = Config, prefix: str = "") -> Iterator[Key]:
    """Every key below ``model``, in the order of declaration."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield Key(path, name, field, model)
        section = section_of(field.annotation)
        if section is not None:
            origin = get_origin(_core(field.annotation))
            between = "[]." if origin is tuple else ".NAME." if origin is dict else "."
            yield from all_keys(section, path + between)


def model_at(loc: tuple[str | int, ...]) -> type[Section] | None:
    """The model of the mapping at ``loc``; None where there is another kind of value, or nothing."""
    kind = _kind_at(loc)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def declared_at(loc: tuple[str | int, ...]) -> FieldInfo | None:
    """The field whose value, or a part of it, is at ``loc``."""
    for end in range(len(loc), 0, -1):
        owner = model_at(loc[: end - 1])
        if owner is not None:
            return owner.model_fields.get(str(loc[end - 1]))
    return None


def choices_at(loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """What may stand at ``loc`` where only certain words may."""
    return choices_of(_kind_at(loc))


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The words of a ``Literal``, also of one in a list; else nothing."""
    kind = _core(annotation)
    if get_origin(kind) is tuple:
        kind = _core(get_args(kind)[0])
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def quantity_of(field: FieldInfo) -> Quantity | None:
    """How a field's text is read, if it is a duration, size or rate."""
    marks = [*field.metadata]
    for part in (field.annotation, *get_args(field.annotation)):
        marks += getattr(part, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, Quantity)), None)


def range_of(field: FieldInfo) -> tuple[str, str] | None:
    """The least and the most that a number or quantity may be, as they are written."""
    quantity = quantity_of(field)
    if quantity is not None:
        return quantity.minimum, quantity.maximum
    low = next((mark.ge for mark in field.metadata if isinstance(mark, Ge)), None)
    high = next((mark.le for mark in field.metadata if isinstance(mark, Le)), None)
    return (str(low), str(high)) if low is not None and high is not None else None


def section_of(annotation: Any) -> type[Section] | None:
    """The model that a field's value is, or is a list or mapping of."""
    kind = _core(annotation)
    if get_origin(kind) in {tuple, dict}:
        kind = _core(get_args(kind)[-1 if get_origin(kind) is dict else 0])
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _kind_at(loc: tuple[str | int, ...]) -> Any:
    kind: Any = Config
    for step in loc:
        if isinstance(kind, type) and issubclass(kind, Section):
            field = kind.model_fields.get(str(step))
            kind = _core(field.annotation) if field is not None else None
        elif get_origin(kind) is dict:
            kind = _core(get_args(kind)[1])
        elif get_origin(kind) is tuple:
            kind = _core(get_args(kind)[0])
        else:
            return None
    return kind


def _core(annotation: Any) -> Any:
    """The type itself, without ``Annotated`` and ``| None``."""
    if get_origin(annotation) is Annotated:
        return _core(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        (kind,) = (argument for argument in get_args(annotation) if argument is not NoneType)
        return _core(kind)
    return annotation


PRIVATE_KEYS: Final = frozenset(key.name for key in all_keys() if key.is_secret)
