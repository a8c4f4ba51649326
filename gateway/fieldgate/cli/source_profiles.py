"""Profiles that sources name, and that are not there; serial sources that none understands, or cannot be told anything.

For ``fieldgate check``.

The gateway starts without them: a profile may come later, and the other sources are not to suffer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.cli.profile_sources import Profiles, UnknownProfile
from fieldgate.config.finding import Finding
from fieldgate.config.loader import Reading
from fieldgate_devices.command import Command
from fieldgate_devices.files.document import Loc, Problem
from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.spec import framer_of

__all__ = ["problems_with_source_profiles"]

_BECOMES: Final = {
    "accept": "becomes an event as it is, of type generic",
    "quarantine": "is kept as a dead letter",
    "reject": "is thrown away",
}


def problems_with_source_profiles(reading: Reading, profiles: Profiles) -> list[Problem]:
    """Return them, sorted by position."""
    found = [*_not_understood(reading, profiles), *_not_carried(reading, profiles)]
    surprises = [reading.problem(one, is_warning=True) for one in found]
    return sorted([*(reading.problem(one) for one in _findings(reading, profiles)), *surprises])


def _findings(reading: Reading, profiles: Profiles) -> Iterator[Finding]:
    contracts = profiles.catalogue.contracts
    for loc, name in _named(reading):
        contract = contracts.get(name)
        if contract is None:
            yield Finding(loc, f"profile: {UnknownProfile(name, list(contracts))}")
        elif loc[2] == "modbus" and contract.profile.modbus is None:
            yield Finding(loc, f"profile: {name!r} has no registers (modbus), so nothing can be read")


def _not_understood(reading: Reading, profiles: Profiles) -> Iterator[Finding]:
    """What a serial port says has one topic, so that it can be told before it comes."""
    config = reading.config
    for number, source in enumerate(config.sources if config is not None else ()):
        if config is None or source.serial is None or source.serial.profile is not None:
            continue
        if not profiles.catalogue.candidates(source.topic):
            becomes = _BECOMES[config.devices.unknown]
            message = (
                f"serial: no profile says what {source.name!r} says: each frame {becomes}; write profile: ID here, or "
                f"match: {{serial: {source.name}}} in a profile"
            )
            yield Finding(("sources", number, "serial"), message)


def _not_carried(reading: Reading, profiles: Profiles) -> Iterator[Finding]:
    """Commands that the framing of the port refuses, whatever their arguments."""
    for number, source in enumerate(reading.config.sources if reading.config is not None else ()):
        if source.serial is None:
            continue
        framer = framer_of(source.serial.framing)
        for contract in {one.contract for one in profiles.catalogue.candidates(source.topic)}:
            for name, spec in contract.profile.commands.items():
                if problem := _refused_by(framer, Command(name, spec)):
                    called = contract.profile.profile
                    message = f"serial: the command {name!r} of {called!r} cannot be written to this port: {problem}"
                    yield Finding(("sources", number, "serial"), message)


def _refused_by(framer: Framer, command: Command) -> str:
    """Why; empty where it is written, and where that is the arguments' affair, as a length is."""
    sample = command.sample()
    if sample is None:
        return ""
    content, has_arguments = sample
    try:
        framer.encode(content)
    except ValueError as error:
        return "" if has_arguments and not _is_written(framer, content.strip(b"\r\n")) else str(error)
    return ""


def _is_written(framer: Framer, content: bytes) -> bool:
    try:
        framer.encode(content)
    except ValueError:
        return False
    return True


def _named(reading: Reading) -> Iterator[tuple[Loc, str]]:
    for number, source in enumerate(reading.config.sources if reading.config is not None else ()):
        if source.serial is not None and source.serial.profile is not None:
            yield ("sources", number, "serial", "profile"), source.serial.profile
        for place, unit in enumerate(source.modbus.units if source.modbus is not None else ()):
            yield ("sources", number, "modbus", "units", place, "profile"), unit.profile
