"""What is wrong with the files that listeners name, that of metrics too: users, ACL, TLS. For ``fieldgate check``.

Opens no connection.

The gateway starts without them (its other parts are not to suffer), but such a listener lets nobody in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fieldgate import clock
from fieldgate.config.acl_file import read_acl
from fieldgate.config.finding import Finding
from fieldgate.config.listen import ListenConfig
from fieldgate.config.loader import Reading
from fieldgate.config.users_file import MAX_USERS_BYTES, User, read_users
from fieldgate.net.server_tls import load_server_tls, tls_file_problems
from fieldgate_devices.files.document import MAX_FILE_BYTES, Loc, Problem
from fieldgate_devices.files.location import Location

__all__ = ["problems_in_listen_files"]

_OPEN_TO_EVERYONE = 0o007


def problems_in_listen_files(reading: Reading) -> list[Problem]:
    """Return everything found, errors and warnings, sorted by position; also if the configuration has errors."""
    found: set[Problem] = set()
    for number, listen in enumerate(reading.config.listen if reading.config is not None else ()):
        loc: Loc = ("listen", number)
        found.update(_in_access_files(listen, loc, reading))
        found.update(_in_tls_files(listen, loc, reading))
    if reading.config is not None and reading.config.metrics.listen is not None:
        door = reading.config.metrics.door
        found.update(_in_access_files(door, ("metrics",), reading))
        found.update(_in_tls_files(door, ("metrics",), reading))
    return sorted(found)


def _in_access_files(listen: ListenConfig, loc: Loc, reading: Reading) -> Iterator[Problem]:
    auth = listen.auth
    if auth is None:
        return
    users: dict[str, User] | None = None
    if auth.users is not None:
        content = _content(auth.users, MAX_USERS_BYTES)
        if isinstance(content, str):
            message = f"users: {str(auth.users)!r} {content}: nobody can come in"
            yield reading.problem(Finding((*loc, "auth", "users"), message))
        else:
            users, problems = read_users(content, str(auth.users))
            yield from problems
            yield from _in_mode(auth.users)
    if auth.acl is not None:
        content = _content(auth.acl, MAX_FILE_BYTES)
        if isinstance(content, str):
            message = f"acl: {str(auth.acl)!r} {content}: nobody can come in"
            yield reading.problem(Finding((*loc, "auth", "acl"), message))
            return
        rules, problems = read_acl(content, str(auth.acl))
        yield from problems
        if users is not None and not listen.names_by_certificate:
            for name, of_user in rules.users.items():
                if name not in users and name not in auth.tokens and of_user:
                    message = f"{name!r} has rules and is not in the users file {str(auth.users)!r}"
                    yield Problem(of_user[0].where, message, is_warning=True)


def _in_mode(path: Path) -> Iterator[Problem]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OPEN_TO_EVERYONE:
        message = f"the file holds password hashes and is open to everyone (mode {mode:04o}); 0600 or 0640 is enough"
        yield Problem(Location(str(path), 1, 1), message, is_warning=True)


def _in_tls_files(listen: ListenConfig, loc: Loc, reading: Reading) -> Iterator[Problem]:
    if listen.tls is None or listen.tls.certificate is None:
        return  # the configuration says so
    problems = tls_file_problems(listen.tls)
    for one in problems:
        finding = Finding((*loc, "tls", one.key), str(one), tuple((*loc, "tls", key) for key in one.reads))
        if reading.is_known(finding):
            yield reading.problem(finding)
    if not problems and (
        warning := load_server_tls(listen.tls).warning(datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC))
    ):
        yield reading.problem(Finding((*loc, "tls", "certificate"), f"certificate: {warning}"), is_warning=True)


def _content(path: Path, max_bytes: int) -> bytes | str:
    """The file, or why it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        return f"cannot be read ({os.strerror(error.errno or 0).lower()})"
