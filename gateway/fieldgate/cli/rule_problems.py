"""What is wrong with the rules of a configuration, as its gateway would say it at a start. For ``fieldgate check``.

`fieldgate rules check` says more: it also knows the devices that were heard.
"""

from __future__ import annotations

from fieldgate.cli.profile_sources import Profiles
from fieldgate.cli.rules_groups import rule_groups
from fieldgate.config import Config
from fieldgate.config.known_rules import known_to_rules
from fieldgate_devices.files.document import Problem
from fieldgate_rules.reading import read_rules

__all__ = ["problems_with_rules"]


def problems_with_rules(config: Config, profiles: Profiles) -> list[Problem]:
    """Return them, warnings among them, sorted by position; a missing folder has none."""
    known = known_to_rules(config)
    return sorted(
        {
            problem
            for group in rule_groups([], config.rules.path)
            for problem in (*group.unreadable, *read_rules(group.contents, profiles.catalogue, known).problems)
        }
    )
