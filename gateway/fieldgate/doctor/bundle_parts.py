"""What goes into a bundle, part by part. Nothing that a device has said, unless it is asked for."""

from __future__ import annotations

import io
import os
import platform
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from fieldgate.config.loader import Reading
from fieldgate.config.tree import TREE
from fieldgate.doctor.bundle import Bundle
from fieldgate.doctor.gateway_facts import GatewayFacts
from fieldgate.doctor.software_checks import read_software
from fieldgate.ingest.profile_files import read_profile_file
from fieldgate_devices.files.document import read_yaml

__all__ = ["add_config", "add_files", "add_log", "add_yaml_folder", "versions"]

_MAX_FILES: Final = 500
_MAX_FILE_BYTES: Final = 256 * 1024
_MAX_LOG_BYTES: Final = 4 << 20  # before what is of the level debug is left out
_LOG_LINES: Final = 5_000
_LOG_DEADLINE_S: Final = 20.0


def versions() -> dict[str, Any]:
    """What runs here."""
    software = read_software()
    return {
        "fieldgate": version("fieldgate"),
        "python": platform.python_version(),
        "sqlite": ".".join(map(str, software.sqlite)),
        "openssl": software.openssl_text,
        "system": _os_name(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": dict(sorted({one.name.lower(): one.version for one in distributions() if one.name}.items())),
    }


def _os_name() -> str:
    with suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    return ""


def add_config(bundle: Bundle, reading: Reading) -> None:
    """The configuration as it is written, without comments (which may hold anything) and without secrets."""
    if reading.path is None:
        bundle.left_out["config.yaml"] = "there is no configuration file"
    elif reading.document.root is None:
        bundle.left_out["config.yaml"] = "it cannot be read as YAML, so that nobody knows where a secret stands in it"
    else:
        bundle.add_text("config.yaml", _as_yaml(bundle, reading.document.root.value(), TREE.private_keys))
    if reading.config is not None:
        effective = reading.config.model_dump(mode="json")
        bundle.add_json("config-effective.json", effective, private=TREE.private_keys)


def add_yaml_folder(bundle: Bundle, folder: Path, name: str) -> None:
    """The profiles or rules of ``folder``, without comments and secrets."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    except OSError as error:
        bundle.left_out[name] = f"{folder}: {(error.strerror or str(error)).lower()}"
        return
    if len(paths) > _MAX_FILES:
        bundle.left_out[name] = f"{len(paths) - _MAX_FILES} of {len(paths)} files"
    for path in paths[:_MAX_FILES]:
        place = f"{name}/{path.name}"
        try:
            content = read_profile_file(path, max_bytes=_MAX_FILE_BYTES)
        except OSError as error:
            bundle.left_out[place] = (error.strerror or str(error)).lower()
            continue
        root = read_yaml(content, str(path)).root if len(content) <= _MAX_FILE_BYTES else None
        if root is None:
            bundle.left_out[place] = "it cannot be read as YAML, so that nobody knows where a secret stands in it"
        else:
            bundle.add_text(place, _as_yaml(bundle, root.value(), frozenset()))


def _as_yaml(bundle: Bundle, value: Any, private: frozenset[str]) -> str:
    clean = bundle.scrubber.tree(value, private=private)
    yaml = YAML(typ="safe", pure=True)
    yaml.width = 120
    for name in ("default_flow_style", "sort_base_mapping_type_on_output"):
        setattr(yaml, name, False)  # the library declares them as None
    text = io.StringIO()
    yaml.dump(clean, text)
    return text.getvalue()


def add_files(bundle: Bundle, folders: dict[str, Path]) -> None:
    """Names, sizes, owners and times of what lies in the gateway's folders."""
    listing = {name: list(_listed(folder)) for name, folder in folders.items()}
    bundle.add_json("files.json", listing)


def _listed(folder: Path) -> Iterator[dict[str, Any]]:
    with suppress(OSError):
        for path in sorted(folder.iterdir())[:_MAX_FILES]:
            with suppress(OSError):
                status = path.lstat()
                yield {
                    "name": path.name,
                    "bytes": status.st_size,
                    "mode": stat.filemode(status.st_mode),
                    "uid": status.st_uid,
                    "gid": status.st_gid,
                    "changed": datetime.fromtimestamp(status.st_mtime, UTC).isoformat(),
                }


def add_log(bundle: Bundle, gateway: GatewayFacts, file: Path | None) -> None:
    """The end of the log: of ``file``, or of the service; without lines of the level debug, which may hold payloads."""
    text, why = _tail(file) if file is not None else _journald()
    kept = [line for line in text.splitlines() if "level=debug" not in line and "[debug" not in line]
    if kept:
        bundle.add_text("log.txt", "\n".join(kept) + "\n", keeps_end=True)
    else:
        bundle.left_out["log.txt"] = why
    bundle.add_json("crashes.json", [{"at": one.at, "text": one.text} for one in gateway.crashes])


def _tail(path: Path) -> tuple[str, str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MAX_LOG_BYTES))
            return file.read(_MAX_LOG_BYTES).decode("utf-8", "replace"), f"{path} is empty"
    except OSError as error:
        return "", f"{path}: {(error.strerror or str(error)).lower()}"


def _journald() -> tuple[str, str]:
    why = "no log of a service 'fieldgate' is to be had here (journalctl); name a file with --log"
    command = ["journalctl", "--unit=fieldgate", "--priority=info", f"--lines={_LOG_LINES}", "--output=short-iso"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([*command, "--quiet"], capture_output=True, timeout=_LOG_DEADLINE_S, check=False)
        if done.returncode == 0:
            return done.stdout[-_MAX_LOG_BYTES:].decode("utf-8", "replace"), why
    return "", why
