"""The language of ``remap``: a pattern of topics and the topic that events get in their place.

``match`` is a topic filter in which a level may be ``{name}`` in place of ``+``. ``to`` is a topic; ``{name}`` and,
from the left, ``{1}``, ``{2}`` … are what those levels were, ``{#}``, a level of its own, is what ``#`` stood for: any
number of levels, also none, which then leaves nothing behind. There is no other use of braces.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from fieldgate.mqtt.topics import valid_filter, valid_topic

__all__ = ["REST", "Pattern", "check_remap_match", "check_remap_target", "check_remap_to", "placeholders", "read_match"]

REST: Final = "#"
_MAX_BYTES: Final = 1024
_NAMED: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*|[1-9][0-9]?|#)\}")
_HINT: Final = "write a topic filter in which a level may be {name}, such as zigbee2mqtt/{device}/state"


class Pattern(NamedTuple):
    """A ``match`` as a plain filter, and the names of its single-level wildcards from the left ('' for ``+``)."""

    filter: str
    names: tuple[str, ...]

    @property
    def has_rest(self) -> bool:
        """Whether it ends with ``#``."""
        return self.filter.endswith(REST)


def read_match(text: str) -> Pattern:
    """Read a ``match``.

    Raises:
        ValueError: it is none.
    """
    levels, names = [], []
    for level in text.split("/"):
        named = _NAMED.fullmatch(level)
        if named is None and ("{" in level or "}" in level):
            raise ValueError(f"{text!r} has a brace that is not a whole level {{name}}; {_HINT}")
        if named is not None or level == "+":
            names.append(named[1] if named is not None else "")
        levels.append("+" if named is not None else level)
    plain = "/".join(levels)
    if text.startswith("$share/") or not valid_filter(plain):
        raise ValueError(f"{text!r} is not a pattern of topics; {_HINT}")
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{text!r} uses {{{twice}}} twice; give each level its own name")
    return Pattern(plain, tuple(names))


def placeholders(text: str) -> list[str]:
    """Split a ``to`` into text, placeholder, text, placeholder, … text."""
    return _PLACEHOLDER.split(text)


def check_remap_match(text: str) -> str:
    """See `read_match`."""
    _check_size(text)
    read_match(text)
    return text


def check_remap_target(text: str) -> str:
    """A topic with placeholders in braces."""
    _check_size(text)
    parts = placeholders(text)
    plain = "x".join(parts[0::2])
    if "{" in plain or "}" in plain:
        raise ValueError(f"{text!r} has a brace that is no placeholder; allowed: {{name}}, {{1}}, {{2}} …, {{#}}")
    if not valid_topic(plain) or not plain.isprintable():
        raise ValueError(f"{text!r} is not a topic; allowed: text without '+' and '#', and placeholders")
    if text.startswith("$"):
        raise ValueError(f"{text!r} begins with '$', which brokers keep for themselves")
    if "#" in parts[1::2] and (parts[1::2].count("#") > 1 or "{#}" not in text.split("/")):
        raise ValueError(f"{text!r} has {{#}} twice or within a level; it stands for whole levels: write …/{{#}}")
    return text


def check_remap_to(match: str, to: str) -> None:
    """Check that ``to`` uses nothing that ``match``, valid by itself as ``to`` is, does not have.

    Raises:
        ValueError: it does.
    """
    pattern = read_match(match)
    known = {name for name in pattern.names if name} | {str(n + 1) for n in range(len(pattern.names))}
    if pattern.has_rest:
        known.add(REST)
    for name in placeholders(to)[1::2]:
        if name not in known:
            allowed = ", ".join(f"{{{one}}}" for one in sorted(known)) or "no placeholder"
            raise ValueError(f"{to!r} uses {{{name}}}, which {match!r} does not have; allowed: {allowed}")


def _check_size(text: str) -> None:
    if not text or len(text.encode(errors="replace")) > _MAX_BYTES:
        raise ValueError(f"{text[:40]!r} has the wrong length; allowed: 1 to {_MAX_BYTES} bytes")
