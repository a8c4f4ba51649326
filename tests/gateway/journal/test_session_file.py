"""The file of sessions and retained messages: what was applied is there again, and no damage keeps it from opening."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fieldgate.journal.session_file import SessionFile
from fieldgate.journal.side_file import NewerFile
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.stored import Changes, StoredDelivery, StoredMessage, StoredSession, StoredState, StoredSubscription
from spoiling import spoil


def message(number: int) -> StoredMessage:
    properties = Properties(message_expiry_s=60, user=(("n", str(number)),)) if number % 2 else None
    return StoredMessage(f"site/ä/{number}", b"\x00%d" % number, 1, False, 12.5, "sender", properties)


def session(name: str) -> StoredSession:
    return StoredSession(name, 3600.0, 7.0, (StoredSubscription("site/#", 2, True, True, 1, 9),), (5, 6), 1)


def first_changes(sessions: int = 2, messages: int = 40) -> Changes:
    changes = Changes(retained={f"light/{n}": message(n) for n in range(10)})
    for number in range(1, messages + 1):
        changes.messages[number] = message(number)
    for number in range(1, sessions + 1):
        changes.sessions[number] = session(f"client-{number}")
        for position in range(1, messages + 1):
            changes.deliveries[number, position] = StoredDelivery(
                position, 2, False, (9,), position % 3, position == 3, ""
            )
        changes.deliveries[number, messages + 1] = StoredDelivery(0, 2, False, (), 77)
    return changes


def opened(folder: Path) -> tuple[SessionFile, StoredState]:
    file = SessionFile(folder)
    return file, file.state


def test_what_was_applied_is_there_after_a_crash(tmp_path: Path) -> None:
    """No close: the copy is what kill -9 leaves."""
    file, _ = opened(tmp_path)
    changes = first_changes()
    file.apply(changes)
    file.apply(Changes(deliveries={(1, 1): None, (2, 1): None}, messages={1: None}, retained={"light/3": None}))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for path in tmp_path.glob("sessions.db*"):
        shutil.copy(path, crashed)

    again, state = opened(crashed)

    assert state.sessions == {1: session("client-1"), 2: session("client-2")}
    assert list(state.deliveries[1]) == list(range(2, 42)), "in the order in which they were queued"
    assert state.deliveries[2][3] == StoredDelivery(3, 2, False, (9,), 0, True, "")
    assert state.messages == {number: message(number) for number in range(2, 41)}
    assert state.retained.keys() == {f"light/{n}" for n in range(10)} - {"light/3"}
    assert (again.dropped_rows, again.set_aside) == (0, None)
    file.close()
    again.close()


def test_a_removed_session_takes_its_deliveries_along(tmp_path: Path) -> None:
    """Else they would belong to whoever gets its number next."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.apply(Changes(sessions={1: None}))
    file.close()

    again, state = opened(tmp_path)

    assert state.sessions.keys() == state.deliveries.keys() == {2}
    again.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """It holds what devices say."""
    old = os.umask(0)
    try:
        file, _ = opened(tmp_path)
        file.apply(first_changes())
    finally:
        os.umask(old)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("sessions.db*")} == {0}
    file.close()


def test_a_changed_row_is_noticed_and_left_out(tmp_path: Path) -> None:
    """SQLite has no checksum; without ours the row would be believed."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.close()
    connection = sqlite3.connect(tmp_path / "sessions.db")
    ((body,),) = connection.execute("SELECT body FROM message WHERE number = 7")
    connection.execute("UPDATE message SET body = ? WHERE number = 7", [body.replace("ä".encode(), "ö".encode())])
    connection.commit()
    connection.close()

    again, state = opened(tmp_path)

    assert 7 not in state.messages
    assert 7 not in state.deliveries[1]
    assert again.dropped_rows == 3  # the message and what pointed at it, for two sessions
    again.close()
    repaired, state = opened(tmp_path)
    assert (repaired.dropped_rows, len(state.messages)) == (0, 39)
    repaired.close()


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_keeps_it_from_opening_and_nothing_wrong_is_believed(tmp_path: Path, seed: int) -> None:
    """P5, for this file as well: garbage anywhere, cut anywhere, the log gone or from another day."""
    rng = random.Random(seed)
    file, _ = opened(tmp_path)
    changes = first_changes(messages=300)
    file.apply(changes)
    if seed % 3:
        file.close()  # all in the database; else all in the log
        victim = tmp_path / "sessions.db"
    else:
        victim = tmp_path / "sessions.db-wal"
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in tmp_path.glob("sessions.db*"):
        shutil.copy(path, damaged)
    content = bytearray((damaged / victim.name).read_bytes())
    spoil(content, rng, how=seed % 4)
    (damaged / victim.name).write_bytes(content)

    again, state = opened(damaged)

    for number, one in state.messages.items():
        assert one == changes.messages[number]
    for number, many in state.deliveries.items():
        for position, delivery in many.items():
            assert delivery == changes.deliveries[number, position]
    assert all(one == changes.sessions[number] for number, one in state.sessions.items())
    assert all(one == changes.retained[topic] for topic, one in state.retained.items())
    again.apply(first_changes())
    again.close()
    file.close()


def test_damaged_files_are_set_aside_and_the_newest_two_are_kept(tmp_path: Path) -> None:
    """For inspection, without filling the disk."""
    for _ in range(4):
        file, _ = opened(tmp_path)
        file.close()
        (tmp_path / "sessions.db").write_bytes(b"garbage" * 1000)
    file, state = opened(tmp_path)

    assert file.set_aside == tmp_path / "sessions.db.damaged-4"
    assert state == StoredState()
    assert sorted(path.name[-1] for path in tmp_path.glob("*damaged*")) == ["3", "4"]
    file.close()


def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A downgrade must not throw away what the newer version stored."""
    file, _ = opened(tmp_path)
    file.close()
    connection = sqlite3.connect(tmp_path / "sessions.db")
    connection.execute("PRAGMA user_version=2")
    connection.close()

    with pytest.raises(NewerFile, match="version 2"):
        SessionFile(tmp_path)

    assert not list(tmp_path.glob("*damaged*"))


def spoil_last_page(path: Path) -> None:
    """One table cannot be read any more."""
    with path.open("r+b") as file:
        file.seek(-4096, os.SEEK_END)
        file.write(b"\xee" * 4096)


def begin_again_until(step: int, folder: Path, *, is_damaged: bool) -> bool:
    """In a process that ends before that step which touches the folder; return whether it came to its end."""
    child = os.fork()
    if not child:

        def until_cut(real: Any) -> Any:
            def one(*arguments: Any, **options: Any) -> Any:
                nonlocal step
                step -= 1
                if step < 0:
                    os._exit(1)
                return real(*arguments, **options)

            return one

        for owner, name in ((Path, "rename"), (Path, "unlink"), (Path, "touch"), (os, "fsync")):
            setattr(owner, name, until_cut(getattr(owner, name)))
        try:
            file = SessionFile(folder)
            if not is_damaged:  # else it has
                file.begin_again(first_changes())
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_replacement_that_is_cut_short_anywhere_loses_nothing(tmp_path: Path, is_damaged: bool) -> None:
    """The old file or the new one: between deleting one and naming the other there was neither."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.close()
    if is_damaged:
        spoil_last_page(tmp_path / "sessions.db")
    found: list[StoredState] = []
    is_done = False
    while not is_done:
        folder = tmp_path / f"cut-{len(found)}"
        folder.mkdir()
        shutil.copy(tmp_path / "sessions.db", folder)

        is_done = begin_again_until(len(found), folder, is_damaged=is_damaged)

        again, state = opened(folder)
        again.close()
        found.append(state)
    assert len(found) > 8
    assert found[0].sessions
    assert [number for number, state in enumerate(found) if state != found[0]] == []


def test_a_damaged_file_on_a_full_disk_stays_until_there_is_a_new_one(tmp_path: Path) -> None:
    """Else a second start, with the disk still full, would find nothing that could be taken over."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.close()
    spoil_last_page(tmp_path / "sessions.db")
    obstacle = tmp_path / "new-sessions.db"
    obstacle.mkdir()  # as good as a full disk: no new file can be made

    first, state = opened(tmp_path)
    first.close()
    second, again = opened(tmp_path)

    assert first.problem
    assert state.sessions
    assert again == state
    obstacle.rmdir()
    second.begin_again(Changes())
    assert second.set_aside == tmp_path / "sessions.db.damaged-1"
    second.close()


def test_a_new_file_that_does_not_fit_leaves_no_half_behind(tmp_path: Path) -> None:
    """The journal needs the last of a full disk more than half a file does."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())

    with pytest.raises(TypeError):
        file.begin_again(Changes(sessions={1: session("a"), 2: object()}))  # type: ignore[dict-item]

    assert not (tmp_path / "new-sessions.db").exists()
    file.close()
    again, state = opened(tmp_path)
    assert state.sessions.keys() == {1, 2}
    again.close()


def test_a_start_that_was_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    """The new file has another name until it is whole."""
    (tmp_path / "new-sessions.db").write_bytes(b"half")

    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions.db"]


def test_a_file_that_cannot_be_opened_now_is_set_aside_and_not_thrown_away(tmp_path: Path) -> None:
    """Somebody has it locked while the gateway starts; what it held is still there for a person to look at."""
    file, _ = opened(tmp_path)
    file.apply(first_changes())
    file.close()
    stranger = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")

    file, state = opened(tmp_path)
    stranger.close()
    problem = file.problem
    file.begin_again(first_changes(sessions=1))

    assert "locked" in problem
    assert state == StoredState()
    assert file.set_aside == tmp_path / "sessions.db.damaged-1"
    file.close()
    again, state = opened(tmp_path)
    assert state.sessions.keys() == {1}
    again.close()
