"""Under systemd a line of the log is an entry of the journal, with a field for each thing that it says."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from fieldgate.observe.journald import encode_entry, entry_fields, plain_line

PROGRAM = """
import sys, structlog
from pathlib import Path
from fieldgate.observe.log import configure
writer = configure(journal=Path(sys.argv[1]))
log = structlog.get_logger("fieldgate")
log.info("uplink.connected", uplink="cloud", version="5", is_first=True, why=None)
log.debug("control.asked", request="status")
try:
    1 / 0
except ZeroDivisionError:
    log.error("task.failed", task="t", exc_info=True)
log.warning("journal.note", note="x" * int(sys.argv[2]))
writer.close(deadline_s=10)
"""


def decoded(entry: bytes) -> dict[str, str]:
    """As journald reads it."""
    fields: dict[str, str] = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + size], entry[8 + size + 1 :]
        fields[name.decode()] = value.decode()
    return fields


class Journal:
    """Takes entries, also such as come as a sealed file."""

    def __init__(self, path: Path) -> None:
        self.entries: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            entry, fds, _, _ = socket.recv_fds(self._socket, 1 << 20, 1)
            if fds:
                with mmap.mmap(fds[0], 0, access=mmap.ACCESS_READ) as file:
                    entry = bytes(file)
                os.close(fds[0])
            if entry == b"END\n":
                return
            self.entries.append(decoded(entry))

    def close(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END\n", str(path))
        self._thread.join(10)
        self._socket.close()


def run(path: Path, *, is_journal: bool = True, long: int = 10) -> str:
    """Run the program as a service would be; return what came on its standard error."""
    reader, end = os.pipe()
    status = os.fstat(end)
    stream = f"{status.st_dev}:{status.st_ino}" if is_journal else "1:1"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(long)],
        stderr=end, timeout=30, check=True, env={**os.environ, "JOURNAL_STREAM": stream},
    )  # fmt: skip
    os.close(end)
    with os.fdopen(reader) as lines:
        return lines.read()


def test_each_thing_that_is_said_is_a_field(tmp_path: Path) -> None:
    """``journalctl FIELDGATE_UPLINK=cloud -p warning``: no pattern over texts. A long entry comes whole, too."""
    path = tmp_path / "socket"
    journal = Journal(path)
    try:
        printed = run(path, long=110_000)
    finally:
        journal.close(path)

    first, failed, note = journal.entries
    assert printed == ""
    assert first == {
        "MESSAGE": "uplink.connected uplink=cloud version=5 is_first=true why=",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "fieldgate",
        "FIELDGATE_EVENT": "uplink.connected",
        "FIELDGATE_UPLINK": "cloud",
        "FIELDGATE_VERSION": "5",
        "FIELDGATE_IS_FIRST": "true",
        "FIELDGATE_WHY": "",
    }
    assert failed["PRIORITY"] == "3"
    assert failed["FIELDGATE_EXCEPTION"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "\n" not in failed["MESSAGE"]
    assert (note["PRIORITY"], note["FIELDGATE_NOTE"]) == ("4", "x" * 110_000)


def test_while_no_journal_takes_entries_lines_have_their_priority(tmp_path: Path) -> None:
    """journald is restarted, or the socket is not in this sandbox: its stream still takes lines."""
    lines = run(tmp_path / "none").splitlines()

    assert lines[0] == "<6>uplink.connected uplink=cloud version=5 is_first=true why="
    assert lines[1].startswith("<3>task.failed task=t exception=")
    assert lines[2] == "<4>journal.note note=xxxxxxxxxx"


def test_another_stream_gets_lines_with_a_time(tmp_path: Path) -> None:
    """A unit that writes to a file, or a shell within a service: $JOURNAL_STREAM is there and means nothing."""
    lines = run(tmp_path / "none", is_journal=False).splitlines()

    assert lines[0].startswith("timestamp=")
    assert "level=info event=uplink.connected" in lines[0]


def test_names_and_values_of_any_kind_are_fields() -> None:
    """What a device says must not make fields of its own."""
    fields = entry_fields({"a-b.c": "x\nFIELDGATE_EVIL=1", "z" * 80: "ü"}, level="info", message="m")
    entry = encode_entry(fields)

    assert decoded(entry) == {
        "MESSAGE": "m", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "fieldgate",
        "FIELDGATE_A_B_C": "x\nFIELDGATE_EVIL=1", ("FIELDGATE_" + "Z" * 80)[:64]: "ü",
    }  # fmt: skip
    assert plain_line(entry) == b"<6>m\n"
