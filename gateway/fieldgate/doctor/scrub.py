"""Take secrets out of texts: those that are known, wherever they stand, and what looks like one.

Laws of this file: no I/O. What is known is taken out in every form in which a program writes it: as it is, in JSON, in
a URL, in base64 and as the password of Basic authentication. A text that only looks like a secret goes as well: what
is lost by that is a word in a report, and what is lost otherwise is a password.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from fieldgate.config.secrets import MASK

__all__ = ["Scrubber", "is_reference"]

_REFERENCE: Final = re.compile(r"(?:\$\{(?:credential|file|env):[^{}]*\})+")
_SHORT: Final = 8  # a shorter one counts only where no letter or digit stands beside it
_TELLING: Final = r"(?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization)s?"
_TELLING_ALONE: Final = r"(?:pwd|psk|credentials?|cookies?|sig|signature)"
_PRIVATE_NAME: Final = re.compile(rf"[\w.-]*{_TELLING}|{_TELLING_ALONE}|headers", re.IGNORECASE)
_NOT_SECRET: Final = frozenset({"none", "null", "true", "false", "", "-", MASK})
_KEY_BLOCK: Final = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
_PATTERNS: Final = (
    (re.compile(_KEY_BLOCK, re.DOTALL), MASK),
    (re.compile(r"(://)[^\s/@\"'<>]+@"), rf"\1{MASK}@"),
    (re.compile(r"(://[^\s?\"'<>]+\?)[^\s\"'<>]+"), rf"\1{MASK}"),
    (re.compile(r"(SharedAccessSignature\s+)[^\s\"']+"), rf"\1{MASK}"),
    (re.compile(r"\b((?:bearer|basic|digest)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(?:gh[oprsu]_|github_pat_|glpat-|xox[abp]-|sk-|AKIA|ASIA)[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"\b(bot)?[0-9]{6,}:[A-Za-z0-9_-]{30,}"), rf"\1{MASK}"),  # of a chat's robot, in a path
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), MASK),
    (re.compile(r"\$(?:scrypt|7|6|5|argon2\w*|2[aby]|pbkdf2[\w-]*)\$[^\s\"':]+"), MASK),
)
_URL: Final = re.compile(r"(\b(?:https?|wss?)://[^\s/\"'<>]+)(/[^\s\"'<>]+)", re.IGNORECASE)
_UNGUESSABLE: Final = re.compile(r"(?<=/)(?:(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{16,}|[A-Za-z0-9]{20,})(?=[/?#]|$)")
_NAMED: Final = re.compile(
    rf"((?:{_TELLING}|(?<!\$\{{)\b{_TELLING_ALONE})[\"']?\s*(?:={{1,2}}|:)\s*)(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"'&,;}}\]]+)",
    re.IGNORECASE,
)


def is_reference(text: str) -> bool:
    """Whether a text holds nothing but where a secret is."""
    return bool(_REFERENCE.fullmatch(text))


class Scrubber:
    """``secrets`` are known ones, ``users`` the names that may go with them; ``removed`` counts what was taken out."""

    def __init__(self, secrets: Iterable[str], *, users: Iterable[str] = ()) -> None:
        self.removed = 0
        forms = {form for secret in set(secrets) if secret.strip() for form in _forms(secret, tuple(users))}
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """Return ``text`` without secrets."""
        if self._known is not None:
            text, count = self._known.subn(MASK, text)
            self.removed += count
        for pattern, mask in _PATTERNS:
            text, count = pattern.subn(mask, text)
            self.removed += count
        text = _URL.sub(self._url, text)
        return _NAMED.sub(self._named, text)

    def _url(self, match: re.Match[str]) -> str:
        """A webhook's path is its password, also of one that is not configured any more."""
        text, count = _UNGUESSABLE.subn(MASK, match[2])
        self.removed += count
        return match[1] + text

    def _named(self, match: re.Match[str]) -> str:
        value = match[2]
        bare = value.strip("\"'")
        if bare.lower() in _NOT_SECRET or bare.startswith(("${", MASK)):
            return match[0]
        self.removed += 1
        edge = value[0] if value[0] in "\"'" else ""
        return f"{match[1]}{edge}{MASK}{edge}"

    def tree(self, value: Any, *, private: frozenset[str] = frozenset()) -> Any:
        """Return plain values without secrets; those below a key of ``private``, or of a telling name, all go."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._below(str(key), one, private) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(one, private=private) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def _below(self, key: str, value: Any, private: frozenset[str]) -> Any:
        return self._all_of(value) if self._is_private(key, value, private) else self.tree(value, private=private)

    def _is_private(self, key: str, value: Any, private: frozenset[str]) -> bool:
        if key == "key" and isinstance(value, str) and _looks_like_a_path(value):
            return False
        return key in private or bool(_PRIVATE_NAME.fullmatch(key))

    def _all_of(self, value: Any) -> Any:
        """References stay: they say where a secret is, which is no secret."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._all_of(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._all_of(one) for one in value]
        if value is None or isinstance(value, bool) or (isinstance(value, str) and is_reference(value)):
            return value
        self.removed += 1
        return MASK


def _looks_like_a_path(text: str) -> bool:
    return text.endswith((".key", ".pem", ".crt")) and "\n" not in text


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    return rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])" if len(form) < _SHORT else escaped


def _forms(secret: str, users: tuple[str, ...]) -> Iterator[str]:
    """How programs write it."""
    yield secret
    yield secret.strip()
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    for text in (secret, *(f"{user}:{secret}" for user in users)):
        content = text.encode("utf-8", "surrogatepass")
        for encoded in (b64encode(content), urlsafe_b64encode(content)):
            yield encoded.decode().rstrip("=")
    for line in secret.splitlines():
        if len(line.strip()) >= _SHORT:
            yield line.strip()
