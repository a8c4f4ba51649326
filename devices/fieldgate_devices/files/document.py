"""Read YAML 1.2 into plain values and remember where each of them stands.

Laws: nothing but mappings, lists, texts, numbers, true/false and null comes out; ``on``, ``no`` and dates stay
texts. A duplicate key, a tag or an unknown alias is a problem with its position, and reading goes on. What
cannot be read any further (broken syntax, a bomb of aliases, too deep) ends with the problems so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fieldgate_devices.files.location import Location
from fieldgate_devices.files.quantities import format_size
from fieldgate_devices.files.yaml_events import Event, NotYaml, Part, can_be_fast, fast_events, part_of, yaml_events

__all__ = [
    "MAX_FILE_BYTES",
    "Document",
    "Limits",
    "Loc",
    "Node",
    "Problem",
    "Scalar",
    "Value",
    "read_yaml",
]

MAX_FILE_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 24

Scalar = str | int | float | bool | None
Value = Scalar | list["Value"] | dict[str, "Value"]
Loc = tuple[str | int, ...]

_BASES: Final = {"0o": 8, "0x": 16}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BEGINS_A_NUMBER: Final = frozenset("+-.0123456789")
_ESCAPING: Final = '"'
"""The only style of texts with escapes."""
_NO_TEXT: Final = re.compile("[\0\ud800-\udfff]")
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may hold; ``max_nodes`` counts every value and mapping, aliases written out."""

    max_bytes: int = MAX_FILE_BYTES
    max_nodes: int = 20_000


_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something to change in the file; ``str()`` is the line that a person sees."""

    where: Location
    message: str
    is_warning: bool = False
    is_note: bool = False  # nothing to change: it says what was not looked at

    def __str__(self) -> str:
        kind = "note: " if self.is_note else "warning: " if self.is_warning else ""
        return f"{self.where}: {kind}{self.message}"


class Node(msgspec.Struct, gc=False):  # nothing holds itself: an alias to what it stands in is refused
    """A value and where it begins. ``size`` counts the node and everything below it, aliases written out."""

    at: Location
    content: Scalar | list[Node] | dict[str, tuple[Location, Node]]
    size: int = 1

    def value(self) -> Value:
        """The plain value."""
        content = self.content
        if isinstance(content, list):
            return [node.value() for node in content]
        if isinstance(content, dict):
            return {key: node.value() for key, (_, node) in content.items()}
        return content


@dataclass(slots=True)
class Document:
    """What a file holds. ``root`` is absent when it cannot be read as YAML."""

    path: str
    root: Node | None
    problems: list[Problem] = field(default_factory=list)

    def node(self, loc: Loc) -> Node | None:
        """The node at ``loc``, if the file has one; a mapping also counts as a list with itself as the only entry."""
        node = self.root
        if node is None:
            return None
        for step in loc:
            content = node.content
            if isinstance(content, dict):
                entry = content.get(step) if isinstance(step, str) else None
                if entry is not None:
                    node = entry[1]
                elif step != 0:  # one entry may stand where a list of them is taken
                    return None
            elif isinstance(content, list) and isinstance(step, int) and step < len(content):
                node = content[step]
            else:
                return None
        return node

    def where(self, loc: Loc) -> Location:
        """Where the value at ``loc`` begins, or that of the nearest mapping or list around it."""
        while (node := self.node(loc)) is None and loc:
            loc = loc[:-1]
        return node.at if node is not None else Location(self.path, 1, 1)

    def where_key(self, loc: Loc) -> Location:
        """Where the key that leads to ``loc`` stands; an entry of a list has none, its value counts."""
        while loc:
            parent = self.node(loc[:-1])
            if parent is not None and isinstance(parent.content, dict) and loc[-1] in parent.content:
                return parent.content[str(loc[-1])][0]
            if self.node(loc) is not None:
                break
            loc = loc[:-1]
        return self.where(loc)


class _Unreadable(Exception):
    """The rest of the file cannot be understood; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def read_yaml(
    content: bytes, path: str, *, private_keys: frozenset[str] = frozenset(), limits: Limits = _LIMITS
) -> Document:
    """Read one YAML document; ``path`` is how positions name the file.

    Messages show nothing of what stands under a key in ``private_keys``.
    """
    document = Document(path, None)
    try:
        if len(content) > limits.max_bytes:
            allowed = f"{limits.max_bytes} ({format_size(limits.max_bytes)})"
            raise _Unreadable(Problem(Location(path, 1, 1), f"the file has {len(content)} bytes; allowed: {allowed}"))
        text = _decode(content, path)
        if can_be_fast(text):
            try:
                document.root = _Reader(fast_events(text), document, private_keys, limits).read()
            except NotYaml:  # the other parser says better what is wrong
                document.problems.clear()
            else:
                return document
        document.root = _Reader(yaml_events(text), document, private_keys, limits).read()
    except NotYaml as error:
        document.problems.append(Problem(Location(path, error.line, error.column), str(error)))
    except _Unreadable as error:
        document.problems.append(error.problem)
    return document


class _Reader:
    """Turns events into nodes."""

    def __init__(
        self, events: Iterator[Event], document: Document, private_keys: frozenset[str], limits: Limits
    ) -> None:
        self._path = document.path
        self._problems = document.problems
        self._private_keys = private_keys
        self._anchors: dict[str, Node | None] = {}
        self._nodes = 0
        self._max_nodes = limits.max_nodes
        self._events = events
        self._following = events.__next__

    def read(self) -> Node:
        root = Node(Location(self._path, 1, 1), None)
        documents = 0
        for event in self._events:
            part = part_of(event)
            if part is Part.DOCUMENT:
                documents += 1
                if documents > 1:
                    self._note(event, "a second document begins; allowed: one")
                    break
                root = self._node(self._following(), depth=0, is_private=False)
            elif part is Part.END_OF_STREAM:
                break
        return root

    def _node(self, event: Event, *, depth: int, is_private: bool) -> Node:
        at = self._location(event)
        if depth > _MAX_DEPTH:
            raise _Unreadable(Problem(at, f"lists and mappings are nested too deep; allowed: {_MAX_DEPTH} levels"))
        part = part_of(event)
        if part is Part.ALIAS:
            return self._alias(event, at, is_private=is_private)
        anchor, tag = event.anchor, event.tag
        node = Node(at, self._scalar(event, at) if part is Part.SCALAR else None)
        if anchor is not None:
            self._anchors[anchor] = None  # not finished: an alias to it from within would have no end
        if part is Part.MAPPING:
            self._mapping(node, depth=depth, is_private=is_private)
        elif part is Part.LIST:
            self._list(node, depth=depth, is_private=is_private)
        if tag is not None and tag != "tag:yaml.org,2002:str":
            shown = "a tag" if is_private else f"the tag {_short_tag(str(tag))!r}"
            self._note(event, f"{shown} is not allowed; allowed: plain values without tags")
        self._count(1, at)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _mapping(self, node: Node, *, depth: int, is_private: bool) -> None:
        entries: dict[str, tuple[Location, Node]] = {}
        node.content = entries
        following, private_keys, size = self._following, self._private_keys, node.size
        while (part := part_of(event := following())) is not Part.END_OF_MAPPING:
            at = self._location(event)
            if part is Part.SCALAR:
                key: str = event.value
                if event.style == _ESCAPING:
                    self._check_text(key, at)
            else:
                self._note(event, "a key must be a plain text")
                key = ""
                self._node(event, depth=depth + 1, is_private=is_private)
            what = following()
            value = self._node(what, depth=depth + 1, is_private=is_private or key in private_keys)
            if not value.content and part_of(what) is Part.SCALAR and what.value == "":
                value.at = at  # an empty value has no place of its own
            if part is not Part.SCALAR:
                continue
            if key in entries:
                shown = "this key" if is_private else f"the key {key!r}"
                first = entries[key][0]
                self._note(event, f"{shown} stands twice; it is in line {first.line} already")
                continue
            entries[key] = (at, value)
            size += value.size
        node.size = size

    def _list(self, node: Node, *, depth: int, is_private: bool) -> None:
        items: list[Node] = []
        node.content = items
        following = self._following
        while part_of(event := following()) is not Part.END_OF_LIST:
            items.append(self._node(event, depth=depth + 1, is_private=is_private))
        node.size += sum([one.size for one in items])

    def _alias(self, event: Event, at: Location, *, is_private: bool) -> Node:
        name = str(event.anchor)
        shown = "this alias" if is_private else f"the alias {'*' + name!r}"
        if name not in self._anchors:
            self._note(event, f"{shown} has no anchor before it; put a text that begins with '*' in quotes")
            return Node(at, None)
        node = self._anchors[name]
        if node is None:
            raise _Unreadable(Problem(at, f"{shown} stands inside of what it repeats"))
        self._count(node.size, at)
        return node

    def _scalar(self, event: Event, at: Location) -> Scalar:
        text: str = event.value
        style = event.style
        if style == _ESCAPING:
            self._check_text(text, at)
        if style or event.tag is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _BEGINS_A_NUMBER:
            return text
        if _INTEGER.fullmatch(text):
            if len(text) > 40:
                self._problems.append(Problem(at, f"the number {text[:10] + '…'!r} is too long; allowed: 40 digits"))
                return 0
            return int(text, _BASES.get(text[:2], 10))
        return float(text.replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text

    def _check_text(self, text: str, at: Location) -> None:
        """Escapes can make what no text, file name or topic may hold."""
        if (bad := _NO_TEXT.search(text)) is not None:
            self._problems.append(Problem(at, f"the character {bad[0]!r} is not allowed"))

    def _count(self, nodes: int, at: Location) -> None:
        self._nodes += nodes
        if self._nodes > self._max_nodes:
            raise _Unreadable(
                Problem(at, f"the file holds too many values, aliases written out; allowed: {self._max_nodes}")
            )

    def _location(self, event: Event) -> Location:
        mark = event.start_mark
        return Location(self._path, mark.line + 1, mark.column + 1)

    def _note(self, event: Event, message: str) -> None:
        self._problems.append(Problem(self._location(event), message))


def _decode(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", errors="replace")) + 1
        at = Location(path, before.count(b"\n") + 1, column)
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _Unreadable(Problem(at, message)) from error


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)
