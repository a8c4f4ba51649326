"""Defaults that depend on the machine: the gateway's name and where its state lives."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

__all__ = ["SYSTEM_STATE_FOLDER", "default_gateway_id", "default_state_folder", "default_state_origin", "kind_of"]

SYSTEM_STATE_FOLDER: Final = Path("/var/lib/fieldgate")


def kind_of(path: Path) -> Literal["file", "folder", "nothing", "hidden"]:
    """What is there; ``hidden``: this user may not look. (`Path.exists` and its like raise PermissionError then.)"""
    try:
        return "folder" if path.is_dir() else "file" if path.exists() else "nothing"
    except OSError:
        return "hidden"


def default_gateway_id() -> str:
    """The host's name as far as an id may hold it; ``gateway`` when nothing of it is left."""
    host = os.uname().nodename.partition(".")[0].lower()
    return re.sub(r"[^a-z0-9_-]+", "-", host).strip("-_")[:64] or "gateway"


def default_state_folder() -> Path:
    """Where state is kept when the configuration does not say.

    ``$STATE_DIRECTORY`` (systemd sets it), else /var/lib/fieldgate where that exists and is ours to write,
    else ``$XDG_STATE_HOME/fieldgate`` (``~/.local/state/fieldgate``).
    """
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if SYSTEM_STATE_FOLDER.is_dir() and os.access(SYSTEM_STATE_FOLDER, os.W_OK | os.X_OK):
        return SYSTEM_STATE_FOLDER
    xdg = os.environ.get("XDG_STATE_HOME", "")
    base = Path(xdg) if xdg.startswith("/") else Path("~/.local/state")
    try:
        return base.expanduser() / "fieldgate"
    except RuntimeError:  # no $HOME and no entry in the password file
        return Path.cwd() / "fieldgate-state"


def default_state_origin() -> str:
    """Where `default_state_folder` took its answer from, in the words of `LoadedConfig.origins`."""
    given = os.environ.get("STATE_DIRECTORY") or os.environ.get("XDG_STATE_HOME", "").startswith("/")
    return "environment" if given else "default"
