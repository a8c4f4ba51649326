"""What is wrong with the files that listeners name: users, ACL, TLS. For ``fieldgate check``; opens no connection.

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
from fieldgate.config.listen import ListenConfig
from fieldgate.config.loader import LoadedConfig
from fieldgate.config.users_file import MAX_USERS_BYTES, User, read_users
from fieldgate.net.server_tls import TlsFileError, load_server_tls
from fieldgate_devices.files.document import MAX_FILE_BYTES, Problem
from fieldgate_devices.files.location import Location

__all__ = ["problems_in_listen_files"]

_OPEN_TO_EVERYONE = 0o007


def problems_in_listen_files(loaded: LoadedConfig) -> list[Problem]:
    """Return everything found, errors and warnings, sorted by position."""
    found: set[Problem] = set()
    for number, listen in enumerate(loaded.config.listen):
        places = _Places(loaded, f"listen[{number}]")
        found.update(_in_access_files(listen, places))
        found.update(_in_tls_files(listen, places))
    return sorted(found)


class _Places:
    """Where the keys of one listener stand."""

    def __init__(self, loaded: LoadedConfig, prefix: str) -> None:
        self._origins = loaded.origins
        self._prefix = prefix

    def of(self, key: str) -> Location:
        path, line, column = self._origins[f"{self._prefix}.{key}"].rsplit(":", 2)
        return Location(path, int(line), int(column))


def _in_access_files(listen: ListenConfig, places: _Places) -> Iterator[Problem]:
    auth = listen.auth
    if auth is None:
        return
    users: dict[str, User] | None = None
    if auth.users is not None:
        content = _content(auth.users, MAX_USERS_BYTES)
        if isinstance(content, str):
            yield Problem(places.of("auth.users"), f"users: {str(auth.users)!r} {content}: nobody can come in")
        else:
            users, problems = read_users(content, str(auth.users))
            yield from problems
            yield from _in_mode(auth.users)
    if auth.acl is not None:
        content = _content(auth.acl, MAX_FILE_BYTES)
        if isinstance(content, str):
            yield Problem(places.of("auth.acl"), f"acl: {str(auth.acl)!r} {content}: nobody can come in")
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


def _in_tls_files(listen: ListenConfig, places: _Places) -> Iterator[Problem]:
    if listen.tls is None:
        return
    try:
        tls = load_server_tls(listen.tls)
    except TlsFileError as error:
        yield Problem(places.of(f"tls.{error.key}"), str(error))
        return
    if warning := tls.warning(datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)):
        yield Problem(places.of("tls.certificate"), f"certificate: {warning}", is_warning=True)


def _content(path: Path, max_bytes: int) -> bytes | str:
    """The file, or why it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        return f"cannot be read ({os.strerror(error.errno or 0).lower()})"
