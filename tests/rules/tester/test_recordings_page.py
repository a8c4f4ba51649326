"""``rules/RECORDINGS.md``: what it shows is right, and its program does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from fieldgate_devices.recording import Heard, read_rfc3339, read_whole_recording, recording_line

TEXT = (Path(__file__).parents[3] / "rules" / "RECORDINGS.md").read_text(encoding="utf-8")
(SAMPLE,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_sample_is_read_and_written_as_it_stands():
    """Whoever writes recordings copies it."""
    messages, wrong = read_whole_recording(SAMPLE.encode(), "sample.jsonl")

    assert wrong == []
    assert [one.source for one in messages] == ["listen:1883", "listen:1883", "serial:scale"]
    assert SAMPLE.splitlines()[1:] == [recording_line(one).decode().rstrip("\n") for one in messages]


def test_every_key_has_its_row():
    """The table is the manual of the format."""
    keys = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)

    assert keys == ["at", "source", "topic", "payload", "base64", "qos", "retained"]


def test_the_program_makes_a_recording_of_what_mosquitto_sub_writes():
    """It is the shortest way from a live broker to a test."""
    line = (
        '{"tst":"2026-01-01T07:00:00.250000+0100","topic":"a/b","qos":1,"retain":0,"payloadlen":4,"payload":"21.5"}\n'
    )

    made = subprocess.run([sys.executable, "-c", PROGRAM], input=line.encode(), capture_output=True, check=True)

    messages, wrong = read_whole_recording(made.stdout, "made.jsonl")
    at_ns = read_rfc3339("2026-01-01T06:00:00.25Z")
    assert (messages, wrong) == ([Heard(at_ns, "listen:1883", "a/b", b"21.5", 1)], [])
