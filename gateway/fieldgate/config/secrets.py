"""Texts that name a secret instead of holding it: ``${credential:name}``, ``${file:path}``, ``${env:NAME}``.

A resolved value leaves only through ``reveal()``; repr, str, JSON and error messages show the text as it was
written (`Resolved`: addresses, user names) or nothing at all (`Secret`: passwords). ``$${`` stands for a
plain ``${``. What was resolved is not looked at again.

Who reads a file says by `References` what is to become of them: most commands need no secret, and whoever types
them may not even be allowed to read it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Self, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fieldgate_devices.files.validate import NotSeenFromHere

__all__ = ["MASK", "References", "Resolved", "Secret", "credential_path", "once_resolved", "references_of"]

References = Literal["resolved", "examined", "kept"]
"""resolved: each is looked up, and one that cannot be is an error. examined: so too, but for credentials outside of a
service, of which nothing can be said. kept: they stay as they are written, and nothing is looked up."""

MASK: Final = "•••"

_MAX_SECRET_BYTES: Final = 64 * 1024
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<kind>credential|file|env):(?P<name>[^{}]*)\}|(?P<bad>\$\{)")
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")  # os.environ gives bytes that are not UTF-8 as surrogates
_FORMS: Final = "allowed: ${credential:NAME}, ${file:PATH}, ${env:NAME}; write $${ for a plain ${"
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_.@:-]+")


def references_of(info: ValidationInfo) -> References:
    """What whoever reads the file wants done with references."""
    wanted: References = (info.context or {}).get("references", "resolved")
    return wanted


class Resolved:
    """A text whose references were resolved, or kept (``value`` is None); shows itself as it was written."""

    __slots__ = ("_value", "references", "written")

    def __init__(self, value: str | None, *, written: str | None = None, references: tuple[str, ...] = ()) -> None:
        self._value = value
        self.written = (value or "") if written is None else written
        self.references = references

    @classmethod
    def parse(cls, text: str, *, wanted: References = "resolved", folder: Path | None = None) -> Self:
        """Read ``text``; a relative path in it is meant from ``folder``.

        Raises:
            ValueError: it holds no known reference, or one that cannot be resolved; the message never holds what a
                secret may hold.
        """
        references: list[str] = []

        def value_of(match: re.Match[str]) -> str:
            if match["bad"]:
                raise ValueError(f"a reference that starts with '${{' is not one that is known; {_FORMS}")
            if match["kind"] is None:
                return "${"
            references.append(match[0])
            return "" if wanted == "kept" else _look_up(match["kind"], match["name"], wanted=wanted, folder=folder)

        value = _REFERENCE.sub(value_of, text)
        if _NO_TEXT.search(value):
            raise ValueError(f"what {', '.join(references)} stands for is not a text: it is no UTF-8, or holds a NUL")
        is_kept = wanted == "kept" and references
        return cls(None if is_kept else value, written=text, references=tuple(references))

    def reveal(self) -> str:
        """The resolved text itself; never log or print it.

        Raises:
            RuntimeError: the configuration was read with its references kept.
        """
        if self._value is None:
            raise RuntimeError(
                f"{', '.join(self.references)} was kept as it is written; read the file with it resolved"
            )
        return self._value

    @property
    def is_resolved(self) -> bool:
        """Whether there is something to `reveal`."""
        return self._value is not None

    @property
    def is_literal(self) -> bool:
        """Whether the text stands in the file itself, without a reference."""
        return not self.references

    def __str__(self) -> str:
        return self.written

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._compared == self._compared

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[str | None, str]:
        """By what it holds; by what is written only where nothing else is known."""
        return self._value, self.written if self._value is None else ""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}

    @classmethod
    def _validate(cls, written: object, info: ValidationInfo) -> Self:
        if isinstance(written, cls):
            return written
        if isinstance(written, str):
            folder = (info.context or {}).get("folder")
            return cls.parse(written, wanted=references_of(info), folder=folder)
        raise ValueError("this is not a text; put it in quotes")


class Secret(Resolved):
    """A text that nothing but ``reveal()`` shows."""

    __slots__ = ()

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not stored or sent")


R = TypeVar("R", bound=Resolved)


def once_resolved(check: Callable[[R], R]) -> Callable[[Any], Any]:
    """A validator that asks ``check`` about what a text stands for, and nothing about a reference that was kept."""

    def validate(value: R) -> R:
        return check(value) if value.is_resolved else value

    return validate


def credential_path(name: str, *, wanted: References = "resolved") -> Path:
    """Return where systemd put the credential ``name``.

    Raises:
        ValueError: it is no name, or this is no service with credentials.
    """
    if not _CREDENTIAL_NAME.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is not the name of a credential; it is a file name without a folder")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        return Path(folder) / name
    if wanted == "examined":
        raise NotSeenFromHere(
            f"the credential {name!r} is there for the service only (LoadCredential={name}:/path) and was not looked "
            "at; CREDENTIALS_DIRECTORY=FOLDER fieldgate check looks for it in FOLDER"
        )
    raise ValueError(
        f"the credential {name!r} cannot be read: $CREDENTIALS_DIRECTORY is not set; "
        f"systemd sets it for a service with LoadCredential={name}:/path"
    )


def _look_up(kind: str, name: str, *, wanted: References, folder: Path | None) -> str:
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"the environment variable {name!r} is not set")
        return os.environ[name]
    if kind == "credential":
        return _read(credential_path(name, wanted=wanted), f"the credential {name!r}")
    if not name:
        raise ValueError(f"the secret file {name!r} has no name; write ${{file:NAME}} or ${{file:/PATH}}")
    path = folder / name if folder is not None else Path(name)
    return _read(path, f"the secret file {str(path)!r}", is_private=True)


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
