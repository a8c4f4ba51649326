"""What answers a backup has the gateway's rights; who types the command may be root."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup_kit import Machine, well
from fieldgate.control import socket_path
from fieldgate.journal.archive import ArchiveError, ArchiveReader, ArchiveWriter
from fieldgate.journal.files import STAGE


@contextmanager
def answering(machine: Machine, stage: Path) -> Iterator[None]:
    """Somebody on the control socket who says that the copy lies in ``stage``."""
    lanes = {"events": {"events": 40}}
    said = {"stage": str(stage), "left_out": [], "stats": {"epoch": 1, "lanes": lanes}}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(socket_path(machine.state)))
        listening.listen()

        def answer() -> None:
            asker, _ = listening.accept()
            with asker:
                asker.recv(4096)
                asker.sendall(json.dumps(said).encode() + b'\n{"done":true}\n')
                asker.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(10)


def copy_of(machine: Machine, stage: Path) -> None:
    """What a gateway puts into its copy."""
    stage.mkdir()
    for path in machine.state.glob("journal-*"):
        shutil.copyfile(path, stage / path.name)


@pytest.mark.parametrize("is_linked", [False, True])
def test_no_folder_is_taken_and_deleted_but_the_copy(machine: Machine, tmp_path: Path, is_linked: bool) -> None:
    """Whoever has got into the gateway would else have root delete any folder, and pack its files up."""
    copy_of(machine, tmp_path / "home")
    named = tmp_path / "home"
    if is_linked:
        named = machine.state / STAGE
        named.symlink_to(tmp_path / "home")

    with answering(machine, named):
        refused = machine.backup(tmp_path / "b.tar")

    assert refused.exit_code == 1
    assert "it belongs to" in str(refused.exception)
    assert (tmp_path / "home" / "journal-000001.db").exists()
    assert not (tmp_path / "b.tar").exists()


def test_the_copy_in_its_place_is_taken_and_deleted(machine: Machine, tmp_path: Path) -> None:
    """The control of the test above."""
    copy_of(machine, machine.state / STAGE)

    with answering(machine, machine.state / STAGE):
        well(machine.backup(tmp_path / "b.tar"))

    assert not (machine.state / STAGE).exists()
    with ArchiveReader(tmp_path / "b.tar") as reader:
        assert "state/journal-000001.db" in {one.name for one in reader.manifest.members}


def test_a_link_in_the_copy_is_not_followed(tmp_path: Path) -> None:
    """What it leads to would be the gateway's after the next restore."""
    (tmp_path / "shadow").write_text("root:x\n", encoding="utf-8")
    (tmp_path / "highwater").symlink_to(tmp_path / "shadow")

    with ArchiveWriter(tmp_path / "a.tar") as writer, pytest.raises(ArchiveError):
        writer.add_file("state/highwater", tmp_path / "highwater", kind="high-water")
