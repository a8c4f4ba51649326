"""What a power cut may leave behind, state by state: everything synced, and of the rest any part (rows 15 and 16).

A process that uses the journal is recorded once; then it is cut after one operation, after another, and so on. Its
promises are what it had printed by then. The controls leave out a sync and must be found out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import power_child
from journal_kit import closed, data_file, everything, filled, flip, open_journal, read_all, seqs_of, wal_file
from power_child import KEPT, LIMIT_BYTES
from power_replay import Contents, Disk, Name, Operation, Sync, SyncNames, crash_states, put_on_disk, read_recording
from strace_kit import needs_strace, record

pytestmark = [needs_strace, pytest.mark.timeout(300)]

CHILD = Path(power_child.__file__)
SHORT, LONG = 120, 3_000

Figure = Callable[[str], None]


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder on tmpfs if there is one: thousands of states are opened, and each one syncs."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shm, prefix="fieldgate-") as folder:
        yield Path(folder)


def recording(folder: Path, synchronous: str = "FULL") -> tuple[Disk, list[Operation]]:
    record(folder / "log", CHILD, "commit", folder / "recorded", synchronous, "60")
    return read_recording(folder / "log", folder / "recorded")


def broken_promises(folder: Path, promised: int) -> list[str]:
    """Open what a cut left; return what is wrong with it."""
    journal = open_journal(folder, run=99, max_size_bytes=LIMIT_BYTES)
    lanes = [read_all(journal, lane) for lane in range(3)]
    seqs = sorted(seq for blocks, _ in lanes for seq in seqs_of(blocks))
    last = max(seqs, default=0)
    state = int(journal.opened.uplink_states.get("up", b"0"))
    losses = [*journal.opened.losses, *(loss for _, losses in lanes for loss in losses)]
    checks = {
        f"{promised} was promised, the last one is {last}": last >= promised,
        "there are holes": seqs == list(range(last - len(seqs) + 1, last + 1)),
        "more was removed than asked for": len(seqs) >= min(last, KEPT),
        f"the state saved with {last} is {state}": state == last,
        f"a loss is told: {losses}": not losses,
        f"a file was set aside: {journal.opened.set_aside}": not journal.opened.set_aside,
        f"number {journal.opened.next_seq} is given again": journal.opened.next_seq > last,
        "verify finds fault": journal.verify().is_sound,
    }
    journal.close()
    return [problem for problem, is_well in checks.items() if not is_well]


def found_out(disk: Disk, operations: Sequence[Operation], folder: Path, *, states: int) -> list[str]:
    """Return each state in which a promise is broken."""
    broken = []
    for number, (where, promised, contents) in enumerate(crash_states(disk, operations, states=states, seed=15)):
        put_on_disk(contents, folder / str(number))
        problems = broken_promises(folder / str(number), int(promised[-1]) if promised else 0)
        if problems:
            broken.append(f"{where}: {'; '.join(problems)}")
        shutil.rmtree(folder / str(number), ignore_errors=True)
    return broken


@pytest.mark.parametrize("states", [SHORT, pytest.param(LONG, marks=pytest.mark.long)])
def test_every_state_that_a_power_cut_may_leave_keeps_what_was_promised(
    in_memory: Path, figure: Figure, states: int
) -> None:
    """Rows 15 and 16: the recording begins before the folder exists. No state may look like a loss either."""
    disk, operations = recording(in_memory)

    broken = found_out(disk, operations, in_memory, states=states)

    figure(f"{len(broken)} of {states} states; 95 % upper bound {3 / states:.2%}")
    assert broken == []


def test_without_a_sync_for_each_commit_promises_are_broken(in_memory: Path, figure: Figure) -> None:
    """Control: `synchronous=NORMAL` must fail, or the test above proves nothing."""
    disk, operations = recording(in_memory, "NORMAL")

    broken = found_out(disk, operations, in_memory, states=100)

    figure(f"control, must fail: {len(broken)} of 100 states")
    assert len(broken) > 20


@pytest.mark.parametrize("left_out", [SyncNames(of_parent=False), SyncNames(of_parent=True)])
def test_without_a_sync_of_the_folder_promises_are_broken(in_memory: Path, left_out: SyncNames) -> None:
    """Control: a file whose name is not safe is not safe; neither is a folder whose own name is not."""
    disk, operations = recording(in_memory)
    careless = [operation for operation in operations if operation != left_out]

    assert len(careless) < len(operations)
    assert len(found_out(disk, careless, in_memory, states=60)) > 10


def test_a_high_water_file_that_is_never_synced_is_no_false_alarm(in_memory: Path) -> None:
    """It may be torn, half written, or from before; what the journal holds is believed all the same."""
    disk, operations = recording(in_memory)
    file = next(one.file for one in operations if isinstance(one, Name) and one.name == "highwater")
    careless = [operation for operation in operations if operation != Sync(file)]

    assert found_out(disk, careless, in_memory, states=100) == []


def flipped_log(folder: Path) -> Path:
    path = filled(folder, checkpoint_at=200)
    flip(wal_file(path), wal_file(path).stat().st_size * 2 // 3)
    return path


def garbage_in_the_middle(folder: Path) -> Path:
    path = closed(folder, events=2_000)
    content = bytearray(data_file(path).read_bytes())
    middle = len(content) // 2048 * 1024
    content[middle : middle + 4096] = b"\xa5" * 4096
    data_file(path).write_bytes(content)
    return path


def no_header(folder: Path) -> Path:
    path = closed(folder)
    with data_file(path).open("r+b") as file:
        file.write(bytes(100))
    return path


def cut_in_half(folder: Path) -> Path:
    path = closed(folder, events=1_000)
    os.truncate(data_file(path), data_file(path).stat().st_size // 2048 * 1024)
    return path


def test_a_file_that_was_half_set_aside_is_drained_with_its_log(tmp_path: Path) -> None:
    """A cut between the two renames of setting aside leaves the log alone under its new name."""
    folder = filled(tmp_path, checkpoint_at=200)
    wal = wal_file(folder)
    wal.rename(folder / f"{data_file(folder).name}.damaged-1-wal")

    assert everything(open_journal(folder, run=2)) == (list(range(1, 401)), [])


@pytest.mark.parametrize("states", [25, pytest.param(1_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("damage", [flipped_log, garbage_in_the_middle, no_header, cut_in_half])
def test_a_power_cut_while_a_damaged_journal_is_mended_costs_nothing_more(
    in_memory: Path, figure: Figure, damage: Callable[[Path], Path], states: int
) -> None:
    """Setting aside, salvage and the move to a new file may be cut short like anything else."""
    damaged = damage(in_memory)
    before: Contents = {"": None} | {path.name: path.read_bytes() for path in damaged.iterdir()}
    shutil.copytree(damaged, in_memory / "uncut")
    uncut = open_journal(in_memory / "uncut", run=2)
    salvageable, losses = everything(uncut)
    uncut.close()
    record(in_memory / "log", CHILD, "mend", damaged)
    disk, operations = read_recording(in_memory / "log", damaged, before=before)

    broken = []
    for number, (where, promised, contents) in enumerate(crash_states(disk, operations, states=states, seed=23)):
        folder = in_memory / f"state-{number}"
        put_on_disk(contents, folder)
        journal = open_journal(folder, run=3)
        seqs, told = everything(journal)
        journal.close()
        new = range(int(promised[0]) - 9, int(promised[-1]) + 1) if promised else ()
        lost = {*salvageable, *new} - set(seqs)
        if lost or seqs != sorted(set(seqs)) or sum(one.count for one in told) != sum(one.count for one in losses):
            broken.append(f"{where}: lost {sorted(lost)[:5]}, told {told}")
        shutil.rmtree(folder)

    figure(f"{len(broken)} of {states} states; 95 % upper bound {3 / states:.2%}")
    assert broken == []
