"""Every secret that this gateway's files hold, so that it can be taken out of what is given away.

Also where the configuration cannot be used: whoever asks for help often has one that is broken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from fieldgate.config.loader import Reading
from fieldgate.config.secrets import Secret
from fieldgate.config.tree import TREE
from fieldgate.doctor.config_checks import secret_files
from fieldgate.doctor.scrub import Scrubber, is_reference
from fieldgate.doctor.secret_values import resolved_texts

__all__ = ["scrubber_for"]

_MAX_SECRET_BYTES: Final = 256 * 1024
_REFERENCE: Final = re.compile(r"\$\{(env|credential):([^{}]*)\}")
_USER_INFO: Final = re.compile(r"://([^\s/@\"']*)@")
_URL: Final = re.compile(r"[a-z]{2,8}://[^\s\"'<>]+", re.IGNORECASE)
_USUAL_PATHS: Final = frozenset({"", "/", "/mqtt"})
_PRIVATE_LINE: Final = re.compile(rf"\b(?:{'|'.join(sorted(TREE.private_keys))})\b[\"']?\s*:(.*)")
_WORD: Final = re.compile(r"[^\s\"'{}\[\],:&*]+")
_LEAST: Final = 4
_LONG_WORD: Final = 8
_LONG_PART: Final = 12  # of a path: an id that nobody can guess
_ARMOUR: Final = "-----"


def scrubber_for(reading: Reading, environ: Mapping[str, str] = os.environ) -> Scrubber:
    """Return what takes out the secrets of this configuration."""
    text = _text_of(reading.path) if reading.path is not None else ""
    found = [*_in_model(reading), *_in_document(reading), *_in_urls(text), *_referred_to(text, environ)]
    if reading.document.root is None:
        found += _in_no_yaml(text)
    for path in secret_files(reading):
        found += _in_file(path)
    users = {one.reveal() for one in resolved_texts(reading.config) if not isinstance(one, Secret) and one.is_resolved}
    return Scrubber(found, users=sorted(user for user in users if user and "://" not in user))


def _text_of(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_MAX_SECRET_BYTES).decode("utf-8", "replace")
    return ""


def _in_model(reading: Reading) -> Iterator[str]:
    for one in resolved_texts(reading.config):
        if one.is_resolved and (isinstance(one, Secret) or not one.is_literal):
            yield one.reveal()


def _in_document(reading: Reading) -> Iterator[str]:
    """What stands under a key of a secret, whether the model took it or not."""
    root = reading.document.root
    if root is not None:
        yield from _below(root.value(), is_private=False)


def _below(value: Any, *, is_private: bool, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _below(one, is_private=is_private or str(name) in TREE.private_keys, key=str(name))
    elif isinstance(value, list):
        for one in value:
            yield from _below(one, is_private=is_private, key=key)
    elif is_private and isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value)
        if not is_reference(text) and not (key == "key" and text.endswith((".key", ".pem", ".crt"))):
            yield text


def _in_no_yaml(text: str) -> Iterator[str]:
    """What stands behind a key of a secret on its line, where no reader can tell where it ends."""
    for match in _PRIVATE_LINE.finditer(text):
        rest = match[1].strip()
        parts = {rest, rest.strip("\"'{}[], "), rest.partition(",")[0].strip("\"'{}[] "), rest.partition(" ")[0]}
        for value in parts | {word for word in _WORD.findall(rest) if len(word) >= _LONG_WORD}:
            if len(value) >= _LEAST and not is_reference(value):
                yield value


def _in_urls(text: str) -> Iterator[str]:
    """User names, passwords, paths and queries of URLs: a webhook's path is its password."""
    for match in _USER_INFO.finditer(text):
        _, _, password = match[1].partition(":")
        yield from filter(None, (match[1], password, unquote(password)))
    for match in _URL.finditer(text):
        with suppress(ValueError):
            parts = urlsplit(match[0].rstrip("},]"))
            if parts.scheme.lower() in {"http", "https", "ws", "wss"} and parts.path not in _USUAL_PATHS:
                yield parts.path.strip("/")
                yield from (part for part in parts.path.split("/") if len(part) >= _LONG_PART)
            yield from (value for _, value in parse_qsl(parts.query))


def _referred_to(text: str, environ: Mapping[str, str]) -> Iterator[str]:
    for kind, name in _REFERENCE.findall(text):
        if kind == "env":
            yield environ.get(name, "")
        elif folder := environ.get("CREDENTIALS_DIRECTORY"):
            yield from _in_file(Path(folder) / Path(name).name)


def _in_file(path: Path) -> Iterator[str]:
    """A password is the whole file; of a key or a file of users each line that tells something is."""
    with suppress(OSError):
        if not path.is_file():
            return
        content = _text_of(path).strip()
        yield content
        for line in content.splitlines():
            name, colon, rest = line.strip().partition(":")
            if not line.startswith(_ARMOUR):
                yield rest if colon and name and "$" in rest else line.strip()
