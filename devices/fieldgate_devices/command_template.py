"""Texts of a command with ``{names}`` in them: topics, payloads, what is written to a port.

A name is an argument, a capture of the device's topic, or ``command_id``. ``{{`` and ``}}`` are braces. Read once, when
the profile is loaded; filled per command.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["COMMAND_ID", "HexTemplate", "JsonTemplate", "TextTemplate", "Unfilled", "plain_text"]

COMMAND_ID: Final = "command_id"
"""The id of the command, in any of its texts."""

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)(?::([a-z0-9]+))?\}|[{}]")
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_ESCAPED: Final = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
_NUMBERS: Final = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i"}


class Unfilled(Exception):
    """A template cannot be filled with these values; the text says why. Stays inside the package."""


def plain_text(value: object) -> str:
    """Return a value as devices expect it in a text: ``21.5``, ``21`` for 21.0, ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


class TextTemplate:
    """A text with names in it; ``has_escapes``: ``\\r`` and the like are what they stand for.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, text: str, *, has_escapes: bool = False) -> None:
        self._parts: list[tuple[str, str]] = []  # a text, and the name behind it
        at = 0
        plain = ""
        for token in _TOKEN.finditer(text):
            plain += text[at : token.start()]
            at = token.end()
            if token[0] in ("{{", "}}"):
                plain += token[0][0]
            elif token[1] is None or token[2] is not None:
                raise ValueError(f"{text[:60]!r} has a brace that is not a {{name}}; write {{{{ for a brace")
            else:
                self._parts.append((_unescaped(plain) if has_escapes else plain, token[1]))
                plain = ""
        self._end = _unescaped(plain + text[at:]) if has_escapes else plain + text[at:]
        self.names = tuple(name for _, name in self._parts)

    def fill(self, values: Mapping[str, object]) -> str:
        """Return the text.

        Raises:
            Unfilled: a value is missing.
        """
        return "".join([*(before + plain_text(_value(values, name)) for before, name in self._parts), self._end])


def _value(values: Mapping[str, object], name: str) -> object:
    if name not in values:
        raise Unfilled(f"{{{name}}} is not known: no message of the device has said it yet")
    return values[name]


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x" and len(code) == 3:
            byte = int(code[1:], 16)
            return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)  # encoded by surrogateescape
        if code not in _ESCAPED:
            raise ValueError(f"{match[0]!r} is no escape; allowed: \\r \\n \\t \\0 \\xHH \\\\")
        return _ESCAPED[code]

    return _ESCAPE.sub(one, text)


_LEFT_OUT: Final = object()


class _Members:
    """A mapping whose keys have names, too."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[TextTemplate, object]]) -> None:
        self.pairs = pairs


class JsonTemplate:
    """A JSON value in which texts and keys have names; a text that is one name becomes that value.

    Raises:
        ValueError: a text in it is no template.
    """

    def __init__(self, value: object, *, optional: frozenset[str] = frozenset()) -> None:
        self._made = self._read(value)
        self._optional = optional

    def _read(self, value: object) -> object:
        if isinstance(value, str):
            return TextTemplate(value) if "{" in value or "}" in value else value
        if isinstance(value, dict):
            return _Members([(TextTemplate(str(key)), self._read(below)) for key, below in value.items()])
        if isinstance(value, list):
            return [self._read(one) for one in value]
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """All names in it."""
        return tuple(_names(self._made))

    def fill(self, values: Mapping[str, object]) -> object:
        """Return the value.

        Raises:
            Unfilled: a value is missing, and not one that may be left out.
        """
        filled = self._fill(self._made, values)
        return None if filled is _LEFT_OUT else filled

    def _fill(self, made: object, values: Mapping[str, object]) -> object:
        if isinstance(made, TextTemplate):
            name = made.names[0] if len(made.names) == 1 else ""
            is_alone = made.fill({name: ""}) == "" if name else False
            if is_alone and name in values:
                return values[name]
            if is_alone and name in self._optional:
                return _LEFT_OUT
            return made.fill(values)
        if isinstance(made, _Members):
            members = [(key.fill(values), self._fill(below, values)) for key, below in made.pairs]
            return {key: below for key, below in members if below is not _LEFT_OUT}
        if isinstance(made, list):
            return [one for one in (self._fill(below, values) for below in made) if one is not _LEFT_OUT]
        return made


def _names(made: object) -> Iterator[str]:
    if isinstance(made, TextTemplate):
        yield from made.names
    elif isinstance(made, _Members):
        for key, below in made.pairs:
            yield from key.names
            yield from _names(below)
    elif isinstance(made, list):
        for one in made:
            yield from _names(one)


class HexTemplate:
    """Bytes in hexadecimal, with whole numbers in between: ``02 {limit:u16le} 03``.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[bytes, str, str]] = []
        at = 0
        for token in _TOKEN.finditer(text):
            if token[1] is None or token[2] is None:
                raise ValueError(f"{token[0]!r} is not a number in a text of bytes; write it as {{name:u16}}")
            kind = token[2].removesuffix("le")
            if kind not in _NUMBERS:
                allowed = ", ".join(_NUMBERS)
                raise ValueError(f"{token[2]!r} is no kind of number; allowed: {allowed}, and with le behind it")
            order = "<" if token[2].endswith("le") else ">"
            self._parts.append((_bytes(text[at : token.start()]), token[1], order + _NUMBERS[kind]))
            at = token.end()
        self._end = _bytes(text[at:])
        self.names = tuple(name for _, name, _ in self._parts)

    def fill(self, values: Mapping[str, object]) -> bytes:
        """Return the bytes.

        Raises:
            Unfilled: a value is missing, or does not fit.
        """
        made = b""
        for before, name, form in self._parts:
            value = _value(values, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
                raise Unfilled(f"{name}: {value!r} is not a whole number, as its bytes need")
            try:
                made += before + struct.pack(form, int(value))
            except struct.error as error:
                raise Unfilled(f"{name}: {int(value)} does not fit into its bytes: {error}") from None
        return made + self._end


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no text of bytes; write two hexadecimal digits for each") from None
