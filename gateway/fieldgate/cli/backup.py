"""``fieldgate backup``: everything that makes this gateway what it is, in one file, while it runs or not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fieldgate import clock
from fieldgate.cli.backup_sources import ConfigFiles, collect
from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.progress import Progress
from fieldgate.cli.words import count, size
from fieldgate.config import Config
from fieldgate.control import ControlError, GatewayNotRunning, socket_path, stream
from fieldgate.errors import FieldgateError
from fieldgate.journal.archive import ArchiveWriter, Manifest
from fieldgate.journal.facts import stats_facts
from fieldgate.journal.inspection import Inspection
from fieldgate.journal.newer import SIDES
from fieldgate.journal.restored import check_databases
from fieldgate.journal.schema import SCHEMA_VERSION
from fieldgate.journal.snapshot import HIGHWATER, STAGE, check_space, copy_stopped
from fieldgate.rights import way_in

__all__ = ["register"]

_SPACE_FOR_TAR: Final = 2048  # a file's header and the rest of its last block, about


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("backup", short_help="Write a backup to a file, also while the gateway runs.")
    def backup(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive, a tar. It must not exist yet.")],
        config: ConfigFile = None,
        with_secrets: Annotated[
            bool, typer.Option("--with-secrets", help="Also what logs in elsewhere: passwords, tokens, private keys.")
        ] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is an earlier backup.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Write the journal, all that is known of devices, commands, rules and sessions, and the configuration to FILE.

        All databases are of one moment. Devices are served meanwhile. 'fieldgate restore FILE' takes it back.
        """
        facts = _backup(file, config, with_secrets=with_secrets, may_replace=force, is_quiet=as_json)
        if as_json:
            typer.echo(json.dumps(facts, ensure_ascii=False))
            return
        typer.echo(
            f"{file}: {size(facts['bytes'])}, {count(facts['files'], 'file')}, epoch {facts['epoch']}, "
            f"{count(facts['events'], 'stored event')}, secrets {'included' if with_secrets else 'left out'}"
        )
        for line in facts["left_out"]:
            typer.echo(f"not in it: {line}")


class _Writing:
    """Writes the archive once somebody has put the databases into a folder."""

    def __init__(self, file: Path, archive: ArchiveWriter, files: ConfigFiles, progress: Progress) -> None:
        self.manifest: Manifest | None = None
        self._file = file
        self._archive = archive
        self._files = files
        self._progress = progress
        self._done_bytes = 0
        self._total_bytes = 0

    def write(self, stage: Path, *, stats: dict[str, Any], left_out: list[str], with_secrets: bool) -> None:
        """Check what is in ``stage``, and write it and the configuration."""
        self._progress.tell("checking what was copied …")
        check_databases(stage)
        paths = sorted(path for path in stage.iterdir() if path.is_file())
        self._total_bytes = sum(path.stat().st_size + _SPACE_FOR_TAR for path in paths)
        check_space(self._file.absolute().parent, self._total_bytes, what="the archive")
        for path in paths:
            self._archive.add_file(f"state/{path.name}", path, kind=_kind(path), told=self._tell)
        for part in self._files.parts:
            self._archive.add_bytes(part.name, part.content, kind=part.kind, mode=part.mode)
        missing = [f"{name}: the gateway itself does without it at the moment" for name in left_out]
        self.manifest = self._archive.finish(_manifest(self._files, stats, missing, with_secrets=with_secrets))

    def _tell(self, more_bytes: int) -> None:
        self._done_bytes += more_bytes
        self._progress.tell(f"{size(self._done_bytes)} of {size(self._total_bytes)} written …")


def _backup(
    file: Path, config: Path | None, *, with_secrets: bool, may_replace: bool, is_quiet: bool
) -> dict[str, Any]:
    progress = Progress(is_quiet=is_quiet)
    files = collect(config, with_secrets=with_secrets)
    folder = files.loaded.config.journal.path
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):  # who may ask the gateway may not see its files
        raise FieldgateError(f"{folder}: permission denied; {way_in(folder)}")
    with ArchiveWriter(file, may_replace=may_replace) as archive:
        writing = _Writing(file, archive, files, progress)
        write = partial(writing.write, with_secrets=with_secrets)
        try:
            asyncio.run(_from_gateway(files.loaded.config, write, progress))
        except GatewayNotRunning:
            _from_files(files.loaded.config, file, write)
    manifest = writing.manifest
    if manifest is None:
        raise ControlError("the gateway ended before it had copied everything")
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "files": len(manifest.members),
        "epoch": manifest.epoch,
        "events": manifest.events,
        "with_secrets": with_secrets,
        "left_out": manifest.left_out,
    }


async def _from_gateway(config: Config, write: Callable[..., None], progress: Progress) -> None:
    async for item in stream(socket_path(config.journal.path), {"do": "backup"}):
        if "stage" not in item:
            progress.tell(f"{size(item['copied'])} of {size(item['total'])} copied …")
            continue
        stage = _stage(config, item["stage"])
        write(stage, stats=item["stats"], left_out=item["left_out"])
        shutil.rmtree(stage, ignore_errors=True)  # so the gateway knows that we have it


def _stage(config: Config, told: str) -> Path:
    """Where the copy lies. It is deleted in the end, perhaps by root, and so not where just anybody says."""
    stage = config.journal.path.absolute() / STAGE
    if stage.is_symlink() or not stage.is_dir() or not stage.samefile(told):
        raise ControlError(f"{told}: the gateway has put its copy there; it belongs to {stage}")
    return stage


def _from_files(config: Config, file: Path, write: Callable[..., None]) -> None:
    folder = config.journal.path
    if not folder.is_dir():
        raise ControlError(f"{folder}: there is no journal yet; it is made when the gateway first runs")
    with closing(Inspection.open(folder, max_size_bytes=config.journal.max_size_bytes)) as stored:
        stats = stats_facts(stored)
        stage = file.absolute().with_name(f".{file.name}.{STAGE}")
        try:
            copy_stopped(folder, stage)
            write(stage, stats=stats, left_out=[])
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _kind(path: Path) -> str:
    return "high-water" if path.name == HIGHWATER else "database" if path.suffix == ".db" else "journal"


def _manifest(files: ConfigFiles, stats: dict[str, Any], missing: list[str], *, with_secrets: bool) -> Manifest:
    config = files.loaded.config
    return Manifest(
        fieldgate=version("fieldgate"),
        gateway=config.gateway.id,
        made_at=datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(timespec="seconds"),
        clock="synced" if clock.is_synced() else "unsynced",
        epoch=stats["epoch"],
        events=sum(lane["events"] for lane in stats["lanes"].values()),
        schemas={"journal": SCHEMA_VERSION, **{kind.name: kind.schema_version for kind in SIDES}},
        config_name=files.config_name,
        config_folder=str(files.folder) if files.config_name else "",
        state_folder=str(config.journal.path.absolute()),
        has_secrets=with_secrets,
        left_out=[*files.left_out, *missing],
    )
