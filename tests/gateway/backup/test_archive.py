"""A backup that was cut, or of which a bit has flipped, is never taken for one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fieldgate.journal.archive import ArchiveError, ArchiveReader, ArchiveWriter, Manifest


def manifest(**also: object) -> Manifest:
    values = {"fieldgate": "1", "gateway": "g", "made_at": "now", "clock": "synced", "epoch": 1, "events": 0}
    return Manifest(**{**values, "schemas": {}, **also})  # type: ignore[arg-type]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """One with an odd length, a long name, and one that is no ASCII."""
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 5 + b"odd")
    path = tmp_path / "a.tar"
    with ArchiveWriter(path) as writer:
        writer.add_file("state/journal-000001.db", source, kind="database")
        writer.add_bytes(f"config/{'long' * 40}/ü.yaml", b"x: 1\n", kind="rule")
        writer.finish(manifest())
    return path


def is_refused(path: Path) -> bool:
    try:
        ArchiveReader(path)
    except ArchiveError:
        return True
    return False


def test_what_was_written_is_read(archive: Path, tmp_path: Path) -> None:
    """The control of all the others."""
    with ArchiveReader(archive) as reader:
        members = {one.name: one for one in reader.manifest.members}
        reader.extract(members["state/journal-000001.db"], tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == (tmp_path / "source").read_bytes()
    assert archive.stat().st_mode & 0o777 == 0o600


def test_any_tool_unpacks_it(archive: Path) -> None:
    """Whoever has lost Fieldgate too has a tar."""
    listed = subprocess.run(["tar", "tf", archive], check=True, capture_output=True, text=True)

    assert listed.stderr == ""
    assert listed.stdout.splitlines()[-2:] == ["manifest.json", "SHA256SUM"]


def test_no_bit_flips_unnoticed(archive: Path) -> None:
    """Not in what it holds, not in a header, not in what fills a block up."""
    content = archive.read_bytes()
    bent = archive.with_name("bent.tar")
    unnoticed = []
    for place in [*range(0, len(content), 37), *range(len(content) - 3000, len(content), 11)]:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        bent.write_bytes(changed)
        if not is_refused(bent):
            unnoticed.append(place)

    assert unnoticed == []


def test_no_end_is_missed_unnoticed(archive: Path) -> None:
    """A stick that was pulled out too early."""
    content = archive.read_bytes()
    cut = archive.with_name("cut.tar")
    taken = []
    for length in [*range(0, len(content), 53), len(content) - 1]:
        cut.write_bytes(content[:length])
        if not is_refused(cut):
            taken.append(length)
    cut.write_bytes(content + b"\0")

    assert taken == []
    assert is_refused(cut)


def test_a_check_that_only_unpacks_would_miss_flipped_bits(archive: Path) -> None:
    """The mutant: tar itself takes what has changed within a file for what it was."""
    content = bytearray(archive.read_bytes())
    content[content.index(b"odd")] ^= 1
    archive.write_bytes(content)

    assert subprocess.run(["tar", "tf", archive], check=True, capture_output=True).stderr == b""
    assert is_refused(archive)


@pytest.mark.parametrize("name", ["state/../../x", "/etc/passwd", "config/a/./b", "elsewhere/x", "state"])
def test_names_that_lead_out_of_it_are_refused(tmp_path: Path, name: str) -> None:
    """Whoever restores is root, and the archive was on a stick that others had."""
    path = tmp_path / "a.tar"
    with ArchiveWriter(path) as writer:
        writer.add_bytes(name, b"", kind="rule")
        writer.finish(manifest())

    with pytest.raises(ArchiveError, match="is no file that a backup holds"):
        ArchiveReader(path)


def test_one_of_a_newer_version_says_which(tmp_path: Path) -> None:
    """What it means nobody knows here."""
    path = tmp_path / "a.tar"
    with ArchiveWriter(path) as writer:
        writer.finish(manifest(format=2, fieldgate="9.1"))

    with pytest.raises(ArchiveError, match=r"made by Fieldgate 9\.1 in format 2; this one knows format 1: upgrade"):
        ArchiveReader(path)


def test_an_archive_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    """A half backup under the right name is worse than none."""
    path = tmp_path / "a.tar"

    with ArchiveWriter(path) as writer:
        writer.add_bytes("state/x", b"", kind="database")
        assert not path.exists()

    assert list(tmp_path.iterdir()) == []


def test_two_at_a_time_do_not_take_each_others_half(tmp_path: Path) -> None:
    """A timer and a person: the first gave its name to what the second had begun, and called it complete."""
    path = tmp_path / "a.tar"

    with ArchiveWriter(path) as writer:
        writer.add_bytes("config/x", b"x: 1\n", kind="rule")
        with pytest.raises(ArchiveError, match="another backup to the same file is being made"):
            ArchiveWriter(path)
        writer.finish(manifest())

    with ArchiveReader(path) as reader:
        assert [one.name for one in reader.manifest.members] == ["config/x"]


def test_what_a_kill_has_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """The lock ends with its process."""
    (tmp_path / ".a.tar.part").write_bytes(b"half")

    with ArchiveWriter(tmp_path / "a.tar") as writer:
        writer.finish(manifest())

    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_a_file_that_somebody_has_replaced_meanwhile_is_not_called_a_backup(tmp_path: Path) -> None:
    """The mutant of the lock: somebody who does not ask for it."""
    path = tmp_path / "a.tar"
    with ArchiveWriter(path) as writer:
        (tmp_path / ".a.tar.part").unlink()
        (tmp_path / ".a.tar.part").write_bytes(b"half")
        with pytest.raises(ArchiveError, match="replaced while it was written"):
            writer.finish(manifest())

    assert not path.exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_neither_replaced_nor_waited_for(tmp_path: Path, kind: str) -> None:
    """``--force /dev/null`` as root would leave a machine without one."""
    path = tmp_path / "a.tar"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/null")

    with pytest.raises(ArchiveError, match="no plain file"):
        ArchiveWriter(path, may_replace=True)
    with pytest.raises(ArchiveError, match="no plain file"):
        ArchiveReader(path)

    assert [one.name for one in tmp_path.iterdir()] == ["a.tar"]
    assert not path.is_file()


def test_only_a_backup_is_replaced(archive: Path, tmp_path: Path) -> None:
    """``--force`` is for the one of yesterday. Of the journal, or the configuration, nothing would be left."""
    journal = tmp_path / "journal-000001.db"
    journal.write_bytes(b"SQLite format 3\0" + bytes(1000))
    (tmp_path / "made-by-mktemp").touch()

    with pytest.raises(ArchiveError, match="is no backup, and is not replaced"):
        ArchiveWriter(journal, may_replace=True)
    for path in (archive, tmp_path / "made-by-mktemp"):
        with ArchiveWriter(path, may_replace=True) as writer:
            writer.finish(manifest())
        with ArchiveReader(path) as reader:
            assert reader.manifest.members == []

    assert journal.read_bytes().startswith(b"SQLite")
