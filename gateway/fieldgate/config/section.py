"""Types that several sections of the configuration use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from fieldgate.config.texts import check_name

__all__ = ["FilePath", "Glob", "LaneName", "Name", "from_config_folder"]

LaneName = Literal["high", "normal", "low"]


def from_config_folder(path: Path, info: ValidationInfo) -> Path:
    """A relative path in a file is meant from that file's folder; ``~`` is the home of who runs the gateway."""
    try:
        path = path.expanduser()
    except RuntimeError:  # of pathlib, where there is no such user
        raise ValueError(f"{str(path)!r} begins with a user who has no home here; write the full path") from None
    folder = (info.context or {}).get("folder")
    return folder / path if folder is not None else path


Name = Annotated[str, AfterValidator(check_name)]
Glob = Annotated[str, Field(min_length=1, max_length=1024)]
FilePath = Annotated[Path, Field(strict=False), AfterValidator(from_config_folder)]
