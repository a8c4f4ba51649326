"""Find the declaration of a key: what the models say at a place of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from fieldgate_devices.files.quantities import Quantity
from fieldgate_devices.files.section import Section

__all__ = [
    "Key",
    "ModelTree",
    "choices_of",
    "dotted",
    "field_name",
    "key_names",
    "quantity_of",
    "range_of",
    "section_of",
]


M = TypeVar("M", bound=Section)


class Key(NamedTuple):
    """A key that the file may hold. In ``path`` a list reads ``listen[]``, a name of the user's choice ``NAME``."""

    path: str
    name: str
    field: FieldInfo
    owner: type[Section]

    def holds(self, kind: type) -> bool:
        """Whether its value, or each value in it, is a ``kind``."""
        own = _core(self.field.annotation)
        return (_core(get_args(own)[1]) if get_origin(own) is dict else own) is kind


def dotted(loc: tuple[str | int, ...]) -> str:
    """``("listen", 0, "mqtt")`` as ``listen[0].mqtt``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return text.removeprefix(".")


class ModelTree(Generic[M]):
    """All models of one kind of file. ``name`` is what a person calls it ("configuration").

    Values of ``private`` are never shown. ``stand_ins`` are harmless values for required keys, by name or by name of
    section and key, for checking the rest of a file in which they are wrong.
    """

    def __init__(
        self,
        root: type[M],
        *,
        name: str,
        private: type | None = None,
        stand_ins: Mapping[str, object] | None = None,
    ) -> None:
        self.root = root
        self.name = name
        self.stand_ins = dict(stand_ins or {})
        self._keys: tuple[Key, ...] = ()
        self.private_keys = frozenset(key.name for key in _keys(root, "") if private is not None and key.holds(private))

    def all_keys(self) -> Iterator[Key]:
        """Every key, in the order of declaration; gone through once, since each unknown key asks for them."""
        self._keys = self._keys or tuple(_keys(self.root, ""))
        return iter(self._keys)

    def model_at(self, loc: tuple[str | int, ...]) -> type[Section] | None:
        """The model of the mapping at ``loc``; None where there is another kind of value, or nothing."""
        kind = self._kind_at(loc)
        return kind if isinstance(kind, type) and issubclass(kind, Section) else None

    def declared_at(self, loc: tuple[str | int, ...]) -> FieldInfo | None:
        """The field whose value, or a part of it, is at ``loc``."""
        for end in range(len(loc), 0, -1):
            owner = self.model_at(loc[: end - 1])
            if owner is not None:
                return owner.model_fields.get(field_name(owner, str(loc[end - 1])))
        return None

    def choices_at(self, loc: tuple[str | int, ...]) -> tuple[str, ...]:
        """What may stand at ``loc`` where only certain words may."""
        return choices_of(self._kind_at(loc))

    def _kind_at(self, loc: tuple[str | int, ...]) -> Any:
        kind: Any = self.root
        for step in loc:
            if isinstance(kind, type) and issubclass(kind, Section):
                field = kind.model_fields.get(field_name(kind, str(step)))
                kind = _core(field.annotation) if field is not None else None
            elif get_origin(kind) is dict:
                kind = _core(get_args(kind)[1])
            elif get_origin(kind) is tuple:
                kind = _core(get_args(kind)[0])
            else:
                return None
        return kind


def key_names(section: type[Section]) -> list[str]:
    """The keys of a section as the file has them."""
    return [field.alias or name for name, field in section.model_fields.items()]


def field_name(section: type[Section], key: str) -> str:
    """The name in the model of a key that the file calls ``key`` (``from`` is none in Python)."""
    return next((name for name, field in section.model_fields.items() if field.alias == key), key)


def _keys(model: type[Section], prefix: str, around: tuple[type[Section], ...] = ()) -> Iterator[Key]:
    """The keys of a model and of those in it; one that may hold itself (``around``) is gone through once."""
    for name, field in model.model_fields.items():
        written = field.alias or name
        path = f"{prefix}{written}"
        yield Key(path, written, field, model)
        section = section_of(field.annotation)
        if section is not None and section not in (*around, model):
            origin = get_origin(_core(field.annotation))
            between = "[]." if origin is tuple else ".NAME." if origin is dict else "."
            yield from _keys(section, path + between, (*around, model))


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The words of a ``Literal``, also of one in a list; else nothing."""
    kind = _core(annotation)
    if get_origin(kind) is tuple:
        kind = _core(get_args(kind)[0])
    words = get_args(kind) if get_origin(kind) is Literal else ()
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in words)  # as YAML has them


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


def _core(annotation: Any) -> Any:
    """The type itself, without ``Annotated`` and ``| None``; of several, all."""
    if get_origin(annotation) is Annotated:
        return _core(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        kinds = [argument for argument in get_args(annotation) if argument is not NoneType]
        return _core(kinds[0]) if len(kinds) == 1 else annotation
    return annotation
