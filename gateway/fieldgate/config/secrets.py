"""Texts that name a secret instead of holding it: ``${credential:name}``, ``${file:/path}``, ``${env:NAME}``.

A resolved value leaves only through ``reveal()``; repr, str, JSON and error messages show the text as it was
written (`Resolved`: addresses, user names) or nothing at all (`Secret`: passwords). ``$${`` stands for a
plain ``${``. What was resolved is not looked at again.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final, NoReturn, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

__all__ = ["MASK", "Resolved", "Secret", "credential_path"]

MASK: Final = "•••"

_MAX_SECRET_BYTES: Final = 64 * 1024
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<kind>credential|file|env):(?P<name>[^{}]*)\}|(?P<bad>\$\{)")
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")  # os.environ gives bytes that are not UTF-8 as surrogates
_FORMS: Final = "allowed: ${credential:NAME}, ${file:/PATH}, ${env:NAME}; write $${ for a plain ${"


class Resolved:
    """A text whose references were resolved; shows itself as it was written."""

    __slots__ = ("_value", "references", "written")

    def __init__(self, value: str, *, written: str | None = None, references: tuple[str, ...] = ()) -> None:
        self._value = value
        self.written = value if written is None else written
        self.references = references

    @classmethod
    def parse(cls, text: str) -> Self:
        """Resolve every reference in ``text``.

        Raises:
            ValueError: a reference cannot be resolved; the message never holds what a secret may hold.
        """
        references: list[str] = []

        def value_of(match: re.Match[str]) -> str:
            if match["bad"]:
                raise ValueError(f"a reference that starts with '${{' is not one that is known; {_FORMS}")
            if match["kind"] is None:
                return "${"
            references.append(match[0])
            return _look_up(match["kind"], match["name"])

        value = _REFERENCE.sub(value_of, text)
        if _NO_TEXT.search(value):
            raise ValueError(f"what {', '.join(references)} stands for is not a text: it is no UTF-8, or holds a NUL")
        return cls(value, written=text, references=tuple(references))

    def reveal(self) -> str:
        """The resolved text itself; never log or print it."""
        return self._value

    @property
    def is_literal(self) -> bool:
        """Whether the text stands in the file itself, without a reference."""
        return not self.references

    def __str__(self) -> str:
        return self.written

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}

    @classmethod
    def _validate(cls, written: object) -> Self:
        if isinstance(written, cls):
            return written
        if isinstance(written, str):
            return cls.parse(written)
        raise ValueError("this is not a text; put it in quotes")


class Secret(Resolved):
    """A text that nothing but ``reveal()`` shows."""

    __slots__ = ()

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not stored or sent")


def credential_path(name: str) -> Path:
    """Return where systemd put the credential ``name``.

    Raises:
        ValueError: it is no name, or this is no service with credentials.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ValueError(
            f"the credential {name!r} cannot be read: $CREDENTIALS_DIRECTORY is not set; "
            f"systemd sets it for a service with LoadCredential={name}:/path"
        )
    if not re.fullmatch(r"[A-Za-z0-9_.@:-]+", name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is not the name of a credential; it is a file name without a folder")
    return Path(folder) / name


def _look_up(kind: str, name: str) -> str:
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"the environment variable {name!r} is not set")
        return os.environ[name]
    if kind == "credential":
        return _read(credential_path(name), f"the credential {name!r}")
    if not Path(name).is_absolute():
        raise ValueError(f"the secret file {name!r} needs a full path, such as /etc/fieldgate/password")
    return _read(Path(name), f"the secret file {name!r}", is_private=True)


def _read(path: Path, what: str, *, is_private: bool = False) -> str:
    """Return a secret file's text without the line end that editors add."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{what} is not a file")
        if is_private and status.st_mode & 0o007:
            mode = stat.S_IMODE(status.st_mode)
            raise ValueError(f"{what} is open to everyone (mode {mode:04o}); allowed: 0600, 0640")
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ValueError(f"{what} cannot be read: {os.strerror(error.errno or 0).lower()}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8 text") from None
    if len(content) > _MAX_SECRET_BYTES:
        raise ValueError(f"{what} is too long; allowed: {_MAX_SECRET_BYTES} bytes")
    return text.removesuffix("\n").removesuffix("\r")
