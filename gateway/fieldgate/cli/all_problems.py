"""Everything that is wrong with a configuration and the files that it names: for ``check`` and ``doctor``."""

from __future__ import annotations

from fieldgate.cli.listen_files import problems_in_listen_files
from fieldgate.cli.profile_sources import folder_profiles, overlap_warnings
from fieldgate.cli.rule_problems import problems_with_rules
from fieldgate.cli.source_profiles import problems_with_source_profiles
from fieldgate.config.loader import Reading, read
from fieldgate_devices.files.document import Problem

__all__ = ["all_problems"]


def all_problems(reading: Reading) -> list[Problem]:
    """Return errors, warnings and notes, sorted by position; opens no connection."""
    in_files = problems_in_listen_files(reading)
    whole = reading
    if reading.loaded is None and not reading.errors:  # a secret that only the service sees; rules need none
        whole = read(reading.path, references="kept")
    if whole.loaded is not None:
        profiles = folder_profiles(whole.loaded.config)
        in_files = [*in_files, *profiles.problems, *overlap_warnings(profiles)]
        in_files += problems_with_source_profiles(whole, profiles)
        in_files += problems_with_rules(whole.loaded.config, profiles)
    return sorted({*reading.errors, *reading.notes, *reading.warnings, *in_files})
