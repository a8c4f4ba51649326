"""Find where everything of a backup goes, prepare it there, and put it in place."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fieldgate import clock
from fieldgate.cli.progress import Progress
from fieldgate.cli.words import count
from fieldgate.config import Config
from fieldgate.config.loader import find_file, load_as_written
from fieldgate.config.places import default_state_folder
from fieldgate.errors import ConfigError, FieldgateError, JournalError
from fieldgate.ingest.profile_files import profile_paths
from fieldgate.journal.archive import ArchiveReader, Member
from fieldgate.journal.files import Folder, data_files
from fieldgate.journal.inspection import Inspection
from fieldgate.journal.records import JournalBusy
from fieldgate.journal.restored import check_databases, read_mark, renew
from fieldgate.journal.restoring import (
    COMMITTED,
    KEPT,
    PREPARED,
    Plan,
    RestoreError,
    commit,
    finish_restore,
    is_pending,
    state_entries,
)
from fieldgate.journal.snapshot import check_space

__all__ = ["Restore", "RestoreRefused"]

_STATE: Final = "state"
_PREPARED_CONFIG: Final = ".fieldgate-restore."


class RestoreRefused(FieldgateError):
    """Nothing was restored, and nothing is changed."""


class Restore:
    """One restore. ``config`` is where the configuration is to go, if the caller says."""

    def __init__(self, archive: ArchiveReader, config: Path | None, *, may_force: bool, progress: Progress) -> None:
        self._archive = archive
        self._manifest = archive.manifest
        self._may_force = may_force
        self._state: Path | None = None
        self._is_committing = False
        self._progress = progress
        self._config = self._config_target(config)
        # A name of its own: a restore that was cut short may still need what it has prepared.
        prepared = f"{_PREPARED_CONFIG}{secrets.token_hex(4)}.part"
        self._staged_config = (self._config.parent if self._config else Path()) / prepared
        self._outside = [one for one in self._manifest.members if one.name.startswith("outside/")]

    def _config_target(self, asked: Path | None) -> Path | None:
        manifest = self._manifest
        if not manifest.config_name:
            return None
        origin = Path(manifest.config_folder) / manifest.config_name
        return (asked or find_file() or origin).absolute()

    def run(self) -> dict[str, Any]:
        """Do it; return what was done, for a person or a program.

        Raises:
            FieldgateError: it cannot be done; nothing is changed.
        """
        self._refuse_strangers()
        try:
            self._state = state = self._prepare_config()
            self._refuse_to_bury_events(state)
            folder = Folder(state)  # a gateway that runs has it
            try:
                finish_restore(state)
                self._delete_strays()
                return self._replace(state)
            finally:
                folder.close()
        except OSError as error:
            at = error.filename or "restore"
            if self._is_decided:
                raise RestoreError(
                    f"{at}: {error}; the restore is decided and will be finished at the next start"
                ) from error
            raise RestoreRefused(f"{at}: {(error.strerror or str(error)).lower()}; nothing was changed") from error
        finally:
            if self._config is not None and not self._is_decided:
                shutil.rmtree(self._staged_config, ignore_errors=True)

    @property
    def _is_decided(self) -> bool:
        """Whether what is prepared is to be put in place. A plan that was found is another restore's."""
        return self._is_committing and self._state is not None and is_pending(self._state)

    def _refuse_strangers(self) -> None:
        """Whatever a person should say twice."""
        if self._may_force:
            return
        if self._outside:
            names = ", ".join(one.name.removeprefix("outside") for one in self._outside)
            raise RestoreRefused(
                f"the backup holds files from outside of the configuration's folder: {names}; --force puts them there"
            )
        here = self._gateway_here()
        if here is not None and here != self._manifest.gateway:
            raise RestoreRefused(
                f"the backup is of gateway {self._manifest.gateway!r}, and {self._config} is that of {here!r}; "
                "--force replaces it"
            )

    def _refuse_to_bury_events(self, state: Path) -> None:
        if self._may_force:
            return
        try:
            waiting = _stored_events(state)
        except JournalBusy:
            raise
        except JournalError as error:
            raise RestoreRefused(f"{error}; --force keeps all of it aside") from error
        if waiting:
            raise RestoreRefused(
                f"{state}: {count(waiting, 'event')} are stored here, which no uplink would get then; run the gateway "
                "until they are delivered, or --force keeps them aside"
            )

    def _gateway_here(self) -> str | None:
        if self._config is None or not self._config.exists():
            return None
        try:
            loaded = load_as_written(self._config)
        except ConfigError:
            return None  # a broken one is a good reason to restore
        return loaded.config.gateway.id

    # -- preparing ------------------------------------------------------------------------------------------------

    def _prepare_config(self) -> Path:
        """Write the files of the configuration beside where they go; return the state folder that they name."""
        if self._config is None:
            return default_state_folder().absolute()
        self._config.parent.mkdir(parents=True, exist_ok=True)
        stage = self._staged_config
        stage.mkdir(mode=0o700)
        for member in self._members("config/"):
            self._extract(member, stage / self._place(member), owner=self._target(member))
        for member in self._outside:
            self._extract(member, stage / member.name, owner=self._target(member))
        state = self._restored_config().journal.path.absolute()
        return self._config.parent / state.relative_to(stage) if state.is_relative_to(stage) else state

    def _delete_strays(self) -> None:
        """Delete what restores have prepared that were cut short before they were decided."""
        if self._config is not None:
            for path in self._config.parent.glob(f"{_PREPARED_CONFIG}*"):
                if path != self._staged_config:
                    shutil.rmtree(path, ignore_errors=True)

    def _restored_config(self) -> Config:
        assert self._config is not None
        try:
            return load_as_written(self._staged_config / self._config.name).config
        except ConfigError as error:
            raise RestoreRefused(f"the configuration of the backup cannot be used by this version:\n{error}") from error

    def _members(self, prefix: str) -> list[Member]:
        return [one for one in self._manifest.members if one.name.startswith(prefix)]

    def _place(self, member: Member) -> Path:
        """Where a file lies in the configuration's folder; the configuration itself has the name that was asked for."""
        assert self._config is not None
        name = member.name.removeprefix("config/")
        return Path(self._config.name if name == self._manifest.config_name else name)

    def _target(self, member: Member) -> Path:
        if member.name.startswith("outside/"):
            return Path(member.name.removeprefix("outside"))
        assert self._config is not None
        return self._config.parent / self._place(member)

    def _extract(self, member: Member, path: Path, *, owner: Path) -> None:
        """Write a file; it is to belong to whom the file that it replaces does, or the folder."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._archive.extract(member, path)
        like = next(one for one in (owner, *owner.parents) if one.exists()).stat()
        mode = stat.S_IMODE(like.st_mode) if owner.exists() else member.mode
        mode &= 0o770 if member.kind in ("secret", "users") else 0o777
        if os.geteuid() == 0:
            os.chown(path, like.st_uid, like.st_gid)
        path.chmod(mode)

    def _prepare_state(self, state: Path) -> int:
        """Write the databases into the state folder, under names that mean nothing yet; return the new epoch."""
        stage = state / PREPARED / _STATE
        shutil.rmtree(stage.parent, ignore_errors=True)
        members = self._members("state/")
        check_space(state, sum(one.size_bytes for one in members), what="what the backup holds")
        stage.mkdir(parents=True, mode=0o700)
        for member in members:
            self._progress.tell(f"{member.name} …")
            self._archive.extract(member, stage / Path(member.name).name)
        check_databases(stage)
        epoch = renew(stage, read_mark(state))
        if os.geteuid() == 0:
            _give_away(stage, state.stat())
        return epoch

    # -- putting in place -----------------------------------------------------------------------------------------

    def _replace(self, state: Path) -> dict[str, Any]:
        try:
            epoch = self._prepare_state(state)
            kept = self._kept_name(state)
            plan = self._plan(state, kept)
            self._is_committing = True
            commit(state, plan)
        except BaseException:  # whatever it was: nothing is left of what was prepared
            shutil.rmtree(state / PREPARED, ignore_errors=True)
            raise
        finish_restore(state)
        folders = [state, *([self._config.parent] if self._config is not None else [])]
        return {
            "epoch": epoch,
            "state": str(state),
            "config": str(self._config or ""),
            "kept": [str(folder / kept) for folder in dict.fromkeys(folders) if (folder / kept).exists()],
            "left_out": self._manifest.left_out,
            "is_root_s": state.stat().st_uid == 0,
        }

    def _kept_name(self, state: Path) -> str:
        now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
        name = f"{KEPT}{now:%Y%m%dT%H%M%SZ}"
        folders = [state, *([self._config.parent] if self._config is not None else [])]
        number = 1
        chosen = name
        while any((folder / chosen).exists() for folder in folders):
            number += 1
            chosen = f"{name}-{number}"
        return chosen

    def _plan(self, state: Path, kept: str) -> Plan:
        stage = state / PREPARED / _STATE
        committed = state / COMMITTED / _STATE
        plan = Plan(
            moved=[(str(one), str(state / kept / one.name)) for one in state_entries(state)],
            copied=[],
            placed=[(str(committed / one.name), str(state / one.name)) for one in sorted(stage.iterdir())],
            deleted=[],
            leftovers=[],
        )
        if self._config is not None:
            self._plan_config(plan, self._config.parent / kept)
        return plan

    def _plan_config(self, plan: Plan, kept: Path) -> None:
        """The configuration itself comes last: until then a start finds the old one, and finishes this."""
        assert self._config is not None
        folder = self._config.parent
        targets: dict[Path, Path] = {}
        for member in [*self._members("config/"), *self._outside]:
            is_outside = member.name.startswith("outside/")
            targets[self._target(member)] = self._staged_config / (member.name if is_outside else self._place(member))
        old = {target for target in targets if target.exists()}
        surplus = self._surplus() - targets.keys()
        for path in sorted(old | surplus):
            is_inside = path.is_relative_to(folder)
            place = path.relative_to(folder) if is_inside else Path("outside") / path.relative_to("/")
            plan.copied.append((str(path), str(kept / place)))
        in_order = sorted(targets, key=lambda target: (target == self._config, target))
        plan.placed += [(str(targets[target]), str(target)) for target in in_order]
        plan.deleted += [str(path) for path in sorted(surplus)]
        plan.leftovers.append(str(self._staged_config))

    def _surplus(self) -> set[Path]:
        """Profiles and rules that are here and were not there: they would go on to count."""
        assert self._config is not None
        config = self._restored_config()
        found: set[Path] = set()
        for folder in (config.devices.path.absolute(), config.rules.path.absolute()):
            is_inside = folder.is_relative_to(self._staged_config)
            here = self._config.parent / folder.relative_to(self._staged_config) if is_inside else folder
            if is_inside or self._outside:
                with suppress(FileNotFoundError, NotADirectoryError):
                    found |= set(profile_paths(here))
        return found


def _give_away(stage: Path, like: os.stat_result) -> None:
    """Give the files in ``stage`` to the owner of the folder around, who might have put another folder in its place."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    around = os.open(stage.parent, flags)
    try:
        folder = os.open(stage.name, flags, dir_fd=around)
    finally:
        os.close(around)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            raise RestoreRefused(f"{stage}: somebody else has put it there; nothing was changed")
        for name in os.listdir(folder):  # noqa: PTH208 - of this very folder, whatever has its name now
            os.chown(name, like.st_uid, like.st_gid, dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)


def _stored_events(state: Path) -> int:
    """How many events the journal holds that would be replaced."""
    if not state.is_dir() or not data_files(state)[0]:
        return 0
    with closing(Inspection.open(state, max_size_bytes=0)) as stored:
        return sum(lane.events for lane in stored.stats().lanes)
