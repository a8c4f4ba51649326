"""A topic per value: the whole payload is one value, and the topic says which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from fieldgate_devices.decoders import json_text
from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import checked
from fieldgate_devices.decoders.texts import TextOptions, json_or_text, plain_text, with_point

__all__ = ["ValueDecoder", "ValueOptions"]

_CAPTURE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ValueOptions(TextOptions):
    """What the value is called, and how it is written."""

    name: str = Field(
        default="value",
        min_length=1,
        max_length=128,
        description="name of the value; {part} is a part of the topic that the profile's match names",
        examples=["{sensor}"],
    )
    format: Literal["text", "json", "any"] = Field(
        default="text",
        description="text: any text, blanks around it removed; json: a number, a text in quotes, true, false or null; "
        "any: what JSON it is (a list or an object too), and a text where it is none",
    )
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark of a number (text)")

    @field_validator("name")
    @classmethod
    def _check(cls, name: str) -> str:
        rest = _CAPTURE.sub("", name)
        if "{" in rest or "}" in rest:
            raise ValueError(f"{name!r} has a brace without a name; write {{sensor}}, as match names that part")
        return name

    @model_validator(mode="after")
    def _check_format(self) -> ValueOptions:
        if self.format != "text" and (self.decimal != "." or self.encoding != "utf-8"):
            raise ValueError("decimal and encoding are for format: text; JSON has its own")
        return self

    @property
    def captures(self) -> frozenset[str]:
        """The parts of the topic that the name needs."""
        return frozenset(_CAPTURE.findall(self.name))

    def make(self) -> ValueDecoder:
        """Return the decoder."""
        return ValueDecoder(self)


class ValueDecoder:
    """Takes the payload as one value."""

    def __init__(self, options: ValueOptions) -> None:
        self._options = options
        self._captures = options.captures
        self.is_text = options.format != "json"

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record with one value.

        Raises:
            Undecodable: it is empty, not in that form, or the topic has no such part.
        """
        name = self._name(captures)
        if self._options.format == "json":
            value = json_text.parse(payload)
            if isinstance(value, dict | list):
                raise Undecodable(f"one value is expected, not {excerpt(payload)}")
            return [{name: value}]
        if self._options.format == "any":
            return checked([{name: json_or_text(payload)}])
        text = plain_text(payload, encoding=self._options.encoding)
        return [{name: with_point(text) if self._options.decimal == "," else text}]

    def _name(self, captures: Mapping[str, str]) -> str:
        if not self._captures:
            return self._options.name
        if lacking := sorted(self._captures - captures.keys()):
            raise Undecodable(f"the topic has no part {lacking[0]!r}, which names the value")
        return _CAPTURE.sub(lambda match: captures[match[1]], self._options.name)
