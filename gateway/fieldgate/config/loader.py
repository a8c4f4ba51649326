"""Find, read and check the configuration file; opens no connection.

`read` answers with everything that is wrong, sorted by position; `load` and `load_as_written` are for whoever needs a
usable configuration or an error. All say where each effective value comes from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fieldgate.config.checks import Finding, find_errors, find_warnings
from fieldgate.config.explain import effective_values
from fieldgate.config.model import Config
from fieldgate.config.placeholders import find_placeholders
from fieldgate.config.places import default_state_origin, kind_of
from fieldgate.config.secrets import References
from fieldgate.config.serial_checks import framing_problems
from fieldgate.config.tree import TREE
from fieldgate.errors import ConfigError
from fieldgate.rights import way_in
from fieldgate_devices.files.document import MAX_FILE_BYTES, Document, Loc, Problem, read_yaml
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.model_tree import dotted
from fieldgate_devices.files.validate import validate

__all__ = ["SEARCH_PATHS", "LoadedConfig", "Reading", "find_file", "load", "load_as_written", "read"]

_ACL_KEYS: Final = frozenset({"all_users", "users", "anonymous"})
SEARCH_PATHS: Final = (Path("fieldgate.yaml"), Path("/etc/fieldgate/fieldgate.yaml"))


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A usable configuration.

    ``origins`` tells for each dotted key (``listen[0].mqtt``) ``default``, ``environment`` or the place in the
    file. ``path`` is None when there is no file. ``warnings`` are lines for a person.
    """

    config: Config
    origins: dict[str, str]
    path: Path | None
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of a file; the lists are sorted by position.

    ``loaded`` only if there are neither ``errors`` nor ``notes``, which say what was not looked at. ``config`` is what
    could be understood, with what was wrong or not looked at left out: for further checks (`is_known`, `where`).
    """

    path: Path | None
    errors: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    loaded: LoadedConfig | None = None
    config: Config | None = None
    document: Document = field(default_factory=lambda: Document("", None))
    broken: frozenset[Loc] = frozenset()

    def is_known(self, finding: Finding) -> bool:
        """Whether nothing that a finding rests on was left out."""
        return not finding.rests_on(self.broken)

    def problem(self, finding: Finding, *, is_warning: bool = False) -> Problem:
        """A finding at its place in the file."""
        return Problem(self.document.where(finding.loc), finding.message, is_warning)


def load(path: Path | None = None) -> LoadedConfig:
    """Read the configuration at ``path``, or the first that `find_file` finds, or the defaults.

    Raises:
        ConfigError: it cannot be used; carries every problem.
    """
    return _usable(read(path))


def load_as_written(path: Path | None = None) -> LoadedConfig:
    """Read a configuration for a command that needs no secret and runs nothing: references are kept.

    What the machine must bring (secrets, certificates) and what the keys contradict is not looked at: whoever asks a
    running gateway for its status may not be allowed to read its password.

    Raises:
        ConfigError: it cannot be understood; carries every problem.
    """
    return _usable(read(path, references="kept"))


def _usable(reading: Reading) -> LoadedConfig:
    if reading.loaded is None:
        raise ConfigError([str(problem) for problem in reading.errors])
    return reading.loaded


def find_file() -> Path | None:
    """``$FIELDGATE_CONFIG``, else ./fieldgate.yaml, else /etc/fieldgate/fieldgate.yaml, else none."""
    named = os.environ.get("FIELDGATE_CONFIG")
    if named:
        return Path(named)
    return next((path for path in SEARCH_PATHS if kind_of(path) in {"file", "hidden"}), None)


def read(path: Path | None = None, *, references: References = "resolved") -> Reading:
    """Read and check a configuration; nothing is raised for what is wrong with it.

    With references ``kept`` nothing but the file itself is looked at.
    """
    path = path if path is not None else find_file()
    if path is None:
        return _finish(Reading(None, [], config=Config(), document=Document("defaults", None)))
    try:
        content = _content(path)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        hint = f"; {way_in(path)}" if isinstance(error, PermissionError) else ""
        return Reading(path, [Problem(Location(str(path), 1, 1), f"the file cannot be read: {reason}{hint}")])
    document = read_yaml(content, str(path), private_keys=TREE.private_keys)
    if document.root is None:
        return Reading(path, sorted(document.problems))
    if _looks_like_an_acl(document):
        problem = (
            "this looks like an ACL and no configuration; 'fieldgate check' reads it where listen[].auth.acl names it"
        )
        return Reading(path, [Problem(document.where(()), problem)])
    outcome = validate(document, TREE, context={"folder": path.absolute().parent, "references": references})
    misread = {problem.where for problem in document.problems}
    found = {*document.problems, *(problem for problem in outcome.problems if problem.where not in misread)}
    reading = Reading(
        path,
        sorted(problem for problem in found if not problem.is_note),
        notes=sorted(problem for problem in found if problem.is_note),
        config=outcome.model,
        document=document,
        broken=outcome.broken,
    )
    return _finish(reading, has_more_to_check=references != "kept")


def _content(path: Path) -> bytes:
    """The file, and one byte more than is allowed so that too much is noticed."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _looks_like_an_acl(document: Document) -> bool:
    root = document.root
    return (
        root is not None
        and isinstance(root.content, dict)
        and root.content.keys() & _ACL_KEYS == set(root.content) != set()
    )


def _finish(reading: Reading, *, has_more_to_check: bool = True) -> Reading:
    """Add what only the whole can tell."""
    config, document = reading.config, reading.document
    if config is None:
        return reading
    errors, warnings = set(reading.errors), set[Problem]()
    if has_more_to_check:
        found = find_errors(config, document)
        errors.update(reading.problem(one) for one in found if reading.is_known(one))
        errors.update(framing_problems(config, document, reading.broken))
    if has_more_to_check and not errors:
        surprises = (*find_warnings(config, document), *find_placeholders(document))
        warnings.update(reading.problem(one, is_warning=True) for one in surprises if reading.is_known(one))
    checked = replace(reading, errors=sorted(errors), warnings=sorted(warnings))
    if errors or reading.notes:
        return checked
    path = reading.path
    lines = [str(warning) if path is not None else f"warning: {warning.message}" for warning in checked.warnings]
    return replace(checked, loaded=LoadedConfig(config, _origins(config, document), path, lines))


def _origins(config: Config, document: Document) -> dict[str, str]:
    origins: dict[str, str] = {}
    for loc, value in effective_values(config):
        above = document.node(loc[:-1])
        is_short = above is not None and isinstance(value, str) and above.content == value  # proxy: URL
        if document.node(loc) is not None or is_short:
            origins[dotted(loc)] = str(document.where(loc))
        else:
            origins[dotted(loc)] = default_state_origin() if loc == ("journal", "path") else "default"
    return origins
