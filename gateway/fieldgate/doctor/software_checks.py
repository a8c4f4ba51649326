"""Whether Python, OpenSSL and SQLite are fit to carry this for years."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from typing import Final

from fieldgate.doctor.finding import Finding
from fieldgate.doctor.sqlite_bugs import OLDEST_TESTED, Version, bugs_of
from fieldgate.journal.sqlite_version import sqlite_version

__all__ = ["SoftwareFacts", "read_software", "software_findings"]

_PYTHON_ENDS: Final = {  # peps 664, 693, 719, 745, 790: the last security release
    (3, 11): date(2027, 10, 31),
    (3, 12): date(2028, 10, 31),
    (3, 13): date(2029, 10, 31),
    (3, 14): date(2030, 10, 31),
}
_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_OPENSSL: Final = (3, 0, 0)  # 1.1.1 has had no public fixes since 2023-09-11


@dataclass(frozen=True, slots=True)
class SoftwareFacts:
    """The versions of what is loaded."""

    python: Version
    sqlite: Version
    openssl: Version
    openssl_text: str
    has_uvloop: bool


def read_software() -> SoftwareFacts:
    """Ask this process."""
    return SoftwareFacts(
        python=sys.version_info[:3],
        sqlite=sqlite_version(),
        openssl=ssl.OPENSSL_VERSION_INFO[:3],  # from 3 on without the last part of its number
        openssl_text=ssl.OPENSSL_VERSION,
        has_uvloop=find_spec("uvloop") is not None,
    )


def software_findings(facts: SoftwareFacts, *, wall_s: float) -> Iterator[Finding]:
    """Judge the versions; ``wall_s`` decides what is out of support."""
    yield _python(facts.python, datetime.fromtimestamp(wall_s, UTC).date())
    yield from _sqlite(facts.sqlite)
    figures = {"version": facts.openssl_text}
    if facts.openssl < _OLDEST_OPENSSL:
        yield Finding(
            "software.openssl_old",
            f"{facts.openssl_text} gets no security fixes any more",
            "upgrade the system (Debian 12 and later have OpenSSL 3)",
            figures=figures,
        )
    else:
        yield Finding("software.openssl", facts.openssl_text, figures=figures)
    if not facts.has_uvloop:
        yield Finding(
            "software.no_uvloop",
            "uvloop is not installed: Python's own event loop serves, at about half the speed",
            "where there is a wheel for this machine: pip install uvloop",
        )


def _python(version: Version, today: date) -> Finding:
    figures = {"version": _text(version)}
    if version[:2] < _OLDEST_PYTHON:
        return Finding(
            "software.python_old",
            f"Python {_text(version)} is older than {_OLDEST_PYTHON[0]}.{_OLDEST_PYTHON[1]}, which Fieldgate needs",
            "install a newer one, and Fieldgate in it",
            figures=figures,
        )
    end = _PYTHON_ENDS.get((version[0], version[1]))
    if end is not None and today > end:
        return Finding(
            "software.python_ended",
            f"Python {_text(version)} has had no security fixes since {end:%Y-%m}",
            "install a newer one, and Fieldgate in it",
            figures=figures,
        )
    return Finding("software.python", f"Python {_text(version)}", figures=figures)


def _sqlite(version: Version) -> Iterator[Finding]:
    figures = {"version": _text(version)}
    if version < OLDEST_TESTED:
        yield Finding(
            "software.sqlite_old",
            f"SQLite {_text(version)} is older than {_text(OLDEST_TESTED)}, the oldest that Fieldgate is tested with",
            "install a newer one (Python uses the system's libsqlite3)",
            figures=figures,
        )
    found = bugs_of(version)
    for bug in found:
        seen = f"SQLite {_text(version)} has the bug '{bug.name}', fixed in {_text(bug.fixed)}: {bug.effect}"
        facts = {**figures, "bug": bug.name, "fixed_in": _text(bug.fixed)}
        if bug.why_safe:
            yield Finding("software.sqlite_bug_unmet", f"{seen}. {bug.why_safe}", about=bug.name, figures=facts)
        else:
            advice = "install another version (Python uses the system's libsqlite3)"
            yield Finding("software.sqlite_bug", seen, advice, about=bug.name, figures=facts)
    if not found and version >= OLDEST_TESTED:
        yield Finding(
            "software.sqlite", f"SQLite {_text(version)}, without a known bug that damages files", figures=figures
        )


def _text(version: Version) -> str:
    return ".".join(map(str, version))
