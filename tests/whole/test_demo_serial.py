"""The demo's serial part: what a serial line sends is counted apart, and a loss there fails as any other."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from fieldgate.cli.demo import gateway_status
from fieldgate_simulators.counting import Arrivals, NumberSet, Verdict, judge
from fieldgate_simulators.demo import run_demo
from fieldgate_simulators.demo_outcome import Outcome, outcome_text
from fieldgate_simulators.demo_serial import SerialPart, is_serial_good, unplug_at_s
from fieldgate_simulators.demo_state import ModbusView, SerialView, Snapshot, UplinkView, narration, outages
from fieldgate_simulators.demo_view import LiveView, PlainView
from fieldgate_simulators.errors import SimulatorError

GOOD = Verdict(accepted=300, arrived=300, lost=0, same_id=0, same_reading=0, out_of_order=0, unaccepted=0)
SERIAL = replace(GOOD, accepted=12, arrived=12)

SABOTAGE = """
import os, sys
config = sys.argv[-1]
text = open(config).read()
assert "framing: lines" in text
open(config, "w").write(text.replace("framing: lines", "framing: {lines: {max_length: 8}}"))
os.execv(sys.executable, [sys.executable, "-m", "fieldgate", "run", "-c", config])
"""


def shown_count(name: str, output: str) -> int:
    found = re.search(rf"^{name} +([\d,]+)", output, re.MULTILINE)
    assert found is not None, output
    return int(found[1].replace(",", ""))


def test_the_gateway_that_loses_serial_frames_fails(capsys, tmp_path):
    """The mutant: frames of the scale are too long for it, so that none of them becomes an event."""
    (tmp_path / "sabotage.py").write_text(SABOTAGE)

    code = run_demo(
        seconds=3,
        devices=5,
        rate=20,
        seed=7,
        plain=True,
        status=gateway_status,
        serial=1,
        gateway_command=(sys.executable, str(tmp_path / "sabotage.py")),
        patience_s=2.0,
    )

    output = capsys.readouterr().out
    assert code == 1
    assert shown_count("lost", output) == 0
    assert shown_count("  lost", output) == shown_count("serial sent", output) > 0
    assert output.rstrip().splitlines()[-1].startswith("FAIL  serial frames: ")


def test_every_device_is_heard_and_the_scale_comes_back(capsys):
    """What ``make demo`` shows, in short."""
    code = run_demo(seconds=4, devices=5, rate=20, seed=7, plain=True, status=gateway_status, serial=3, modbus=True)

    output = capsys.readouterr().out
    assert code == 0, output
    assert shown_count("serial sent", output) == shown_count("  arrived", output) >= 18
    assert (shown_count("  lost", output), shown_count("  cut", output)) == (0, 1)
    assert shown_count("modbus", output) >= 3
    assert "the scale is unplugged, in the middle of a frame" in output
    assert "the scale is plugged in again, under another port behind the same name" in output
    assert output.rstrip().endswith(
        "PASS  nothing that was accepted, and no whole serial frame, is lost or out of order"
    )


@pytest.mark.parametrize(
    ("serial", "last"),
    [
        (SERIAL, "PASS  nothing that was accepted, and no whole serial frame, is lost or out of order"),
        (replace(SERIAL, lost=2), "FAIL  serial frames: 2 lost, 0 invented, 0 out of order"),
        (replace(SERIAL, unaccepted=1), "FAIL  serial frames: 0 lost, 1 invented, 0 out of order"),
        (replace(SERIAL, out_of_order=3), "FAIL  serial frames: 0 lost, 0 invented, 3 out of order"),
        (replace(SERIAL, accepted=0), "FAIL  no serial device sent anything"),
        (None, "PASS  nothing that was accepted is lost or out of order"),
    ],
)
def test_the_verdict_says_what_is_wrong_with_serial_frames(serial, last):
    """A line that says PASS above a loss would be read first."""
    text = outcome_text(Outcome(GOOD, serial, unplugs=1)).plain

    assert text.splitlines()[-1] == last
    assert max(map(len, text.splitlines())) <= 84
    assert ("a serial line has no acknowledgement" in text) == (serial is not None)


def test_a_modbus_unit_of_which_nothing_arrives_fails():
    """It cannot lose anything, but it can be deaf."""
    heard, deaf = (Outcome(GOOD, SERIAL, ModbusView(1, 40, arrived)) for arrived in (20, 0))

    assert (heard.is_good, deaf.is_good) == (True, False)
    assert outcome_text(deaf).plain.splitlines()[-1] == "FAIL  nothing of the Modbus unit arrived"
    assert "events of a unit that answered 40 requests" in outcome_text(heard).plain


def test_a_frame_that_was_never_sent_is_no_good():
    """Half a frame that became an event would be worse than a lost one."""
    assert is_serial_good(SERIAL)
    assert not is_serial_good(replace(SERIAL, unaccepted=1))


def test_readings_are_counted_by_device_and_by_what_their_kind_says(tmp_path):
    """A meter bears its number as an energy, and its name in the telegram."""
    part = SerialPart(tmp_path, devices=3, seed=7)
    arrivals = Arrivals(part.numbers_of)
    meter = next(name for name in part.numbers_of if name.startswith("1FGS"))

    for event in (
        f'{{"id": "a-1", "subject": "{meter}", "data": {{"energy_import": 0.0017}}}}',
        '{"id": "a-2", "subject": "scale", "data": {"n": 4, "weight": 1.0}}',
        '{"id": "a-3", "subject": "scale", "data": {"weight": 1.0}, "type": "answer"}',
        '{"id": "a-4", "subject": "toaster", "data": {"n": 4}, "type": "other"}',
    ):
        arrivals.add_cloudevent(event.encode())

    assert {name: list(numbers) for name, numbers in arrivals.by_device.items()} == {meter: [17], "scale": [4]}
    assert dict(arrivals.not_readings) == {"answer": 1, "other": 1}
    sent = {meter: NumberSet(), "scale": NumberSet()}
    sent["scale"].add(4)
    sent["scale"].add(5)
    assert (judge(sent, arrivals).lost, judge(sent, arrivals).unaccepted) == (1, 1)


def test_the_sources_are_what_the_devices_are(tmp_path):
    part = SerialPart(tmp_path, devices=2, seed=7)

    assert part.sources == (
        f'  - {{name: scale, serial: {{port: "{tmp_path}/scale", baud: 9600, framing: lines, profile: sim_scale}}}}\n'
        f'  - {{name: meter, serial: {{port: "{tmp_path}/meter", baud: 9600, framing: sml, profile: sml_meter}}}}\n'
    )
    assert SerialPart(tmp_path, devices=0, seed=7).sources == ""
    with pytest.raises(SimulatorError, match="up to 3 serial devices, not 4"):
        SerialPart(tmp_path, devices=4, seed=7)


async def test_a_gateway_that_opens_no_port_is_told(tmp_path, monkeypatch):
    """Else the demo would show a serial part in which nothing happens."""
    monkeypatch.setattr("fieldgate_simulators.demo_serial._OPEN_WITHIN_S", 0.1)
    async with SerialPart(tmp_path, devices=1, seed=7) as part:
        with pytest.raises(SimulatorError, match=f"the gateway does not open {tmp_path}/scale"):
            await part.all_open()


@pytest.mark.parametrize("total_s", [3, 10, 42])
def test_the_scale_is_unplugged_while_the_link_is_there(total_s):
    """One fault at a time can be followed."""
    assert all(outage.end_s <= unplug_at_s(total_s) for outage in outages(total_s))
    assert unplug_at_s(total_s) < total_s


def snapshot(serial: SerialView, *, at_s: float = 30.0) -> Snapshot:
    return Snapshot(
        at_s=at_s,
        total_s=42,
        phase="live",
        connected=10,
        devices=10,
        accepted=100,
        accepted_rate=10,
        arrived=40,
        arrived_rate=0,
        uplink=UplinkView("connected", "", 0, 4096),
        serial=serial,
    )


def test_an_unplug_is_told_once_and_the_return_too():
    """Lines instead of a picture: a change of state is a line."""
    console = Console(record=True, file=io.StringIO(), width=100)
    view = PlainView(console)
    there, gone = SerialView(3, 3, 40, 40), SerialView(3, 2, 41, 40, unplugged="scale")

    for number, serial in enumerate((there, gone, gone, there, there)):
        view.show(snapshot(serial, at_s=30 + number / 10))

    lines = [line.strip() for line in console.export_text().splitlines() if "scale" in line]
    assert lines == [
        "the scale is unplugged, in the middle of a frame; the others go on",
        "the scale is plugged in again, under another port behind the same name",
    ]
    assert len(narration(snapshot(gone))) <= 72


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_keeps_its_height_while_the_scale_is_away(width):
    """A picture that grows and shrinks jumps on the screen."""
    heights = []
    for serial in (SerialView(3, 3, 40, 40), SerialView(3, 2, 41_000, 40_000, unplugged="scale")):
        console = Console(force_terminal=True, width=width, height=24, record=True, file=io.StringIO())
        with LiveView(console) as view:
            view.show(replace(snapshot(serial), modbus=ModbusView(1, 9, 4)))
        heights.append(len(console.export_text().rpartition("╭")[2].splitlines()))

    assert heights == [19, 19]


def test_the_picture_says_which_device_is_away():
    console = Console(force_terminal=True, width=80, record=True, file=io.StringIO())

    with LiveView(console) as view:
        view.show(snapshot(SerialView(3, 2, 41, 40, unplugged="scale")))

    text = console.export_text()
    assert "scale unplugged; arrived of sent" in text
