"""`fieldgate restore`: the old state or the new one, whole, and nothing of the new one is taken for what it is not."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from backup_kit import (
    GATEWAY,
    PASSWORD,
    Machine,
    facts,
    fieldgate,
    fingerprint,
    reopened,
    seqs_of_all,
    well,
    write_sessions,
)
from fieldgate.journal.restored import check_databases, renew
from fieldgate.journal.session_file import SessionFile
from fieldgate.journal.snapshot import copy_stopped
from journal_kit import assert_accounted, block, everything, open_journal, write


def empty_machine(tmp_path: Path) -> Machine:
    """A new one that has nothing of Fieldgate's yet."""
    other = Machine(tmp_path / "new", events=0)
    shutil.rmtree(other.folder)
    return other


# -- an empty machine, and what a backup holds ---------------------------------------------------------------


def test_a_backup_makes_an_empty_machine_what_the_old_one_was(machine: Machine, archive: Path, tmp_path: Path) -> None:
    """The disk is gone, the file is there: events, configuration, rules and users come back."""
    other = empty_machine(tmp_path)

    ended = well(other.restore(archive))

    assert "epoch 2 begins" in ended.stdout
    assert "before" not in ended.stdout
    journal = reopened(other.state)
    assert_accounted(journal, 40)
    assert journal.opened.notes == ()
    assert journal.verify().problems == ()
    journal.close()
    assert (other.folder / "rules.d" / "mine.yaml").read_text(encoding="utf-8") == "# mine\n"
    assert (other.folder / "users").stat().st_mode & 0o777 == 0o600
    assert not [path for path in other.folder.rglob("*") if "part" in path.name or path.name == "restore"]


def test_secrets_are_left_out_unless_they_are_asked_for(machine: Machine, archive: Path, tmp_path: Path) -> None:
    """A backup goes where passwords should not."""
    assert PASSWORD.encode() not in archive.read_bytes()
    listed = facts(fieldgate("restore", "--list", archive, "--json"))
    assert listed["left_out"] == ["uplinks.up.mqtt.password: stands in the configuration; CHANGE-ME is in its place"]
    other = empty_machine(tmp_path)
    well(other.restore(archive))
    text = other.config.read_text(encoding="utf-8")
    assert text == machine.config.read_text(encoding="utf-8").replace(f"'{PASSWORD}'", "CHANGE-ME")

    well(machine.backup(archive, "--with-secrets", "--force"))

    well(other.restore(archive, "--force"))
    assert other.config.read_text(encoding="utf-8") == machine.config.read_text(encoding="utf-8")


def test_keys_and_secret_files_are_named_when_they_are_left_out(machine: Machine, tmp_path: Path) -> None:
    """Who restores must know what to bring."""
    for name, content in (("up.password", "s3cret"), ("own.pem", "-----BEGIN PRIVATE KEY-----"), ("ca.pem", "public")):
        (machine.folder / name).write_text(content, encoding="utf-8")
        (machine.folder / name).chmod(0o600)
    machine.config.write_text(
        f"gateway: {{id: {GATEWAY}}}\n"
        "uplinks:\n"
        "  up: {mqtt: {url: 'mqtts://b.example', password: '${file:up.password}', ca: ca.pem}}\n"
        "  two: {mqtt: {url: 'mqtts://b.example', certificate: own.pem, key: own.pem, username: '${env:WHO}'}}\n"
        "journal: {path: state}\n",
        encoding="utf-8",
    )
    made = facts(machine.backup(tmp_path / "a.tar", "--json"))

    names = {Path(line.partition(": ")[0]).name: line for line in made["left_out"]}
    assert set(names) == {"up.password", "own.pem", "${env:WHO}"}
    kept = facts(fieldgate("restore", "--list", tmp_path / "a.tar", "--json"))["files"]
    assert "config/ca.pem" in {one["name"] for one in kept}
    with_all = facts(machine.backup(tmp_path / "b.tar", "--with-secrets", "--json"))
    assert with_all["left_out"] == ["${env:WHO}: known to the service only (uplinks.two.mqtt.username)"]


def test_what_a_file_was_replaced_by_is_kept_and_what_was_added_ends(machine: Machine, archive: Path) -> None:
    """A rule that was added since would go on to open valves."""
    (machine.folder / "rules.d" / "since.yaml").write_text("# since\n", encoding="utf-8")
    machine.config.write_text(machine.config.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    done = facts(machine.restore(archive, "--force", "--json"))

    kept_state, kept_config = map(Path, done["kept"])
    assert sorted(path.name for path in (machine.folder / "rules.d").iterdir()) == ["mine.yaml"]
    assert (kept_config / "rules.d" / "since.yaml").read_text(encoding="utf-8") == "# since\n"
    assert "# changed" in (kept_config / "fieldgate.yaml").read_text(encoding="utf-8")
    assert "# changed" not in machine.config.read_text(encoding="utf-8")
    old = open_journal(kept_state)
    assert_accounted(old, 40)
    old.close()


# -- refusals ------------------------------------------------------------------------------------------------


def damaged(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 3] ^= 4
    archive.write_bytes(content)


def truncated(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-4096])


@pytest.mark.parametrize("spoil", [damaged, truncated, lambda path: path.unlink()])
def test_an_archive_that_is_not_whole_changes_nothing(machine: Machine, archive: Path, spoil: object) -> None:
    """The machine may still run with what it has."""
    spoil(archive)  # type: ignore[operator]
    before = fingerprint(machine.folder)

    ended = machine.restore(archive, "--force")

    assert ended.exit_code == 1
    assert fingerprint(machine.folder) == before


def test_a_newer_schema_is_refused_before_anything_is_written(
    machine: Machine, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A downgrade: what the newer version meant nobody knows here."""
    monkeypatch.setattr("fieldgate.journal.restored.SCHEMA_VERSION", 0)
    before = fingerprint(machine.folder)

    ended = machine.restore(archive, "--force")

    assert str(ended.exception) == (
        "journal-000001.db: written by a newer version of Fieldgate (schema version 1; this one knows 0); "
        "upgrade Fieldgate, then restore"
    )
    assert fingerprint(machine.folder) == before


def test_a_gateway_that_runs_is_left_alone(machine: Machine, archive: Path) -> None:
    """It would go on writing to files that are not there any more."""
    journal = open_journal(machine.state)

    ended = machine.restore(archive, "--force")

    assert "the journal is in use by process" in str(ended.exception)
    journal.close()
    assert not list(machine.folder.glob("before-restore-*"))


def make_newer(machine: Machine) -> None:
    """What the message of a downgrade says one may do."""
    with closing(sqlite3.connect(max(machine.state.glob("journal-*.db")))) as database:
        database.execute("PRAGMA user_version=99")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _machine: None, "40 events are stored here"),
        (lambda machine: make_newer(machine), "schema version 99; .* --force keeps all of it aside"),
        (
            lambda machine: machine.config.write_text("gateway: {id: other}\njournal: {path: state}\n"),
            "the backup is of gateway 'plant-7', and .* is that of 'other'",
        ),
    ],
)
def test_what_a_person_must_say_twice(machine: Machine, archive: Path, change: object, why: str) -> None:
    """--force is for whoever has read this."""
    change(machine)  # type: ignore[operator]
    before = fingerprint(machine.folder)

    ended = machine.restore(archive)

    assert re.search(why, str(ended.exception))
    assert fingerprint(machine.folder) == before
    well(machine.restore(archive, "--force"))


def test_files_from_elsewhere_are_not_put_there_unasked(machine: Machine, tmp_path: Path) -> None:
    """An archive may name any file of the machine, and whoever restores is root."""
    profiles = tmp_path / "elsewhere"
    profiles.mkdir()
    (profiles / "p.yaml").write_text("# mine\n", encoding="utf-8")
    text = machine.config.read_text(encoding="utf-8")
    machine.config.write_text(f"{text}devices: {{path: {profiles}}}\n", encoding="utf-8")
    well(machine.backup(tmp_path / "a.tar"))
    shutil.rmtree(profiles)

    ended = machine.restore(tmp_path / "a.tar")

    assert f"outside of the configuration's folder: {profiles}/p.yaml" in str(ended.exception)
    assert not profiles.exists()
    well(machine.restore(tmp_path / "a.tar", "--force"))
    assert (profiles / "p.yaml").read_text(encoding="utf-8") == "# mine\n"


# -- a new epoch ---------------------------------------------------------------------------------------------


def number_given_after(state: Path) -> int:
    """The number of the first event that the restored gateway accepts."""
    journal = reopened(state)
    first = journal.opened.next_seq
    write(journal, block([first], run=77))
    assert first in seqs_of_all(journal)
    journal.close()
    return first


def test_no_number_is_given_twice_and_the_epoch_is_another(machine: Machine, archive: Path, tmp_path: Path) -> None:
    """What the lost disk has sent after the backup is upstream; consumers order and compare by number."""
    machine.write_events(41, 500)  # the backup knows nothing of these
    other = empty_machine(tmp_path)

    done = facts(other.restore(archive, "--json"))

    assert done["epoch"] == 2
    assert number_given_after(other.state) > 540


def test_a_restore_that_keeps_the_epoch_is_found_out(
    machine: Machine, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the test above."""
    machine.write_events(41, 500)
    monkeypatch.setattr("fieldgate.cli.restore_plan.renew", lambda _stage, _above: 1)
    other = empty_machine(tmp_path)

    done = facts(other.restore(archive, "--json"))

    assert done["epoch"] == 1
    assert number_given_after(other.state) <= 540


def test_what_was_stored_after_the_backup_is_told_as_lost(machine: Machine, archive: Path) -> None:
    """On the same machine it is known how far the journal had come; uplinks must hear of the rest (P5)."""
    machine.write_events(41, 60)

    well(machine.restore(archive, "--force"))

    journal = reopened(machine.state)
    seqs, losses = everything(journal)
    assert seqs == list(range(1, 41))
    assert sum(loss.count for loss in losses) == 60
    assert {(loss.first_seq, loss.last_seq) for loss in losses} == {(41, 100)}
    journal.close()


def test_a_restore_of_a_restore_goes_on_above_both(machine: Machine, archive: Path) -> None:
    """Whoever restores the same file twice is no worse off."""
    well(machine.restore(archive, "--force"))
    first = number_given_after(machine.state)

    done = facts(machine.restore(archive, "--force", "--json"))

    assert done["epoch"] == 3
    assert number_given_after(machine.state) > first
    assert len(list(machine.state.glob("before-restore-*"))) == 2


def test_packet_ids_of_the_past_are_forgotten(machine: Machine, tmp_path: Path) -> None:
    """A client that has used its QoS 2 id anew since would be acknowledged and its message thrown away."""
    write_sessions(machine.state)
    copy_stopped(machine.state, tmp_path / "stage")

    renew(tmp_path / "stage", None)

    file = SessionFile(tmp_path / "stage")
    assert file.state.sessions[1].unreleased == ()
    assert {at: one.packet_id for at, one in file.state.deliveries[1].items()} == {1: 0, 2: 0}
    file.close()


def test_an_epoch_in_the_middle_of_a_set_aside_file_keeps_what_it_holds(tmp_path: Path) -> None:
    """A journal that was damaged once has its events in two files; a backup takes both."""
    state = Machine(tmp_path / "plant").state
    data = max(state.glob("journal-*.db"))
    content = bytearray(data.read_bytes())
    content[:100] = bytes(100)
    data.write_bytes(content)
    journal = open_journal(state)
    write(journal, block(range(1001, 1011)))
    journal.close()
    copy_stopped(state, tmp_path / "stage")
    check_databases(tmp_path / "stage")

    renew(tmp_path / "stage", None)

    copy = reopened(tmp_path / "stage")
    assert seqs_of_all(copy) == [*range(1, 41), *range(1001, 1011)]
    copy.close()
