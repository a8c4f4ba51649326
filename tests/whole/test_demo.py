"""The demo tells the truth: it passes only if all that was accepted arrived in order, and leaves nothing.

Here a stand-in for the gateway is on stage, because the verdict must be seen to fail.
"""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from fieldgate_simulators import broker
from fieldgate_simulators.demo import run_demo
from fieldgate_simulators.demo_state import (
    Outage,
    OutageStory,
    RateMeter,
    Snapshot,
    UplinkView,
    cut_marks,
    narration,
    outages,
    sparkline,
    uplink_view,
)
from fieldgate_simulators.demo_view import LiveView

STANDIN = Path(__file__).parent.parent / "standin_gateway.py"


async def no_status(_state_folder: Path) -> None:
    """The stand-in has no control socket."""


def play(*faults: str, seconds: float = 1.6, patience_s: float = 20.0) -> int:
    return run_demo(
        seconds=seconds,
        devices=10,
        rate=100,
        seed=7,
        plain=True,
        status=no_status,
        gateway_command=(sys.executable, str(STANDIN), *faults),
        patience_s=patience_s,
    )


def count_of(name: str, output: str) -> int:
    found = re.search(rf"^{name} +([\d,]+)", output, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_an_outage_without_loss_passes(capsys):
    """What the first command of a new user shows."""
    code = play(seconds=3.2)

    output = capsys.readouterr().out
    assert code == 0
    assert re.search(r"^ +[\d.]+ s  link cut ", output, re.MULTILINE)
    assert "PASS" in output
    assert (count_of("accepted", output), count_of("arrived", output), count_of("lost", output)) == (320, 320, 0)
    buffered = re.search(r"link cut: ([\d,]+) events buffered, all upstream [\d.]+ s after its return", output)
    assert buffered is not None
    assert int(buffered[1]) >= 30


@pytest.mark.parametrize(("fault", "name"), [("drop", "lost"), ("swap", "out of order")])
def test_a_gateway_that_loses_or_swaps_one_event_fails(capsys, fault, name):
    """The mutants: a verdict that cannot fail shows nothing."""
    code = play(f"--fault={fault}", patience_s=3.0)  # what was lost is waited for

    output = capsys.readouterr().out
    assert code == 1
    assert "FAIL" in output
    assert count_of(name, output) == 1


def test_the_real_gateway_loses_nothing_and_is_asked_how_it_is():
    """The same in short that ``make demo`` shows."""
    command = [sys.executable, "-m", "fieldgate", "demo", "--minutes", "0.05", "--plain"]

    shown = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert (shown.returncode, shown.stderr) == (0, "")
    assert (count_of("accepted", shown.stdout), count_of("lost", shown.stdout)) == (300, 0)
    assert re.search(r"^ +[\d.]+ s  live .* uplink connected$", shown.stdout, re.MULTILINE)
    assert max(len(line) for line in shown.stdout.splitlines() if "  buffered " in line) <= 80


def test_without_mosquitto_amqtt_is_the_upstream(capsys, monkeypatch):
    """A fresh machine has only what pip installs."""
    monkeypatch.setattr(broker, "mosquitto_path", lambda: None)

    code = run_demo(seconds=2, devices=5, rate=50, seed=7, plain=True, status=no_status)

    output = capsys.readouterr().out
    assert (code, count_of("accepted", output), count_of("lost", output)) == (0, 100, 0)
    assert output.startswith("upstream amqtt · ")


def test_a_copy_under_the_same_id_passes_and_is_counted(capsys):
    """At least once: a copy is no fault, and not hidden either."""
    code = play("--fault=repeat")

    output = capsys.readouterr().out
    assert (code, count_of("lost", output)) == (0, 0)
    assert count_of("duplicates", output) >= 1  # what the cut left unanswered is sent again, too


def test_a_gateway_that_ends_fails_with_the_end_of_its_log(capsys):
    """The reason must not be in a folder that is already removed."""
    code = play("--fault=die")

    captured = capsys.readouterr()
    assert code == 1
    assert "error: the gateway ended with 1" in captured.err
    assert "told to die" in captured.err


def test_ctrl_c_ends_early_with_a_verdict_and_leaves_no_process():
    """It is the natural way to leave a live picture."""
    script = f"""
import sys
sys.path.insert(0, {str(STANDIN.parent / "whole")!r})
from test_demo import play
sys.exit(play(seconds=60))
"""
    demo = subprocess.Popen([sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    for line in demo.stdout:
        if re.match(r" +[2-9]\.\d s  live", line):
            break
    started = psutil.Process(demo.pid).children(recursive=True)

    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=30)

    assert demo.returncode == 0
    assert "PASS" in output
    assert len(started) >= 3
    assert not [process for process in started if process.is_running()]


def test_the_link_is_cut_at_ten_seconds_for_ten_and_then_once_a_minute():
    """The timetable that the documentation names."""
    assert outages(42) == [Outage(10, 20)]
    assert outages(150) == [Outage(10, 20), Outage(70, 80), Outage(130, 140)]
    assert outages(4) == [Outage(1, 2)]


def test_a_rate_is_that_of_the_last_two_seconds():
    """An average since the start would hide the outage."""
    meter = RateMeter(window_s=2.0)

    rates = [meter.feed(count, now_s) for count, now_s in [(0, 0.0), (10, 1.0), (20, 2.0), (20, 3.0), (20, 4.0)]]

    assert rates == [0, 10, 10, 5, 0]


def snapshot(at_s: float, phase: str, pending: int | None) -> Snapshot:
    return Snapshot(
        at_s=at_s,
        total_s=42,
        phase=phase,
        connected=10,
        devices=10,
        accepted=100,
        accepted_rate=10,
        arrived=40,
        arrived_rate=0,
        uplink=UplinkView("down", "no answer", pending, 4096),
    )


def test_the_story_tells_how_deep_the_buffer_was_and_how_long_it_drained():
    """The two numbers that an outage is about."""
    story = OutageStory()

    for at_s, phase, pending in [(9, "live", 3), (10, "link cut", 0), (20, "draining", 90), (21, "draining", 2)]:
        story.feed(snapshot(at_s, phase, pending))

    assert story.is_over
    assert str(story) == "link cut: 90 events buffered, all upstream 1.0 s after its return"


def test_without_the_gateways_word_the_buffer_is_what_was_accepted_and_has_not_arrived():
    """A status that cannot be asked must not show an empty buffer."""
    assert snapshot(1, "live", None).buffered == 60
    assert snapshot(1, "live", 7).buffered == 7


def test_the_status_of_the_gateway_is_read_as_it_is_written():
    """The picture shows the gateway's own words."""
    status = {
        "events_in": 5,
        "uplinks": {"upstream": {"state": "down", "reason": "connect timed out", "pending": 4, "in_flight": 0}},
        "journal": {"bytes": 8192, "events": 4},
    }

    assert uplink_view(status) == UplinkView("down", "connect timed out", 4, 8192)
    assert uplink_view(None) == UplinkView("unknown", "", None, None)


def test_the_picture_shows_rates_buffer_and_uplink():
    """What a person watches while the link is cut."""
    console = Console(force_terminal=True, width=80, record=True, file=io.StringIO())

    with LiveView(console) as view:
        for at_s in range(10):
            view.show(snapshot(at_s, "link cut", at_s * 10))

    text = console.export_text()
    for shown in (
        "link cut",
        "10/10 devices",
        "──╳",
        "▁",
        "█",
        "at most 90",
        "down · journal 4 kB",
        "no answer and no error",
    ):
        assert shown in text
    assert text.count("╭") == text.count("╰") >= 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_keeps_its_height_whatever_the_uplink_says(width):
    """A picture that grows and shrinks jumps on the screen."""
    console = Console(force_terminal=True, width=width, height=24, record=True, file=io.StringIO())

    reasons = ("", "no answer", "127.0.0.1:36705 reset the connection instead of answering CONNECT in MQTT 5 " * 2)
    cut = snapshot(12, "link cut", 90)
    shown = [replace(cut, uplink=UplinkView("backoff", reason, 90, 4096)) for reason in reasons]
    shown.append(replace(snapshot(0, "live", 0), accepted_rate=0.0))
    heights = []
    for one in shown:
        with LiveView(console) as view:
            view.show(one)
        heights.append(len(console.export_text().rpartition("╭")[2].splitlines()))

    assert len(set(heights)) == 1
    assert heights[0] == 17


def test_every_phase_is_told_in_a_sentence_of_its_own():
    """Who sees the picture for the first time must learn from it what happens."""
    at = snapshot(30, "live", 0)
    connected = UplinkView("connected", "", 0, None)
    moments = [
        replace(at, at_s=4),
        at,
        replace(at, phase="link cut"),
        replace(at, phase="draining"),
        replace(at, phase="draining", uplink=connected),
        replace(at, phase="stopped"),
        replace(at, phase="done"),
    ]

    told = [narration(moment) for moment in moments]

    assert told[0] == "events pass straight through; in 6 s the link upstream is cut"
    assert len(set(told)) == len(told)
    assert max(map(len, told)) <= 72


def test_the_cut_is_marked_under_its_columns():
    """The hill in the buffer needs its cause."""
    assert cut_marks([False, True, True, True, False, True]) == " └─┘ ╵"
    assert cut_marks([True] * 14) == "└─ link cut ─┘"


def test_a_sparkline_is_as_high_as_its_highest_value():
    """An empty buffer is flat."""
    assert sparkline([0, 5, 10], 10) == "▁▄█"
    assert sparkline([0, 0], 10) == "▁▁"
    assert sparkline([0, 1], 10, full=100) == "▁▁"
    assert sparkline([0], 10, full=0) == "▁"
    assert sparkline(list(range(100)), 3) == "▇▇█"
