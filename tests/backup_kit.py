"""Backups for tests: a state folder with something in everything, its archive, and what a folder holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from fieldgate.cli.app import build_app
from fieldgate.journal.journal import Journal
from fieldgate.journal.session_file import SessionFile
from fieldgate.mqtt.stored import Changes, StoredDelivery, StoredMessage, StoredSession
from journal_kit import everything, fill, open_journal

GATEWAY = "plant-7"
PASSWORD = "hunter2 is no password"


class Machine:
    """A gateway that is stopped: its configuration and its state in one folder."""

    def __init__(self, folder: Path, *, events: int = 40, password: str = PASSWORD) -> None:
        self.folder = folder
        self.config = folder / "fieldgate.yaml"
        self.state = folder / "state"
        folder.mkdir()
        for name in ("devices.d", "rules.d"):
            (folder / name).mkdir()
        self.config.write_text(
            f"gateway: {{id: {GATEWAY}}}  # a comment stays\n"
            "listen:\n"
            "  - mqtt: 127.0.0.1:0\n"
            "    auth: {users: users}\n"
            "uplinks:\n"
            f"  up: {{mqtt: {{url: 'mqtt://127.0.0.1:9', username: bob, password: '{password}'}}}}\n"
            "journal: {path: state}\n",
            encoding="utf-8",
        )
        (folder / "users").write_text("", encoding="utf-8")
        (folder / "users").chmod(0o600)
        (folder / "rules.d" / "mine.yaml").write_text("# mine\n", encoding="utf-8")
        self.write_events(1, events)

    def write_events(self, first: int, count: int) -> None:
        journal = open_journal(self.state)
        fill(journal, first, count)
        journal.close()

    def backup(self, file: Path, *words: object) -> Result:
        return fieldgate("backup", file, "-c", self.config, *words)

    def restore(self, file: Path, *words: object) -> Result:
        return fieldgate("restore", file, "-c", self.config, *words)


def fieldgate(*words: object) -> Result:
    return CliRunner().invoke(build_app(str(words[0])), [str(word) for word in words], catch_exceptions=True)


def well(ended: Result) -> Result:
    assert ended.exit_code == 0, (ended.stderr, ended.exception)
    return ended


def facts(ended: Result) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(well(ended).stdout)
    return answer


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` with what it holds; the lock says who held it last, which is nobody's loss."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def write_sessions(folder: Path) -> None:
    """A session with a QoS 2 id that was not released, and three deliveries: waiting, on its way, and released."""
    file = SessionFile(folder)
    message = StoredMessage("t", b"x", 1, False, 1.0)
    file.apply(
        Changes(
            sessions={1: StoredSession("boiler", 600.0, unreleased=(5,))},
            messages={1: message},
            deliveries={
                (1, 1): StoredDelivery(1, 1, False),
                (1, 2): StoredDelivery(1, 1, False, packet_id=7),
                (1, 3): StoredDelivery(0, 2, False, packet_id=9),
            },
        )
    )
    file.close()


def reopened(folder: Path) -> Journal:
    return open_journal(folder, run=77, os_boot="boot-b")


def seqs_of_all(journal: Journal) -> list[int]:
    return everything(journal)[0]
