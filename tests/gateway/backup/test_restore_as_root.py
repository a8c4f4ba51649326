"""Root restores into a folder that belongs to the gateway's user, who may have been taken over by somebody else."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from backup_kit import Machine, fieldgate, fingerprint, well
from fieldgate.cli import restore_plan
from fieldgate.journal.files import Folder, share_lock
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.restoring import RestoreError, finish_cut_restore

pytestmark = pytest.mark.root

SERVICE = 64_123
EDITOR = 64_124


def give(folder: Path) -> None:
    """To the gateway's user, all of it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)


def plant_plan(state: Path, target: Path) -> None:
    """What somebody writes who has the gateway and wants the machine."""
    folder = state / "restore"
    folder.mkdir()
    (folder / "mine").write_text("mine\n", encoding="utf-8")
    plan = {"moved": [], "copied": [], "placed": [[str(folder / "mine"), str(target)]], "deleted": [], "leftovers": []}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


def test_root_carries_out_no_plan_of_the_gateways_user(machine: Machine, archive: Path, tmp_path: Path) -> None:
    """Whoever got into the gateway would else put a file wherever he likes, and wait for the next restore."""
    plant_plan(machine.state, tmp_path / "cron.d")
    give(machine.state)
    before = fingerprint(machine.folder)

    refused = machine.restore(archive, "--force")

    assert refused.exit_code == 1
    assert f"user {SERVICE} began" in str(refused.exception)
    assert not (tmp_path / "cron.d").exists()
    assert fingerprint(machine.folder) == before


def test_a_plan_of_ones_own_is_carried_out(machine: Machine, tmp_path: Path) -> None:
    """The control, and the mutant of the test above: the plan is one that would do what it says."""
    plant_plan(machine.state, tmp_path / "cron.d")

    assert finish_cut_restore(machine.state)
    assert (tmp_path / "cron.d").exists()


def test_a_plan_is_not_read_through_a_link(machine: Machine, tmp_path: Path) -> None:
    """A file of root's that somebody else points to says what root once meant, not what he means."""
    plant_plan(machine.state, tmp_path / "cron.d")
    plan = machine.state / "restore" / "plan.json"
    plan.rename(tmp_path / "plan.json")
    plan.symlink_to(tmp_path / "plan.json")

    with pytest.raises(RestoreError):
        finish_cut_restore(machine.state)
    assert not (tmp_path / "cron.d").exists()


def test_a_lock_that_leads_elsewhere_is_none(machine: Machine, tmp_path: Path) -> None:
    """The lock's holder writes its number into it: of another file nothing would be left. A pipe would hold up all."""
    lock = machine.state / "lock"
    (tmp_path / "shadow").write_text("root:x\n", encoding="utf-8")
    lock.unlink()
    lock.symlink_to(tmp_path / "shadow")

    with pytest.raises(JournalRefused):
        Folder(machine.state)
    lock.unlink()
    os.mkfifo(lock)
    held = share_lock(machine.state)

    assert (tmp_path / "shadow").read_text(encoding="utf-8") == "root:x\n"
    assert held is not None
    os.close(held)


def test_another_folder_in_place_of_the_prepared_one_is_not_given_away(
    machine: Machine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who owns the folder around may rename what root has made in it while root is still at it."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "shadow").write_text("root:x\n", encoding="utf-8")
    give(machine.state)
    renew = restore_plan.renew

    def swapped(stage: Path, above: object) -> int:
        epoch = renew(stage, above)  # type: ignore[arg-type] # as it came
        stage.rename(tmp_path / "aside")
        stage.symlink_to(etc)
        return epoch

    monkeypatch.setattr(restore_plan, "renew", swapped)

    assert machine.restore(archive, "--force").exit_code == 1
    assert (etc / "shadow").stat().st_uid == 0


def test_all_that_root_puts_into_the_state_folder_is_the_gateways(machine: Machine, archive: Path) -> None:
    """Also the lock, where there was none: a gateway that may not open it does not start."""
    for path in machine.state.iterdir():
        path.unlink()
    give(machine.state)

    well(machine.restore(archive))

    assert {path.name: path.stat().st_uid for path in machine.state.rglob("*")} == {
        path.name: SERVICE for path in machine.state.rglob("*")
    }
    assert (machine.state / "lock").exists()


@pytest.mark.parametrize(("linker", "owner", "is_taken"), [(EDITOR, 0, False), (EDITOR, EDITOR, True), (0, 0, True)])
def test_root_reads_nothing_for_who_may_only_edit_rules(
    machine: Machine, tmp_path: Path, linker: int, owner: int, *, is_taken: bool
) -> None:
    """A link in ``rules.d`` to a file that only root may read: in a backup, and in a bundle that is given away."""
    target = tmp_path / "netplan.yaml"
    target.write_text("id: psk-of-the-wifi\n", encoding="utf-8")
    os.chown(target, owner, owner)
    link = machine.folder / "rules.d" / "wifi.yaml"
    link.symlink_to(target)
    os.chown(link, linker, linker, follow_symlinks=False)

    saved = machine.backup(tmp_path / "b.tar")
    bundle = fieldgate("diag", tmp_path / "d.tar.gz", "--offline", "--log", "/dev/null", "-c", machine.config)

    assert (saved.exit_code == 0) == is_taken
    assert is_taken or "which root does not follow" in str(saved.exception)
    with tarfile.open(well(bundle) and tmp_path / "d.tar.gz") as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert ("rules.d/wifi.yaml" in names) == is_taken
