"""Simulated serial devices: real ptys, links that stay, readings that can be counted, commands that are answered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.breach import Breach
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.contract import Contract
from fieldgate_devices.framing.make import FRAMINGS
from fieldgate_devices.reading import read_profile
from fieldgate_simulators.errors import SimulatorError
from fieldgate_simulators.line_faults import LineFaults, Spoiled
from fieldgate_simulators.pty_line import PtyLine
from fieldgate_simulators.serial_kinds import KINDS, SerialKind
from fieldgate_simulators.serial_pty import SerialDevice, framer_for
from fieldgate_simulators.serial_replay import SerialReplay
from gateway_kit import eventually

WITHIN_S = 20


@contextmanager
def opened(link: Path) -> Iterator[int]:
    """The port as a program has it."""
    port = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield port
    finally:
        os.close(port)


def taken(port: int) -> bytes:
    """What is there now."""
    try:
        return os.read(port, 4096)
    except BlockingIOError:
        return b""


class Listener:
    """Opens the link whenever it is there, reads all of it, and keeps the frames of each time apart."""

    def __init__(self, kind: SerialKind, link: Path) -> None:
        self.payloads: list[bytes] = []
        self.faults: list[str] = []
        self.ports: list[str] = []
        self._framer = framer_for(kind)
        self._link = link

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                port = os.open(self._link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            self.ports.append(os.ttyname(port))
            try:
                while True:
                    try:
                        heard = os.read(port, 4096)
                    except BlockingIOError:
                        await asyncio.sleep(0.001)
                        continue
                    if not heard:
                        break
                    for frame in self._framer.feed_bytes(heard, loop.time()):
                        (self.faults if frame.fault else self.payloads).append(frame.fault or frame.payload)  # type: ignore[arg-type]  # by fault
            except OSError:
                pass  # it was unplugged
            finally:
                self._framer.reset()
                os.close(port)


@asynccontextmanager
async def listening(device: SerialDevice) -> AsyncIterator[Listener]:
    listener = Listener(device.kind, device.line.link)
    task = asyncio.create_task(listener.listen(), name="listener")
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.wait([task])


def contract_of(kind: SerialKind) -> Contract:
    """The profile of its messages."""
    text = kind.profile_text.encode() or builtin_profiles()[f"<built-in>/{kind.profile}.yaml"]
    read = read_profile(text, kind.profile)
    assert [str(problem) for problem in read.problems] == []
    assert read.contract is not None
    return read.contract


def number_in(kind: SerialKind, contract: Contract, payload: bytes) -> int | None:
    """The number of a reading, as an event of it bears it."""
    (reading,) = contract.read(payload, {}, "serial/x")
    return kind.number_of(msgspec.json.decode(reading.data))


BUILT = [
    kind
    for kind in KINDS.values()
    if (kind.framing if isinstance(kind.framing, str) else next(iter(kind.framing))) in FRAMINGS
]
every_kind = pytest.mark.parametrize("kind", BUILT, ids=[kind.name for kind in BUILT])


@every_kind
def test_the_number_of_a_reading_is_found_in_its_event(kind: SerialKind) -> None:
    """Else a verifier could not count what arrived; it is the profile that makes events of frames."""
    contract, framer = contract_of(kind), framer_for(kind)
    speaker = kind.make(Random(1))
    numbers = [1, 2, 3, 59, 60, 61, 999, 1000, 3600, 86_400, 123_456]

    frames = [
        frame for number in numbers for frame in framer.feed_bytes(framer.encode(speaker.reading(number)), now_s=0.0)
    ]

    assert [frame.fault for frame in frames] == [""] * len(numbers)
    assert [number_in(kind, contract, frame.payload) for frame in frames] == numbers


@every_kind
async def test_a_device_is_heard_through_every_unplug(kind: SerialKind, tmp_path: Path) -> None:
    """What it calls sent arrives once, in order; what it never said does not; each time under another port."""
    contract = contract_of(kind)
    async with (
        SerialDevice(kind.name, tmp_path / "port", rate=None, seed=3, away_s=0.05) as device,
        listening(device) as listener,
    ):
        for _ in range(4):
            await device.run(frames=device.counts.sent + 25)
            await device.replug()
        await device.run(frames=device.counts.sent + 5)
        await eventually("105 readings", lambda: len(listener.payloads) >= 105, within_s=WITHIN_S)

    arrived = [number_in(kind, contract, payload) for payload in listener.payloads]
    assert arrived == list(device.sent)
    assert len(arrived) == 105
    assert len(listener.ports) == 5
    assert all(one != next_one for one, next_one in zip(listener.ports, listener.ports[1:], strict=False))
    assert device.counts.cut == 4
    assert not (tmp_path / "port").is_symlink()


async def test_spoiled_frames_are_not_called_sent(tmp_path: Path) -> None:
    """A verifier that expects a reading whose bytes were flipped would blame the gateway."""
    faults = LineFaults(corrupt=0.002, noise=0.02, pieces=7)
    contract = contract_of(KINDS["gnss"])
    async with (
        SerialDevice("gnss", tmp_path / "port", rate=None, seed=5, faults=faults) as device,
        listening(device) as listener,
    ):
        await device.run(frames=400)
        await eventually("all is read", lambda: not device.line.unread(), within_s=WITHIN_S)
        await eventually("400 are heard", lambda: len(listener.payloads) >= 400, within_s=WITHIN_S)

    arrived = []
    for payload in listener.payloads:
        try:
            arrived.append(number_in(device.kind, contract, payload))
        except Breach:
            continue
    assert device.counts.sent == 400
    assert device.counts.spoiled > 20
    assert set(device.sent) <= set(arrived)
    assert set(arrived) <= {*device.sent, *device.spoiled}
    assert arrived == sorted(set(arrived))


def test_the_same_seed_spoils_the_same_bytes() -> None:
    """A failure is found again by its seed."""
    faults = LineFaults(corrupt=0.05, noise=0.5, pause=0.5, pieces=5)

    def play(seed: int) -> list[object]:
        rng = Random(seed)
        return [
            (spoiled, list(faults.split(spoiled.content, rng)))
            for spoiled in (faults.spoil(bytes(range(50)), rng) for _ in range(20))
        ]

    assert play(1) == play(1)
    assert play(1) != play(2)


@given(frame=st.binary(min_size=1, max_size=80), seed=st.integers(0, 1000), pieces=st.integers(0, 9))
def test_pieces_are_the_frame(frame: bytes, seed: int, pieces: int) -> None:
    """However it is split, nothing is lost and nothing is added."""
    faults = LineFaults(pieces=pieces)

    spoiled = faults.spoil(frame, Random(seed))

    assert spoiled == Spoiled(frame, is_intact=True, is_end_hurt=False)
    assert b"".join(piece for piece, _ in faults.split(frame, Random(seed))) == frame


async def test_a_scale_does_what_it_is_told_and_counts(tmp_path: Path) -> None:
    """For tests of commands: what it executed is known from its own count."""
    async with SerialDevice("scale", tmp_path / "port", rate=0, seed=1) as device:
        running = asyncio.create_task(device.run(), name="scale")
        with opened(tmp_path / "port") as port:
            heard = bytearray()

            def answers(count: int) -> bool:
                heard.extend(taken(port))
                return heard.count(b"\r\n") >= count

            os.write(port, b"TARE\r\nrea")
            await eventually("an answer", lambda: answers(1), within_s=WITHIN_S)
            os.write(port, b"d\r\nEXPLODE\r\n")
            await eventually("three answers", lambda: answers(3), within_s=WITHIN_S)
        running.cancel()
        await asyncio.wait([running])

    assert bytes(heard) == b"OK,TARE\r\nST,GS,+0.000kg,\r\nERR,UNKNOWN\r\n"
    assert device.commands == [b"TARE", b"read", b"EXPLODE"]
    assert (device.counts.commands, device.counts.executed, device.counts.made) == (3, 2, 0)


async def test_what_is_made_while_nobody_listens_is_lost_as_on_a_wire(tmp_path: Path) -> None:
    """Else the gateway would get, at its start, what was said before."""
    async with SerialDevice("scale", tmp_path / "port", rate=None, seed=1) as device:
        for _ in range(3):
            await device.say()
        with opened(tmp_path / "port") as port:
            await device.say()
            heard = taken(port)
        await device.say()

    assert (device.counts.unheard, device.counts.sent, list(device.sent)) == (4, 1, [4])
    assert heard.endswith(b",000004\r\n")
    assert heard.count(b"\n") == 1


async def test_a_reader_that_lags_is_waited_for(tmp_path: Path) -> None:
    """A pty holds some kilobytes; what does not fit is not thrown away."""
    async with SerialDevice("scale", tmp_path / "port", rate=None, seed=1) as device:
        with opened(tmp_path / "port") as port:
            running = asyncio.create_task(device.run(frames=2000), name="scale")
            await eventually("the pty is full", lambda: device.line.unread() > 2000, within_s=WITHIN_S)
            heard = bytearray()

            def is_over() -> bool:
                heard.extend(taken(port))
                return running.done() and not device.line.unread()

            await eventually("all is said", is_over, within_s=WITHIN_S)
            heard.extend(taken(port))

    assert heard.count(b"\n") == device.counts.sent == 2000


async def test_a_reader_that_hangs_up_in_mid_frame_is_not_waited_for(tmp_path: Path) -> None:
    """The gateway may be stopped while the line is full."""
    async with SerialDevice("scale", tmp_path / "port", rate=None, seed=1) as device:
        with opened(tmp_path / "port"):
            running = asyncio.create_task(device.run(frames=5000), name="scale")
            await eventually("the pty is full", lambda: device.line.unread() > 2000, within_s=WITHIN_S)

        await eventually("it goes on", lambda: not device.line.is_open, within_s=WITHIN_S)
        assert not running.done()
        running.cancel()
        await asyncio.wait([running], timeout=WITHIN_S)
    assert running.cancelled()


def test_a_name_that_is_taken_is_not_removed(tmp_path: Path) -> None:
    """``--link`` may be mistyped."""
    (tmp_path / "notes").write_text("mine")

    with pytest.raises(SimulatorError, match="is there and no link"):
        PtyLine(tmp_path / "notes").plug()
    with pytest.raises(SimulatorError, match="cannot be made"):
        PtyLine(tmp_path / "nowhere" / "port").plug()

    assert (tmp_path / "notes").read_text() == "mine"


def test_a_link_of_another_device_is_left_to_it(tmp_path: Path) -> None:
    """Two devices with one name: the one that ends first must not unplug the other."""
    first, second = PtyLine(tmp_path / "port"), PtyLine(tmp_path / "port")
    first.plug()
    second.plug()

    first.close()

    assert str((tmp_path / "port").readlink()) == second.port
    second.close()
    assert not (tmp_path / "port").is_symlink()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_replay_says_every_byte_in_order_from_when_it_is_heard(tmp_path: Path, seed: int) -> None:
    """A log of a real device is heard whole, whatever the pieces, and nothing of it before somebody listens."""
    content = Random(seed).randbytes(20_000)
    (tmp_path / "log").write_bytes(content)
    heard = bytearray()
    async with SerialReplay(tmp_path / "log", tmp_path / "port", baud=0, seed=seed) as replay:
        running = asyncio.create_task(replay.run(), name="replay")
        with opened(tmp_path / "port") as port:

            def is_over() -> bool:
                heard.extend(taken(port))
                return running.done()

            await eventually("all is said", is_over, within_s=WITHIN_S)
        await running

    assert bytes(heard) == content
    assert replay.counts.sent_bytes == len(content)
    assert 20_000 / 256 < replay.counts.made < 1000


async def test_a_replay_takes_the_time_of_its_line(tmp_path: Path) -> None:
    """At 9600 baud a byte takes a millisecond: pauses between frames are what some framings live from."""
    (tmp_path / "log").write_bytes(bytes(480))
    loop = asyncio.get_running_loop()
    async with SerialReplay(tmp_path / "log", tmp_path / "port", baud=9600) as replay:
        with opened(tmp_path / "port") as port:
            began_s = loop.time()
            running = asyncio.create_task(replay.run(), name="replay")
            await eventually("all is said", lambda: (taken(port), running.done())[1], within_s=WITHIN_S)
            took_s = loop.time() - began_s

    assert took_s >= 0.49


@pytest.mark.parametrize("content", [None, b""])
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "log").write_bytes(content)

    with pytest.raises(SimulatorError, match=r"cannot be read|is empty"):
        SerialReplay(tmp_path / "log", tmp_path / "port")
