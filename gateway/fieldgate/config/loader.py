"""Find, read and check the configuration file; opens no connection.

`read` answers with everything that is wrong, sorted by position; `load` is for whoever needs a usable
configuration or an error. Both say where each effective value comes from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.config.checks import Finding, find_errors, find_warnings
from fieldgate.config.explain import effective_values
from fieldgate.config.model import Config
from fieldgate.config.places import default_state_origin, kind_of
from fieldgate.config.tree import TREE
from fieldgate.errors import ConfigError
from fieldgate_devices.files.document import MAX_FILE_BYTES, Document, Problem, read_yaml
from fieldgate_devices.files.location import Location
from fieldgate_devices.files.model_tree import dotted
from fieldgate_devices.files.validate import validate

__all__ = ["SEARCH_PATHS", "LoadedConfig", "Reading", "find_file", "load", "read"]

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
    """What came of a file: ``loaded`` only if there are no ``errors``. Both lists are sorted by position."""

    path: Path | None
    errors: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    loaded: LoadedConfig | None = None


def load(path: Path | None = None) -> LoadedConfig:
    """Read the configuration at ``path``, or the first that `find_file` finds, or the defaults.

    Raises:
        ConfigError: it cannot be used; carries every problem.
    """
    reading = read(path)
    if reading.loaded is None:
        raise ConfigError([str(problem) for problem in reading.errors])
    return reading.loaded


def find_file() -> Path | None:
    """``$FIELDGATE_CONFIG``, else ./fieldgate.yaml, else /etc/fieldgate/fieldgate.yaml, else none."""
    named = os.environ.get("FIELDGATE_CONFIG")
    if named:
        return Path(named)
    return next((path for path in SEARCH_PATHS if kind_of(path) in {"file", "hidden"}), None)


def read(path: Path | None = None) -> Reading:
    """Read and check a configuration; nothing is raised for what is wrong with it."""
    path = path if path is not None else find_file()
    if path is None:
        return _accept(None, Config(), Document("defaults", None))
    try:
        content = _content(path)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        return Reading(path, [Problem(Location(str(path), 1, 1), f"the file cannot be read: {reason}")])
    document = read_yaml(content, str(path), private_keys=TREE.private_keys)
    if document.root is None:
        return Reading(path, sorted(document.problems))
    outcome = validate(document, TREE, context={"folder": path.absolute().parent})
    misread = {problem.where for problem in document.problems}
    errors = {*document.problems, *(problem for problem in outcome.problems if problem.where not in misread)}
    if outcome.model is not None:
        findings = find_errors(outcome.model, document)
        errors.update(_problems(document, (found for found in findings if not found.rests_on(outcome.broken))))
        if not errors:
            return _accept(path, outcome.model, document)
    return Reading(path, sorted(errors))


def _content(path: Path) -> bytes:
    """The file, and one byte more than is allowed so that too much is noticed."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _accept(path: Path | None, config: Config, document: Document) -> Reading:
    warnings = sorted(_problems(document, find_warnings(config, document), are_warnings=True))
    lines = [str(warning) if path is not None else f"warning: {warning.message}" for warning in warnings]
    loaded = LoadedConfig(config, _origins(config, document), path, lines)
    return Reading(path, [], warnings, loaded)


def _problems(document: Document, findings: Iterator[Finding], *, are_warnings: bool = False) -> Iterator[Problem]:
    return (Problem(document.where(finding.loc), finding.message, are_warnings) for finding in findings)


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
