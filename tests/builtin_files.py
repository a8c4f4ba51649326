"""What the package holds beside its profiles; ``python tests/builtin_files.py`` writes it.

``index.json`` is made from the profiles in YAML (see `builtin`), ``profile.schema.json`` from their model, for editors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import fieldgate_devices
from fieldgate_devices.builtin import INDEX, builtin_profiles
from fieldgate_devices.profile import Profile
from fieldgate_devices.profile_schema import SCHEMA_FILE, schema_text
from fieldgate_devices.reading import read_profile


def make_index(profiles: Mapping[str, bytes]) -> bytes:
    """Return the index of these profiles, one line each.

    Raises:
        ValueError: one of them has problems; the message names them all.
    """
    lines, problems = [], []
    for path, content in sorted(profiles.items()):
        read = read_profile(content, path)
        problems += [str(problem) for problem in read.problems]
        if read.contract is not None:
            lines.append(msgspec.json.encode(_entry(read.contract.profile, path.rpartition("/")[2])))
    if problems:
        raise ValueError("\n".join(problems))
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


def _entry(profile: Profile, file: str) -> dict[str, Any]:
    written = profile.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"examples"})
    return {
        "id": profile.profile,
        "version": profile.version,
        "file": file,
        "match": [
            {key: value for key, value in one.items() if key in {"mqtt", "except", "serial", "json", "text"}}
            for one in written.get("match", ())
        ],
        "commands": [topic for command in profile.commands.values() for topic in command.topics],
        "silent_after": profile.silent_after,
        "written": written,
    }


if __name__ == "__main__":
    folder = Path(fieldgate_devices.__file__).parent / "profiles"
    (folder / INDEX).write_bytes(make_index(builtin_profiles()))
    (folder / SCHEMA_FILE).write_text(schema_text())
