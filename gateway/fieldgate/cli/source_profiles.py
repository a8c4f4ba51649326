"""Profiles that sources name, and that are not there. For ``fieldgate check``.

The gateway starts without them: a profile may come later, and the other sources are not to suffer.
"""

from __future__ import annotations

from collections.abc import Iterator

from fieldgate.cli.profile_sources import Profiles
from fieldgate.config.finding import Finding
from fieldgate.config.loader import Reading
from fieldgate_devices.files.document import Loc, Problem
from fieldgate_devices.files.validate import did_you_mean

__all__ = ["problems_with_source_profiles"]


def problems_with_source_profiles(reading: Reading, profiles: Profiles) -> list[Problem]:
    """Return them, sorted by position."""
    return sorted(reading.problem(one) for one in _findings(reading, profiles))


def _findings(reading: Reading, profiles: Profiles) -> Iterator[Finding]:
    contracts = profiles.catalogue.contracts
    for loc, name in _named(reading):
        contract = contracts.get(name)
        if contract is None:
            yield Finding(loc, f"profile: there is no profile {name!r}{did_you_mean(name, contracts)}")
        elif loc[2] == "modbus" and contract.profile.modbus is None:
            yield Finding(loc, f"profile: {name!r} has no registers (modbus), so nothing can be read")


def _named(reading: Reading) -> Iterator[tuple[Loc, str]]:
    for number, source in enumerate(reading.config.sources if reading.config is not None else ()):
        if source.serial is not None and source.serial.profile is not None:
            yield ("sources", number, "serial", "profile"), source.serial.profile
        for place, unit in enumerate(source.modbus.units if source.modbus is not None else ()):
            yield ("sources", number, "modbus", "units", place, "profile"), unit.profile
