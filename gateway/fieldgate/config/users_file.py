"""The users file: who may log in, one ``name:hash`` a line; empty lines and lines that begin with ``#`` mean nothing.

Reading is all or nothing: a file with one bad line lets nobody in, because nobody knows what it was meant to say
(CVE-2018-12551). Changing keeps every other line as it is. ``fieldgate user`` writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fieldgate.config.password_hash import PasswordHash
from fieldgate_devices.files.document import Problem
from fieldgate_devices.files.location import Location

__all__ = ["MAX_USERS_BYTES", "User", "check_user_name", "read_users", "with_user", "without_user"]

MAX_USERS_BYTES: Final = 16 * 2**20
_MAX_NAME_BYTES: Final = 256
_NAME: Final = re.compile(r"[^:\s#][^:]*")


@dataclass(frozen=True, slots=True)
class User:
    """A line of the file."""

    name: str
    password: PasswordHash
    where: Location


def check_user_name(name: str) -> str:
    """A name that a line of the file can hold.

    Raises:
        ValueError: it is none; the message says what one looks like.
    """
    if not _NAME.fullmatch(name) or not name.isprintable() or name != name.strip() or "\ufffd" in name:
        raise ValueError(
            f"{name!r} is not a user name; allowed: printable characters without ':', no '#' in front, "
            "no spaces at the ends"
        )
    if len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        raise ValueError(f"{name[:40]!r}… is too long for a user name; allowed: {_MAX_NAME_BYTES} bytes")
    return name


def read_users(content: bytes, path: str) -> tuple[dict[str, User], list[Problem]]:
    """Read the whole file; the users mean nothing unless there are no problems."""
    if len(content) > MAX_USERS_BYTES:
        return {}, [Problem(Location(path, 1, 1), f"the file is too long; allowed: {MAX_USERS_BYTES >> 20}MiB")]
    users: dict[str, User] = {}
    problems: list[Problem] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            problems.append(Problem(Location(path, number, error.start + 1), "this is not UTF-8"))
            continue
        if not line.strip() or line.startswith("#"):
            continue
        try:
            user = _read_line(line, path, number)
        except _BadLine as bad:
            problems.append(bad.problem)
            continue
        if user.name in users:
            first = users[user.name].where.line
            problems.append(Problem(user.where, f"the user {user.name!r} stands twice; in line {first} already"))
        else:
            users[user.name] = user
    return users, problems


class _BadLine(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _read_line(line: str, path: str, number: int) -> User:
    name, colon, text = line.partition(":")
    if not colon:
        raise _BadLine(Problem(Location(path, number, 1), "this line has no ':'; write NAME:HASH, or '#' for a remark"))
    try:
        check_user_name(name)
    except ValueError as error:
        raise _BadLine(Problem(Location(path, number, 1), str(error))) from None
    try:
        password = PasswordHash.parse(text.rstrip())
    except ValueError as error:
        raise _BadLine(Problem(Location(path, number, len(name) + 2), str(error))) from None
    return User(name, password, Location(path, number, 1))


def with_user(text: str, name: str, password: PasswordHash) -> str:
    """Return the file's text with this user's line replaced, or added at the end."""
    line = f"{name}:{password}\n"
    lines = _lines(text)
    for number, old in enumerate(lines):
        if _is_line_of(old, name):
            lines[number] = line
            return "".join(lines)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines, line])


def without_user(text: str, name: str) -> str:
    """Return the file's text without this user's line."""
    return "".join(line for line in _lines(text) if not _is_line_of(line, name))


def _lines(text: str) -> list[str]:
    """The lines that `read_users` sees, with their ends: `str.splitlines` sees more, such as one behind a form feed."""
    *whole, rest = text.split("\n")
    return [*(line + "\n" for line in whole), *([rest] if rest else [])]


def _is_line_of(line: str, name: str) -> bool:
    return line.removeprefix("\ufeff").startswith(f"{name}:")
