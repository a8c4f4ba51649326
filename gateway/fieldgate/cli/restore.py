"""``fieldgate restore``: put a backup in place of what is here, all of it or none, under a new epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fieldgate.cli.options import AsJson, ConfigFile
from fieldgate.cli.progress import Progress
from fieldgate.cli.restore_plan import Restore
from fieldgate.cli.words import count, safe, size
from fieldgate.journal.archive import ArchiveReader, Manifest

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("restore", short_help="Put a backup in place; the gateway must be stopped.")
    def restore(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'fieldgate backup' wrote.")],
        config: ConfigFile = None,
        list_: Annotated[bool, typer.Option("--list", help="Only check the archive and print what is in it.")] = False,
        force: Annotated[
            bool,
            typer.Option(
                "--force",
                help="Also where another gateway's configuration or stored events are here, or files belong elsewhere.",
            ),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Check every byte of FILE, then put its configuration and its databases in place of those that are here.

        -c says where the configuration goes; by default where one is found, else where it came from. The databases go
        where journal.path says. What was here is kept in folders named before-restore-TIME.
        """
        progress = Progress(is_quiet=as_json)
        done_bytes = 0

        def tell(more_bytes: int) -> None:
            nonlocal done_bytes
            done_bytes += more_bytes
            progress.tell(f"{size(done_bytes)} checked …")

        with ArchiveReader(file, told=tell) as archive:
            facts = _facts(archive) if list_ else Restore(archive, config, may_force=force, progress=progress).run()
            if as_json:
                typer.echo(json.dumps(facts, ensure_ascii=False))
            elif list_:
                _print_list(archive.manifest, archive.size_bytes)
            else:
                _print_done(facts, archive.manifest)


def _facts(archive: ArchiveReader) -> dict[str, Any]:
    manifest = archive.manifest
    return {
        "gateway": manifest.gateway,
        "made_at": manifest.made_at,
        "clock": manifest.clock,
        "fieldgate": manifest.fieldgate,
        "epoch": manifest.epoch,
        "events": manifest.events,
        "with_secrets": manifest.has_secrets,
        "bytes": archive.size_bytes,
        "schemas": manifest.schemas,
        "files": [
            {"name": one.name, "kind": one.kind, "bytes": one.size_bytes, "sha256": one.sha256}
            for one in manifest.members
        ],
        "left_out": manifest.left_out,
    }


def _print_list(manifest: Manifest, size_bytes: int) -> None:
    doubt = "?" if manifest.clock == "unsynced" else ""
    typer.echo(
        f"{safe(manifest.gateway)}   {safe(manifest.made_at)}{doubt}   Fieldgate {safe(manifest.fieldgate)}   "
        f"epoch {manifest.epoch}   {count(manifest.events, 'stored event')}   {size(size_bytes)}   "
        f"secrets {'included' if manifest.has_secrets else 'left out'}"
    )
    for one in manifest.members:
        typer.echo(f"{size(one.size_bytes):>10}  {one.kind:<13}  {safe(one.name)}")
    for line in manifest.left_out:
        typer.echo(f"not in it: {safe(line)}")


def _print_done(facts: dict[str, Any], manifest: Manifest) -> None:
    typer.echo(
        f"restored: {safe(manifest.gateway)} as of {safe(manifest.made_at)}, {count(len(manifest.members), 'file')}; "
        f"epoch {facts['epoch']} begins"
    )
    typer.echo(f"stored events and what is known: {facts['state']}")
    if facts["config"]:
        typer.echo(f"configuration: {facts['config']}")
    for kept in facts["kept"]:
        typer.echo(f"what was here before: {kept}")
    for line in manifest.left_out:
        typer.echo(f"not in the backup: {safe(line)}")
    if facts["is_root_s"]:
        typer.echo(f"all of it belongs to root; if the gateway runs as another user: chown -R USER {facts['state']}")
    typer.echo("next: fieldgate check" + (f" -c {facts['config']}" if facts["config"] else "") + ", then start it")
