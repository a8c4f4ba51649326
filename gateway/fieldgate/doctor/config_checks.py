"""What is wrong with the configuration and the files that it names, and who else may read or change them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fieldgate.config.loader import SEARCH_PATHS, Reading
from fieldgate.config.model import Config
from fieldgate.doctor.finding import Figure, Finding
from fieldgate.doctor.secret_values import secrets_of
from fieldgate.doctor.users import user_name
from fieldgate_devices.files.document import Problem

__all__ = ["config_findings", "secret_files"]

_MAX_TOLD: Final = 20
_SECRET_FILE: Final = re.compile(r"\$\{file:([^{}]+)\}")


def config_findings(reading: Reading, problems: Sequence[Problem]) -> Iterator[Finding]:
    """Judge the configuration; ``problems`` is everything that ``fieldgate check`` would say."""
    errors = [problem for problem in problems if not (problem.is_warning or problem.is_note)]
    for problem in problems[:_MAX_TOLD]:
        kind = "note" if problem.is_note else "warning" if problem.is_warning else "error"
        advice = "" if problem.is_note else f"mend it there; 'fieldgate check{_option(reading)}' says when it is well"
        place: dict[str, Figure] = {
            "path": problem.where.path,
            "line": problem.where.line,
            "column": problem.where.column,
        }
        yield Finding(f"config.{kind}", f"{problem.where}: {problem.message}", advice, _place(problem), place)
    if len(problems) > _MAX_TOLD:
        more = len(problems) - _MAX_TOLD
        yield Finding("config.more", f"and {more} more", f"fieldgate check{_option(reading)}", figures={"more": more})
    if reading.path is None:
        places = ", ".join(map(str, SEARCH_PATHS))
        yield Finding(
            "config.none",
            f"there is no configuration file ($FIELDGATE_CONFIG, {places}): the built-in defaults apply",
            "name it with -c FILE, or begin with: fieldgate config sample > fieldgate.yaml",
        )
    elif not errors:
        yield Finding("config.usable", f"{reading.path} can be used", figures={"path": str(reading.path)})
    yield from _modes(reading)


def _option(reading: Reading) -> str:
    return f" -c {reading.path}" if reading.path is not None else ""


def _place(problem: Problem) -> str:
    return f"{Path(problem.where.path).name}:{problem.where.line}"


def secret_files(reading: Reading) -> list[Path]:
    """The files that hold a secret, as far as the configuration names them: keys, passwords, users."""
    config, path = reading.config, reading.path
    found: list[Path] = []
    if path is not None:
        with suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [path.absolute().parent / name for name in _SECRET_FILE.findall(text)]
    if config is not None:
        found += [one for one in _named_files(config) if one is not None]
    return sorted(set(found))


def _named_files(config: Config) -> Iterable[Path | None]:
    for listen in config.listen:
        yield listen.tls.key if listen.tls is not None else None
        yield listen.auth.users if listen.auth is not None else None
    for source in config.sources:
        yield source.mqtt.key if source.mqtt is not None else None
    for uplink in config.uplinks.values():
        yield uplink.mqtt.key if uplink.mqtt is not None else None
        yield uplink.webhook.key if uplink.webhook is not None else None


def _modes(reading: Reading) -> Iterator[Finding]:
    files = secret_files(reading)
    is_fine = True
    for path in files:
        with suppress(OSError):  # that it is not there, or not for us, the configuration's problems say
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o007:
                is_fine = False
                yield Finding(
                    "config.secret_open",
                    f"{path} holds a secret and is open to everyone (mode {mode:04o})",
                    f"chmod o= {path}, and take a new secret: the old one may have been read",
                    about=str(path),
                    figures={"path": str(path), "mode": f"{mode:04o}"},
                )
    if files and is_fine:
        count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
        yield Finding("config.secrets_private", f"{count} with secrets: not open to everyone", figures={
            "files": [str(path) for path in files]})  # fmt: skip
    if reading.path is not None:
        has_literal = any(one.is_literal for one in secrets_of(reading.config))
        yield from _own_mode(reading.path, has_literal=has_literal)


def _own_mode(path: Path, *, has_literal: bool) -> Iterator[Finding]:
    with suppress(OSError):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o002:
            yield Finding(
                "config.writable_by_all",
                f"everyone on this machine may change {path} (mode {mode:04o})",
                f"chmod o-w {path}",
                about=str(path),
                figures={"path": str(path), "mode": f"{mode:04o}"},
            )
        if mode & 0o004 and has_literal:
            yield Finding(
                "config.literal_secret",
                f"{path} holds a secret itself, and everyone may read it (mode {mode:04o}, of "
                f"{user_name(status.st_uid)})",
                f"chmod o= {path}, or better put the secret into a file of its own and write ${{file:PATH}} or "
                "${credential:NAME}",
                about=str(path),
                figures={"path": str(path), "mode": f"{mode:04o}"},
            )
