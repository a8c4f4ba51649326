"""What of a configuration belongs in a backup: its files as they are now, with secrets only if they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.cli.options import written_config
from fieldgate.config.loader import LoadedConfig
from fieldgate.config.masked import masked
from fieldgate.config.own_files import literal_secrets, own_files, unreachable_secrets
from fieldgate.errors import FieldgateError
from fieldgate.ingest.profile_files import profile_paths, read_profile_file
from fieldgate_devices.files.model_tree import dotted

__all__ = ["ConfigFiles", "ConfigPart", "collect"]

_MAX_FILE_BYTES: Final = 64 << 20
_KEY: Final = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class ConfigPart:
    """One file: its name in the archive and what it holds."""

    name: str
    kind: str
    content: bytes
    mode: int


@dataclass(slots=True)
class ConfigFiles:
    """All of them. ``left_out`` says for a person what is not in it and has to come from elsewhere."""

    loaded: LoadedConfig
    folder: Path
    config_name: str = ""
    parts: list[ConfigPart] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def collect(config: Path | None, *, with_secrets: bool) -> ConfigFiles:
    """Read the configuration and every file that belongs to it.

    Raises:
        FieldgateError: one cannot be read.
    """
    loaded = written_config(config)
    folder = (loaded.path or Path("fieldgate.yaml")).absolute().parent
    files = ConfigFiles(loaded, folder)
    if loaded.path is not None:
        files.config_name = loaded.path.name
        _add(files, loaded.path.absolute(), "configuration", content=_configuration(files, with_secrets=with_secrets))
    for kind, path in _folders(loaded):
        _add(files, path.absolute(), kind)
    for one in own_files(loaded.config, folder):
        path = Path(one.path).absolute()
        if not path.exists():
            files.left_out.append(f"{path}: there is no such file ({dotted(one.loc)})")
        elif one.kind == "certificate" and not path.is_relative_to(folder):
            files.left_out.append(f"{path}: a certificate outside of the configuration's folder ({dotted(one.loc)})")
        elif not with_secrets and (one.kind == "secret" or _KEY in _read(path)):
            files.left_out.append(f"{path}: a secret ({dotted(one.loc)})")
        else:
            _add(files, path, one.kind)
    files.left_out += [
        f"{reference}: known to the service only ({dotted(loc)})"
        for loc, reference in unreachable_secrets(loaded.config)
    ]
    return files


def _folders(loaded: LoadedConfig) -> Iterator[tuple[str, Path]]:
    for kind, folder in (("profile", loaded.config.devices.path), ("rule", loaded.config.rules.path)):
        try:
            yield from ((kind, path) for path in profile_paths(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise FieldgateError(f"{folder}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _configuration(files: ConfigFiles, *, with_secrets: bool) -> bytes:
    assert files.loaded.path is not None
    content = _read(files.loaded.path)
    secrets = [loc for loc, _ in literal_secrets(files.loaded.config)]
    if with_secrets or not secrets:
        return content
    files.left_out += [f"{dotted(loc)}: stands in the configuration; CHANGE-ME is in its place" for loc in secrets]
    try:
        return masked(content.decode(), secrets).encode()
    except ValueError as error:
        raise FieldgateError(
            f"{files.loaded.path}: its secrets cannot be taken out ({error}); move them to files (${{file:PATH}}), or "
            "say --with-secrets"
        ) from error


def _add(files: ConfigFiles, path: Path, kind: str, *, content: bytes | None = None) -> None:
    is_inside = path.is_relative_to(files.folder) and ".." not in path.parts
    name = f"config/{path.relative_to(files.folder)}" if is_inside else f"outside{path}"
    if any(one.name == name for one in files.parts):
        return
    mode = path.stat().st_mode & 0o777
    files.parts.append(ConfigPart(name, kind, _read(path) if content is None else content, mode))


def _read(path: Path) -> bytes:
    try:
        content = read_profile_file(path, max_bytes=_MAX_FILE_BYTES)
    except OSError as error:
        raise FieldgateError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(content) > _MAX_FILE_BYTES:
        raise FieldgateError(f"{path}: is larger than a file of the configuration is: {_MAX_FILE_BYTES:,} bytes")
    return content
