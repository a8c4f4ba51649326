"""A restore that is cut short: the old state or the new one, whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_kit import Machine, facts, fieldgate, fingerprint, reopened, seqs_of_all, well
from fieldgate.cli import restore_plan
from fieldgate.journal.restoring import finish_cut_restore


class PowerCut(BaseException):
    """Nothing after it happens."""


@contextmanager
def cut_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The power goes at the ``steps``-th change of a name."""
    done: list[str] = []

    def counting(name: str, real: object) -> object:
        def change(*args: object, **kwargs: object) -> object:
            if len(done) >= steps:
                raise PowerCut
            done.append(name)
            return real(*args, **kwargs)  # type: ignore[operator]

        return change

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink", "mkdir", "rmdir"):
            patch.setattr(os, name, counting(name, getattr(os, name)))
        yield done


def whole(folder: Path) -> dict[str, str]:
    """What counts of a machine: not the kept files, nor what is being prepared."""
    found = fingerprint(folder)
    return {
        name: digest
        for name, digest in found.items()
        if not any(part.startswith(("before-restore-", "restore", ".fieldgate-restore")) for part in Path(name).parts)
        and Path(name).name != "highwater"
        and not name.endswith("-wal")
        and "journal-" not in name
    } | {"seqs": ",".join(map(str, stored_seqs(folder / "state")))}


def stored_seqs(state: Path) -> list[int]:
    journal = reopened(state)
    seqs = seqs_of_all(journal)
    journal.close()
    return seqs


def test_wherever_a_restore_is_cut_the_old_or_the_new_is_whole(
    machine: Machine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power may go at any change of a name; the next start finishes what was decided."""
    machine.write_events(41, 20)
    (machine.folder / "rules.d" / "since.yaml").write_text("# since\n", encoding="utf-8")
    shutil.copytree(machine.folder, tmp_path / "old")
    shutil.copytree(machine.folder, tmp_path / "done")
    new = Machine.__new__(Machine)
    new.folder, new.config, new.state = tmp_path / "done", tmp_path / "done" / "fieldgate.yaml", tmp_path / "done/state"
    well(new.restore(archive, "--force"))
    outcomes = {"old": whole(tmp_path / "old"), "new": whole(tmp_path / "done")}
    assert outcomes["old"] != outcomes["new"]
    seen: list[str] = []
    unfinished = 0
    for steps in range(200):
        folder = tmp_path / f"cut-{steps}"
        shutil.copytree(machine.folder, folder)
        is_cut = False
        with cut_after(steps, monkeypatch):
            try:
                well(fieldgate("restore", archive, "-c", folder / "fieldgate.yaml", "--force"))
            except PowerCut:
                is_cut = True
        unfinished += finish_cut_restore(folder / "state")
        found = whole(folder)
        names = [name for name, outcome in outcomes.items() if outcome == found]
        assert names, f"neither old nor new after {steps} changes"
        seen += names
        shutil.rmtree(folder)
        if not is_cut:
            break

    assert seen == sorted(seen, reverse=True)  # "old" … "new", and never back
    assert {"old", "new"} == set(seen)
    assert unfinished  # the control: some were cut between the two


def test_another_restore_finishes_the_one_before_with_its_own_configuration(
    machine: Machine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types it again may name another archive: the databases of one with the rules of the other are neither."""
    since = machine.folder / "rules.d" / "mine.yaml"
    since.write_text("# later\n", encoding="utf-8")
    well(machine.backup(tmp_path / "later.tar"))
    since.write_text("# now\n", encoding="utf-8")
    finish, calls = restore_plan.finish_restore, []

    def cut(folder: Path) -> bool:
        calls.append(folder)
        if len(calls) == 2:
            raise PowerCut
        return finish(folder)

    monkeypatch.setattr(restore_plan, "finish_restore", cut)
    (machine.folder / ".fieldgate-restore.part").mkdir()  # of one that was cut before it was decided
    with pytest.raises(PowerCut):
        machine.restore(archive, "--force")

    restored = facts(machine.restore(tmp_path / "later.tar", "--force", "--json"))

    kept = [
        Path(folder) / "rules.d" / "mine.yaml" for folder in restored["kept"] if Path(folder).parent != machine.state
    ]
    assert since.read_text(encoding="utf-8") == "# later\n"
    assert [path.read_text(encoding="utf-8") for path in kept] == ["# mine\n"]
    assert not list(machine.folder.glob(".fieldgate-restore*"))
    assert restored["epoch"] == 3  # each of the two has begun one
