"""How a framing is written in a file: its name, or its name with its options below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fieldgate_devices.files.document import Document, Loc, Problem
from fieldgate_devices.files.model_tree import ModelTree, quantity_of
from fieldgate_devices.files.validate import validate
from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.make import UnknownFraming, framing_names, make_framer, options_class
from fieldgate_devices.framing.options import FramingOptions

__all__ = ["FramingSpec", "framer_of", "read_framing"]


def _named(written: object) -> object:
    return {written: None} if isinstance(written, str) else written


class _Choices:
    """Describes in a JSON Schema what `FramingSpec` may be, for editors: the names, and the options of each."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        choices: list[JsonSchemaValue] = [{"enum": framing_names()}]
        for name in framing_names():
            model = options_class(name)
            model.model_rebuild()
            options = handler.resolve_ref_schema(handler(model.__pydantic_core_schema__))
            options["type"] = ["object", "null"]  # a name may stand there with nothing below
            for key, field in model.model_fields.items():
                if (quantity := quantity_of(field)) is not None and field.default is not None:
                    options["properties"][key]["default"] = quantity.format(field.default)
            choices.append(
                {"type": "object", "properties": {name: options}, "required": [name], "additionalProperties": False}
            )
        return {"oneOf": choices}


FramingSpec = Annotated[dict[str, Any], Field(min_length=1, max_length=1), BeforeValidator(_named), _Choices()]
"""``framing: lines`` or ``framing: {lines: {end: cr}}``; what it says is looked at by `read_framing`."""


def read_framing(
    written: Mapping[str, Any], loc: Loc, document: Document
) -> tuple[FramingOptions | None, list[Problem]]:
    """Return the options of the framing that stands at ``loc`` of a file, or everything that is wrong with them.

    ``written`` is what `FramingSpec` made of it; where ``loc`` itself is known to be wrong there is nothing to ask.
    """
    (name,) = written
    is_short = not isinstance(getattr(document.node(loc), "content", None), dict)
    where = document.where(loc) if is_short else document.where_key((*loc, name))
    try:
        tree = ModelTree(options_class(name), name=f"framing {name}")
    except UnknownFraming as error:
        return None, [Problem(where, str(error))]
    node = None if is_short else document.node((*loc, name))
    outcome = validate(Document(document.path, node), tree, context={})
    if outcome.problems or outcome.model is None:
        return None, [
            Problem(where, problem.message) if node is None or node.content is None else problem
            for problem in outcome.problems
        ]
    return outcome.model, []


def framer_of(written: Mapping[str, Any]) -> Framer:
    """Return a framer for one port, by what `FramingSpec` made of a file that is known to be right.

    Raises:
        ValueError: it is not.
    """
    (name,) = written
    return make_framer(name, written[name])
