"""The outbox core against a model of the world: devices, uplinks that fail, a disk, crashes. No I/O, virtual time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from fieldgate.forward.uplink import Shipment
from fieldgate.journal import outbox as outbox_module
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.intervals import IntervalSet
from fieldgate.journal.outbox import Outbox, WriteJob
from fieldgate.journal.stream import Stream
from fieldgate.journal.uplink_state import Route, UplinkState, decode_states, encode_states, highest_seq
from fieldgate_devices.event import LANES, Address, Event, Stamp

ADDRESSES = [Address(f"d{number}", "message", f"t/{number}") for number in range(4)]


class Device:
    """A settler that remembers what it was told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent = 0
        self.settled_at: dict[int, int] = {}
        self.seq_of: dict[int, int] = {}

    def settled(self, first: int, count: int) -> None:
        for position in range(first, first + count):
            assert position not in self.settled_at, "told twice"
            self.settled_at[position] = 1
            self.world.check_safe(self.seq_of[position])

    def flush(self) -> None:
        pass


class World:
    """Everything around one outbox; `crash` keeps only what was committed."""

    def __init__(self, routes: Sequence[Route], *, seed: int, is_relay: bool) -> None:
        self.rng = random.Random(seed)
        self.routes = list(routes)
        self.is_relay = is_relay
        self.run = 0
        self.next_seq = 1
        self.now_s = 0.0
        self.disk: dict[int, Event] = {}
        self.saved: dict[str, bytes] = {}
        self.acked_ids: set[tuple[int, int]] = set()
        self.arrived: dict[str, list[tuple[int, int]]] = {route.name: [] for route in routes}
        self.event_of: dict[tuple[int, int], Event] = {}
        self.start()

    def start(self) -> None:
        self.run += 1
        states = decode_states(self.saved)
        self.next_seq = 1 + max([highest_seq(states), *self.disk])
        self.outbox = Outbox(
            self.routes,
            gateway="g",
            is_relay=self.is_relay,
            hold_s=0.2,
            commit_delay_s=0.05,
            next_seq=self.next_seq,
            stored_to=[max((s for s, e in self.disk.items() if e.lane == lane), default=0) for lane in LANES],
            states=states,
            attention=lambda: None,
            now_stamp=lambda: Stamp(self.run, 0, int(self.now_s * 1e9)),
        )
        self.device = Device(self)
        self.flying: dict[str, list[Shipment]] = {route.name: [] for route in self.routes}
        self.job: WriteJob | None = None
        self.job_states: dict[str, bytes] = {}
        self.delivered_by: dict[int, set[str]] = {}
        for name, feed in self.outbox.feeds.items():
            self.flying[name] = []
            feed.is_down(False)

    # -- what happens ---------------------------------------------------------------------------------------------

    def accept(self) -> None:
        lane = self.rng.choice([0, 1, 1, 1, 2])
        count = self.rng.randint(1, 6)
        stamp = Stamp(self.run, 0, int(self.now_s * 1e9))
        events = [Event(self.rng.choice(ADDRESSES), stamp, b"1", True, 0, lane) for _ in range(count)]
        first = self.device.sent
        for offset in range(count):
            self.device.seq_of[first + offset] = self.outbox.next_seq + offset
        self.device.sent += count
        for offset, event in enumerate(events):
            self.event_of[self.run, self.outbox.next_seq + offset] = event
        self.outbox.accept(events, self.device, first, now_s=self.now_s, size_bytes=count * 100)

    def take(self, name: str) -> None:
        self.flying[name].extend(self.outbox.feeds[name].take(self.rng.randint(1, 10)))

    def acknowledge(self, name: str, *, in_order: bool) -> None:
        flying = self.flying[name]
        if not flying:
            return
        index = 0 if in_order else self.rng.randrange(len(flying))
        shipment = flying.pop(index)
        start, stop = shipment.start, shipment.stop
        cut = self.rng.randint(start, stop)
        pieces = [(start, cut), (cut, stop)]
        if not in_order:
            self.rng.shuffle(pieces)
        for first, end in pieces:
            if first < end:
                for event in shipment.events[first:end]:
                    if event.address.type != "gap":
                        self.arrived[name].append((event.stamp.run, event.seq))
                        self.delivered_by.setdefault(event.seq, set()).add(name)
                self.outbox.feeds[name].delivered(shipment.batch, first, end)

    def lose_connection(self, name: str) -> None:
        for shipment in self.flying[name]:  # some of it arrived all the same
            for event in shipment.events[shipment.start : shipment.stop]:
                if self.rng.random() < 0.5 and event.address.type != "gap":
                    self.arrived[name].append((event.stamp.run, event.seq))
        self.flying[name].clear()
        feed = self.outbox.feeds[name]
        feed.is_down(True)
        feed.put_back()
        if self.rng.random() < 0.7:
            feed.is_down(False)

    def begin_write(self) -> None:
        if self.job is None:
            self.outbox.begin_turn()
            self.job = self.outbox.begin_write(self.now_s)
            self.job_states = encode_states(self.outbox.states())

    def end_write(self, *, fails: bool = False) -> None:
        if self.job is None:
            return
        job, self.job = self.job, None
        if fails:
            self.outbox.write_failed(job)
            return
        for entries in job.lanes.values():
            for _, events in entries:
                self.disk.update((event.seq, event) for event in events)
        self.saved = self.job_states
        for lane in LANES:
            through = self.outbox.removable_to(lane)
            saved = decode_states(self.saved)
            through = min([through, *(saved[route.name].lanes[lane].floor for route in self.routes)])
            for seq in [seq for seq, event in self.disk.items() if event.lane == lane and seq <= through]:
                del self.disk[seq]
        self.outbox.written(job)

    def read(self) -> None:
        for feed in self.outbox.feeds.values():
            for stream in feed.streams:
                if stream.wants_read:
                    after = stream.ready_to
                    found = sorted(s for s, e in self.disk.items() if e.lane == stream.lane and s > after)[:7]
                    through = found[-1] if len(found) == 7 else 1 << 62
                    copies = [_copy(self.disk[seq]) for seq in found]
                    stream.chunk_read(copies, through_seq=through, is_wanted=feed.route.is_wanted)

    def crash(self) -> None:
        self.acked_ids |= {(self.run, self.device.seq_of[position]) for position in self.device.settled_at}
        self.start()

    def check_safe(self, seq: int) -> None:
        """P1: what is settled is on disk or delivered to every uplink."""
        on_disk = seq in self.disk
        event = self.event_of[self.run, seq]
        routed = {route.name for route in self.routes if route.is_wanted is None or route.is_wanted(event)}
        everywhere = self.delivered_by.get(seq, set()) >= routed
        assert everywhere or on_disk, f"{seq} was settled but is not safe"
        if not self.is_relay:
            assert on_disk or everywhere

    def step(self) -> None:
        name = self.rng.choice(list(self.flying))
        action = self.rng.choice(
            ["accept"] * 4 + ["take"] * 4 + ["ack"] * 4 + ["write"] * 2 + ["wrote"] * 2 + ["read"] * 2 + ["rare"]
        )
        self.now_s += self.rng.choice([0.001, 0.01, 0.1])
        match action:
            case "accept":
                self.accept()
            case "take":
                self.take(name)
            case "ack":
                self.acknowledge(name, in_order=self.rng.random() < 0.7)
            case "write":
                self.begin_write()
            case "wrote":
                self.end_write(fails=self.rng.random() < 0.2)
            case "read":
                self.read()
            case _:
                if self.rng.random() < 0.5:
                    self.lose_connection(name)
                elif self.rng.random() < 0.3:
                    self.crash()

    def drain(self) -> None:
        """Everything works again: let all of it arrive."""
        for name, feed in self.outbox.feeds.items():
            feed.is_down(False)
            for _ in range(2_000):
                self.read()
                self.take(name)
                if not self.flying[name] and feed.is_caught_up:
                    break
                while self.flying[name]:
                    self.acknowledge(name, in_order=True)
        self.end_write()
        self.now_s += 10
        while self.outbox.has_unwritten:
            self.begin_write()
            self.end_write()
            self.outbox.begin_turn()
        self.outbox.begin_turn()
        self.acked_ids |= {(self.run, self.device.seq_of[position]) for position in self.device.settled_at}

    def check_all(self) -> None:
        for route in self.routes:
            name, arrived = route.name, set(self.arrived[route.name])
            wanted = {i for i in self.acked_ids if route.is_wanted is None or route.is_wanted(self.event_of[i])}
            missing = wanted - arrived
            assert arrived == {i for i in arrived if route.is_wanted is None or route.is_wanted(self.event_of[i])}
            assert not missing, f"{name} never got {sorted(missing)[:5]}"
            state = self.outbox.feeds[name].state
            assert state.pending >= 0
            assert state.pending == 0, f"{name} still counts {state.pending} as pending"
            assert state.routed == state.delivered + sum(state.ledger.values()), f"P4 does not hold for {name}"


def _copy(event: Event) -> Event:
    return Event(event.address, event.stamp, event.data, event.is_json, event.content_id, event.lane, event.seq)


def _play(routes: Sequence[Route], *, seed: int, is_relay: bool, steps: int = 400) -> World:
    world = World(routes, seed=seed, is_relay=is_relay)
    for _ in range(steps):
        world.step()
    world.drain()
    return world


@pytest.fixture(autouse=True)
def _small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches leave the memory soon, so that every play also reads from disk."""
    monkeypatch.setattr(outbox_module, "_MEMORY_BYTES", 1_500)


TWO = (Route("a"), Route("b", is_required=False))


@pytest.mark.parametrize("is_relay", [True, False], ids=["relay", "journal"])
@pytest.mark.parametrize("routes", [TWO[:1], TWO], ids=["one uplink", "two uplinks"])
def test_what_was_settled_reaches_every_uplink_whatever_happens(routes: tuple[Route, ...], is_relay: bool) -> None:
    """P1 and P2 in one: the core of the product, over many random histories."""
    for seed in range(60):
        world = _play(routes, seed=seed, is_relay=is_relay)

        world.check_all()
        if is_relay:
            assert not world.outbox.has_unwritten


def test_each_lane_leaves_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: per lane, what is handed out rises by sequence number from one reconnect to the next."""
    handed: dict[tuple[UplinkFeed, str, int], int] = {}
    take, put_back = UplinkFeed.take, UplinkFeed.put_back
    checked = 0

    def checked_take(self: UplinkFeed, max_events: int) -> list[Shipment]:
        nonlocal checked
        shipments = take(self, max_events)
        for shipment in shipments:
            for event in shipment.events[shipment.start : shipment.stop]:
                key = (self, self.name, event.lane)
                assert event.seq > handed.get(key, 0)
                handed[key] = event.seq
                checked += 1
        return shipments

    def forgetful_put_back(self: UplinkFeed) -> None:
        for lane in LANES:
            handed.pop((self, self.name, lane), None)
        put_back(self)

    monkeypatch.setattr(UplinkFeed, "take", checked_take)
    monkeypatch.setattr(UplinkFeed, "put_back", forgetful_put_back)

    worlds = [_play(TWO, seed=seed, is_relay=bool(seed % 2)) for seed in range(40)]

    assert checked > 10_000
    assert len(worlds) == 40


def test_live_first_delivers_everything_too() -> None:
    """A drain that lets new events pass must not lose the stored ones."""
    routes = (Route("a", is_live_first=True), Route("b"))
    for seed in range(60):
        world = _play(routes, seed=seed, is_relay=bool(seed % 2))

        world.check_all()


def test_routes_with_filters_get_only_and_all_of_theirs() -> None:
    """An uplink's filter takes nothing from another's, and its own accounts still add up."""
    routes = (Route("a", is_wanted=lambda event: event.address.device in {"d0", "d1"}), Route("b"))
    for seed in range(40):
        world = _play(routes, seed=seed, is_relay=bool(seed % 2))

        world.check_all()


def test_a_watermark_instead_of_the_interval_set_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: an acknowledgement out of order counts as everything before it."""

    def watermark(self: Stream, batch: object, start: int, stop: int) -> bool:
        found = False
        while self.outstanding:
            other, _, end = self.outstanding.popleft()
            if other is batch and isinstance(end, int) and end >= stop:
                found = True
                break
        return found

    monkeypatch.setattr(Stream, "delivered", watermark)

    def plays() -> None:
        for seed in range(40):
            _play(TWO, seed=seed, is_relay=True).check_all()

    with pytest.raises(AssertionError):
        plays()


def test_settling_before_the_commit_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what is handed to the disk counts as safe."""
    begin_write = Outbox.begin_write

    def eager(self: Outbox, now_s: float, *, everything: bool = False) -> WriteJob:
        job = begin_write(self, now_s, everything=everything)
        for entries in job.lanes.values():
            for batch, _ in entries:
                for start, stop in batch.runs_wanted():
                    self._settle(batch, start, stop)
                batch.is_settled = True
        return job

    monkeypatch.setattr(Outbox, "begin_write", eager)

    def plays() -> None:
        for seed in range(40):
            _play(TWO, seed=seed, is_relay=True).check_all()

    with pytest.raises(AssertionError, match="not safe"):
        plays()


def test_an_interval_set_behaves_as_a_set_of_integers() -> None:
    """The claims that are saved with each commit must be exactly the claims that were made."""
    rng = random.Random(3)
    for _ in range(200):
        intervals, model = IntervalSet(), set[int]()
        for _ in range(rng.randint(0, 30)):
            first = rng.randint(0, 60)
            last = first + rng.randint(0, 8)
            intervals.add(first, last)
            model |= set(range(first, last + 1))
        floor = rng.randint(0, 40)
        intervals.drop_through(floor)

        kept = {value for first, last in intervals.pairs() for value in range(first, last + 1)}

        assert kept == {value for value in model if value > floor}
        assert all(b[0] > a[1] + 1 for a, b in zip(intervals.pairs(), intervals.pairs()[1:], strict=False))
        assert all((value in intervals) == (value in kept) for value in range(70))


def test_a_state_survives_being_stored() -> None:
    """A cursor that changes by being saved would lose or repeat events at every start."""
    world = _play(TWO, seed=5, is_relay=True)
    states = world.outbox.states()

    again = decode_states(encode_states(states))

    assert again == states
    assert isinstance(again["a"], UplinkState)
