"""Recordings: what came to a gateway, byte for byte, with its time and its source, as lines of JSON.

The format is described in ``rules/RECORDINGS.md``. Laws: what is written is read as the same; a file that is none says
so once, a wrong line is a problem with its place and the others are read; a last line that was cut short (the recorder
lost its power) costs that line only. Memory is bounded by the longest line, whatever the file.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.validate import did_you_mean

__all__ = [
    "MAX_LINE_BYTES",
    "RECORDING_HEAD",
    "Heard",
    "RecordingReader",
    "is_recording",
    "read_rfc3339",
    "read_whole_recording",
    "recording_line",
    "rfc3339",
]

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
RECORDING_HEAD: Final = b'{"fieldgate":"recording","version":1}\n'
"""The first line."""

_VERSION: Final = 1
_MAX_TOPIC_BYTES: Final = 65_535  # [MQTT-1.5.4]: the length of a string has two bytes
_MAX_SOURCE: Final = 256
_MAX_PROBLEMS: Final = 100
_MAX_KNOWN: Final = 10_000
_KEYS: Final = ("at", "source", "topic", "payload", "base64", "qos", "retained")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS: Final = 2**63 - 1  # in 2262
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_FAULT: Final = re.compile(r"\(byte (\d+)\)")
_FIELD: Final = re.compile(r"(?:field `|at `\$\.)([^`]+)`$")


class Heard(msgspec.Struct, frozen=True, gc=False):
    """One message as it came.

    ``at_ns`` is UTC in ns since 1970; ``source`` is a listener (``listen:1883``), a source's name, or ``serial:NAME``.
    """

    at_ns: int
    source: str
    topic: str
    payload: bytes
    qos: int = 0
    is_retained: bool = False


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    fieldgate: str
    version: int


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    at: str
    source: str
    topic: str
    payload: str | None = None
    base64: str | None = None
    qos: int = 0
    retained: bool = False


class _Wrong(Exception):
    """A line that cannot be used: the key that is at fault (empty: the line), and what is wrong."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key
        self.problem = problem


_encode = msgspec.json.Encoder().encode
_read_head = msgspec.json.Decoder(_Head).decode
_read_line = msgspec.json.Decoder(_Line).decode


def is_recording(beginning: bytes) -> bool:
    """Whether a file that begins so says of itself that it is a recording, of whatever version."""
    try:
        head = msgspec.json.decode(beginning.split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(head, dict) and head.get("fieldgate") == "recording"


def recording_line(message: Heard) -> bytes:
    """Return the line for a message: its payload as a text where it is one in UTF-8, else as base64."""
    line: dict[str, object] = {"at": rfc3339(message.at_ns), "source": message.source, "topic": message.topic}
    try:
        line["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        line["base64"] = base64.b64encode(message.payload).decode()
    if message.qos:
        line["qos"] = message.qos
    if message.is_retained:
        line["retained"] = True
    return _encode(line) + b"\n"


def read_whole_recording(content: bytes, path: str) -> tuple[list[Heard], list[Problem]]:
    """Return all messages of a recording, and what is wrong with it."""
    reader = RecordingReader(path)
    return [message for _, message in (*reader.feed(content), *reader.end())], reader.problems


class RecordingReader:
    """Fed with the bytes of a file, in pieces of any size. ``path`` is how positions name it.

    ``problems`` are those so far: warnings where a line is left out or counts for another time than it names. After a
    hundred, or where the file is no recording at all, ``is_over``: the rest is not looked at.
    """

    def __init__(self, path: str) -> None:
        self.problems: list[Problem] = []
        self.is_over = False
        self._path = path
        self._rest = b""
        self._number = 0
        self._has_head = False
        self._latest_ns = 0
        self._known: set[tuple[str, str]] = set()  # sources and topics that are right
        self._time_of = _TimeReader()
        self._last_at, self._last_ns = "", 0

    def feed(self, chunk: bytes) -> list[tuple[int, Heard]]:
        """Return the messages that are complete, with the numbers of their lines."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        found = self._read(lines)
        if len(self._rest) > MAX_LINE_BYTES and not self.is_over:
            self._number += 1
            self._too_long()
            self.is_over = True
        if self.is_over:
            self._rest = b""
        return found

    def end(self) -> list[tuple[int, Heard]]:
        """The file ends here: return the last message, if it had no line end."""
        last, self._rest = self._rest, b""
        if not last.strip() or self.is_over:
            if not self._has_head and not self.is_over:
                self._no_recording("the file is empty")
            return []
        if not self._has_head:
            return self._read([last])
        self._number += 1
        try:
            return [(self._number, self._message(last))]
        except _Wrong:
            self._tell("the last line was cut short, and is left out", is_warning=True)
            return []

    def _read(self, lines: Iterable[bytes]) -> list[tuple[int, Heard]]:
        found: list[tuple[int, Heard]] = []
        for line in lines:
            if self.is_over:
                break
            self._number += 1
            if self._has_head and 0 < len(line) <= MAX_LINE_BYTES:
                try:
                    found.append((self._number, self._message(line)))
                except _Wrong as wrong:
                    if line.strip():
                        self._tell(wrong.problem, column=_column_of(line, wrong))
            elif len(line) > MAX_LINE_BYTES and self._has_head:
                self._too_long()
            elif line.strip():
                self._read_head(line)
        return found

    def _read_head(self, line: bytes) -> None:
        try:
            head = _read_head(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._no_recording("the first line does not say so")
        if head.fieldgate != "recording":
            return self._no_recording("the first line does not say so")
        if head.version != _VERSION:
            self._tell(f"version {head.version} of recordings is not known; allowed: {_VERSION}")
            self.is_over = True
        self._has_head = True
        return None

    def _message(self, line: bytes) -> Heard:
        # runs for each line of a day: what lines share (source, topic, second) is looked at once
        try:
            said = _read_line(line)
        except msgspec.ValidationError as error:
            raise _Wrong(*_explained(str(error))) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Wrong("", f"this is not JSON: {error}") from error
        at_ns = self._last_ns if said.at == self._last_at else self._time(said.at)
        key = (said.source, said.topic)
        if key not in self._known or said.qos:
            _check(said)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known.add(key)
        text = said.payload
        payload = text.encode() if text is not None and said.base64 is None else _payload(said)
        if at_ns < self._latest_ns:
            was = rfc3339(self._latest_ns)
            self._tell(f"the time {said.at} lies before {was} of an earlier line, and counts as that", is_warning=True)
            at_ns = self._latest_ns
        self._latest_ns = at_ns
        return Heard(at_ns, said.source, said.topic, payload, said.qos, said.retained)

    def _time(self, text: str) -> int:
        """The time of a line; that of the last one is known, which messages that came in one read share."""
        at_ns = self._time_of(text)
        self._last_at, self._last_ns = text, at_ns
        return at_ns

    def _no_recording(self, how: str) -> None:
        self._number = max(self._number, 1)
        self._tell(f"this is no recording: {how}; it begins with {RECORDING_HEAD.decode().strip()}")
        self.is_over = True

    def _too_long(self) -> None:
        self._tell(f"the line is too long; allowed: {MAX_LINE_BYTES} bytes (4MiB)")

    def _tell(self, message: str, *, column: int = 1, is_warning: bool = False) -> None:
        where = Location(self._path, self._number, column)
        self.problems.append(Problem(where, message, is_warning=is_warning))
        if len(self.problems) >= _MAX_PROBLEMS:
            self.problems.append(Problem(where, "there may be more, which are not looked for"))
            self.is_over = True


def _check(said: _Line) -> None:
    if not 0 < len(said.source) <= _MAX_SOURCE:
        raise _Wrong("source", f"source: it has {len(said.source)} characters; allowed: 1 to {_MAX_SOURCE}")
    if not 0 < len(said.topic.encode()) <= _MAX_TOPIC_BYTES:
        raise _Wrong("topic", f"topic: it has {len(said.topic.encode())} bytes; allowed: 1 to {_MAX_TOPIC_BYTES}")
    if bad := next((one for one in "+#\0" if one in said.topic), None):
        raise _Wrong("topic", f"topic: no message comes on a topic with {bad!r}")
    if said.qos not in (0, 1, 2):
        raise _Wrong("qos", f"qos: {said.qos} is not known; allowed: 0, 1, 2")


def _payload(said: _Line) -> bytes:
    if (said.payload is None) == (said.base64 is None):
        raise _Wrong("base64", "needs one of payload and base64")
    if said.payload is not None:
        return said.payload.encode()
    assert said.base64 is not None
    try:
        return base64.b64decode(said.base64, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _Wrong("base64", f"base64: this is none: {str(error).lower()}") from error


def _explained(error: str) -> tuple[str, str]:
    """The key that msgspec complains about, and what is wrong, in our words."""
    named = _FIELD.search(error)
    key = named[1] if named is not None else ""
    if "unknown field" in error:
        return key, f"unknown key {key!r}{did_you_mean(key, _KEYS) or '; allowed: ' + ', '.join(_KEYS)}"
    if "missing required" in error:
        return "", f"the line has no {key!r}"
    wanted = error.split(" - ", maxsplit=1)[0].lower().replace("`", "")
    wanted = wanted.replace(" | null", "")
    return key, f"{key}: {wanted}" if key else wanted


def _column_of(line: bytes, wrong: _Wrong) -> int:
    """Where in the line the mistake is, counted in characters from 1."""
    fault = _FAULT.search(wrong.problem)
    at = int(fault[1]) if fault is not None else line.find(f'"{wrong.key}"'.encode()) if wrong.key else 0
    return len(line[: max(0, at)].decode(errors="replace")) + 1


class _TimeReader:
    """Times of lines, of which many share their second."""

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        known = self._seconds.get(text[:20])
        if known is not None and len(text) == 30 and text[29] == "Z" and text.isascii():
            fraction = text[20:29]
            if fraction.isdecimal():
                return known + int(fraction)
        try:
            at_ns = read_rfc3339(text)
        except ValueError as error:
            raise _Wrong("at", f"at: {error}") from error
        if len(text) == 30 and text[29] == "Z" and text[19] == ".":
            if len(self._seconds) > 64:
                self._seconds.clear()
            self._seconds[text[:20]] = at_ns // 10**9 * 10**9
        return at_ns


def read_rfc3339(text: str) -> int:
    """Return UTC in ns since 1970, exact to the ns.

    Raises:
        ValueError: it is no time, names no zone, or lies before 1970 or after 2262.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        shown = repr(text if len(text) <= 40 else f"{text[:39]}…")
        raise ValueError(f"{shown} is not a time in RFC 3339, such as 2026-01-01T00:00:00.000000000Z")
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        zone = timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes))) if sign else UTC
        at = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)
        seconds = (at - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: {error}") from error
    at_ns = seconds * 10**9 + int((fraction or "0").ljust(9, "0"))
    if not 0 <= at_ns <= _LATEST_NS:
        raise ValueError(f"{text!r} is out of range; allowed: 1970 to 2262")
    return at_ns


def rfc3339(at_ns: int) -> str:
    """Return a time as recordings have it: UTC, always with nine digits behind the second."""
    at = _EPOCH + timedelta(seconds=at_ns // 10**9)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns % 10**9:09}Z"
