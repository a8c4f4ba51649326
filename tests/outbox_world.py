"""The outbox core in a model of the world: devices, uplinks that fail, a disk, damage, crashes, clocks. No I/O.

The model keeps accounts of its own, as sets of event ids, and holds the outbox's numbers against them after each step.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.commits import Commits
from fieldgate.journal.eviction import UplinkLimits, apply_eviction, plan_room
from fieldgate.journal.extras import ExtraBatch
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.gather import handed_in
from fieldgate.journal.outbox import NOBODY_NAME, Outbox, WriteJob
from fieldgate.journal.parking import ParkedKey, Parking
from fieldgate.journal.reads import Reads
from fieldgate.journal.records import BootRecord, Commit, JournalFull, ParkedEvent
from fieldgate.journal.uplink_state import Route, decode_states, highest_seq
from fieldgate_devices.event import LANES, Address, Event, Stamp, TimeQuality
from memory_journal import MemoryJournal, SlowWriter

Id = tuple[int, int]
ADDRESSES = [Address(f"d{number}", "message", f"t/{number}") for number in range(4)]
TRUE_START_NS = 1_700_000_000 * 10**9  # UTC at the first OS boot; what an unset clock says is far from it


class Device:
    """A settler that remembers what it was told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent = 0
        self.settled_ids: set[Id] = set()
        self.id_of: dict[int, Id] = {}

    def settled(self, first: int, count: int) -> None:
        for position in range(first, first + count):
            assert self.id_of[position] not in self.settled_ids, "told twice"
            self.settled_ids.add(self.id_of[position])
            self.world.check_safe(self.id_of[position])

    def flush(self) -> None:
        pass


@dataclass
class Account:
    """What one uplink was to get and what became of it. ``damaged`` are among what is pending until they are booked."""

    routed: set[Id] = field(default_factory=set)
    delivered: set[Id] = field(default_factory=set)
    lost: dict[Id, str] = field(default_factory=dict)
    damaged: set[Id] = field(default_factory=set)
    passed: set[Id] = field(default_factory=set)  # damaged, and the cursor is past them
    filter: str = ""
    unparked: int = 0  # told as parked, and delivered or dropped since

    def copy(self) -> Account:
        sets = set(self.routed), set(self.delivered), dict(self.lost), set(self.damaged), set(self.passed)
        return Account(*sets, self.filter, self.unparked)

    @property
    def pending(self) -> set[Id]:
        return self.routed - self.delivered - self.lost.keys()


@dataclass
class Chances:
    """Which rare things happen, and how often out of a hundred steps."""

    crash: float = 0.6
    lose_connection: float = 3
    write_fails: float = 20  # of a hundred writes
    park: float = 0
    evict: float = 0
    damage: float = 0
    limits: float = 0
    learn_time: float = 0
    forget_time: float = 0
    reboot: float = 0
    replay: float = 0
    retry: float = 0
    drop: float = 0


class World:
    """Everything around one outbox; `crash` keeps only what was committed."""

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        seed: int,
        is_relay: bool,
        chances: Chances | None = None,
        keeps_history: bool = False,
        max_events: int = 1 << 30,
        is_synced: bool = True,
    ) -> None:
        self.rng = random.Random(seed)
        self.routes = list(routes)
        self.is_relay = is_relay
        self.chances = chances or Chances()
        self.keeps_history = keeps_history
        self.run = 0
        self.now_ns = 0
        self.boot_began_ns = 0
        self.boot_no = 0
        self.starts_synced = self.is_synced = is_synced
        self.disk = MemoryJournal(max_events=max_events)
        self.feeds: dict[str, UplinkFeed] = {}
        self.acked: set[Id] = set()
        self.due: dict[str, set[Id]] = {}  # what was acknowledged to devices while the uplink was configured
        self.event_of: dict[Id, Event] = {}
        self.true_ns: dict[Id, int] = {}
        self.boot_of_run: dict[int, int] = {}
        self.arrived: dict[str, set[Id]] = {}
        self.sent: dict[tuple[str, Id], object] = {}  # the envelope as it was first sent
        self.told: dict[str, dict[str, dict[str, Any]]] = {}  # gap events that arrived, by uplink and id
        self.saved_accounts: dict[str, Account] = {}
        self.steps = 0
        self.start()

    # -- a process --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process begins with what is on disk."""
        self.run += 1
        self.boot_of_run[self.run] = self.boot_no
        states = decode_states(self.disk.states)
        losses = self.disk.start()
        stored = self.disk.stored()
        stored_to = [max((event.seq for event in stored if event.lane == lane), default=0) for lane in LANES]
        boots = {self.boot_of_run[run] for run in range(1, self.run + 1)}
        self.outbox = Outbox(
            self.routes,
            gateway="g",
            is_relay=self.is_relay,
            keeps_history=self.keeps_history,
            hold_s=0.2,
            commit_delay_s=0.05,
            next_seq=1 + max([highest_seq(states), *(event.seq for event in stored)]),
            stored_to=stored_to,
            states=states,
            os_boot=f"boot-{self.boot_no}",
            stored_boot=f"boot-{self.boot_no}" if len(boots) == 1 else "",
            parking=Parking(self.disk.parked_heads()),
            attention=lambda: None,
            now_stamp=self.stamp,
        )
        if self.keeps_history:
            self.outbox.history_to = [0 for _ in LANES]
        self.commits = Commits(self.outbox)
        self.writer = SlowWriter(self.disk)
        self.reads = Reads(self.writer, lost=self.commits.lost, failed=_raise, done=lambda: None)  # type: ignore[arg-type]
        self.limits = UplinkLimits()
        self.device = Device(self)
        self.job: WriteJob | None = None
        self.commit: Commit | None = None
        self.committing: dict[str, Account] = {}
        boot = f"boot-{self.boot_no}"
        if self.is_synced and boot not in self.disk.boots:
            self._tell_offset(is_late=any(self.boot_of_run[run] == self.boot_no for run in range(1, self.run)))
        before, self.feeds = self.feeds, {feed.name: feed for feed in self.outbox.all_feeds()}
        self.flying: dict[str, list[Shipment]] = {name: [] for name in self.outbox.feeds}
        self.parking: dict[str, list[tuple[Shipment, int, int]]] = {name: [] for name in self.outbox.feeds}
        self.out: dict[str, set[Id]] = {name: set() for name in self.outbox.feeds}
        self.accounts = {name: self._account_at_start(name) for name in self.feeds}
        for name in self.feeds:
            if name not in self.saved_accounts:
                self.due[name] = self.acked & self.accounts[name].routed
            if name not in self.saved_accounts and name not in before:  # another one, even if it bears an old name
                self.told[name] = {}
                self.sent = {key: value for key, value in self.sent.items() if key[0] not in (name, f"{name}-gap")}
        for loss in losses:
            self.commits.lost(loss)
        for name, feed in self.outbox.feeds.items():
            retrying = [one for one in self.disk.parked.values() if one.uplink == name and one.is_retrying]
            feed.shelf.go_on([one.event for one in retrying])
        for name in self.outbox.feeds:
            self.arrived.setdefault(name, set())
            self.told.setdefault(name, {})
            if self.rng.random() < 0.8:
                self.feeds[name].is_down(False)

    def _account_at_start(self, name: str) -> Account:
        saved = self.saved_accounts.get(name)
        route = self.feeds[name].route
        feed = self.feeds[name]
        stored = [event for event in self.disk.stored() if route.is_wanted is None or route.is_wanted(event)]
        ids = {_id(event) for event in stored}
        if saved is None and name and NOBODY_NAME in self.saved_accounts and route.starts_at_oldest:
            nobody = self.saved_accounts[NOBODY_NAME].copy()
            nobody.routed, nobody.filter = set(nobody.lost) | (ids & nobody.pending), route.filter
            return nobody
        above = {_id(event) for event in stored if feed.streams[event.lane].wants(event.seq)}
        if saved is None:
            return Account(above, filter=route.filter)
        account = saved.copy()
        if account.filter != route.filter:
            account.filter = route.filter
            account.routed = account.delivered | account.lost.keys() | above
            self.due[name] = self.acked & account.routed
            return account
        if name and (nobody := self.saved_accounts.get(NOBODY_NAME)) is not None:  # it comes back
            account.lost.update(nobody.lost)
            account.routed = account.delivered | account.lost.keys() | ids
            return account
        account.routed = account.delivered | account.lost.keys() | ((ids | account.damaged) & account.pending)
        return account

    def crash(self, routes: Sequence[Route] | None = None) -> None:
        """kill -9, then a start, with other uplinks if given."""
        self._note_acked()
        if routes is not None:
            self.routes = list(routes)
        self.start()

    def _note_acked(self) -> None:
        """Each uplink must get what was acknowledged while it was configured."""
        self.acked |= self.device.settled_ids
        for name, account in self.accounts.items():
            self.due.setdefault(name, set()).update(self.device.settled_ids & account.routed)

    def reboot(self) -> None:
        """The power goes; the next OS boot knows the time no better than the first one did."""
        self.boot_no += 1
        self.boot_began_ns = self.now_ns
        self.is_synced = self.starts_synced
        self.crash()

    def stamp(self) -> Stamp:
        boot_ns = self.now_ns - self.boot_began_ns
        true_ns = TRUE_START_NS + self.now_ns
        if self.is_synced:
            return Stamp(self.run, true_ns, boot_ns, TimeQuality.SYNCED)
        return Stamp(self.run, boot_ns, boot_ns, TimeQuality.UNSYNCED)

    def learn_time(self) -> None:
        if not self.is_synced:
            self.is_synced = True
            self._tell_offset(is_late=True)

    def forget_time(self) -> None:
        """The time daemon says that it cannot be trusted any more."""
        if self.is_synced and not self.starts_synced:
            self.is_synced = False
            self.outbox.time_became_unknown()

    def _tell_offset(self, *, is_late: bool) -> None:
        record = BootRecord(f"boot-{self.boot_no}", TRUE_START_NS + self.boot_began_ns, TimeQuality.SYNCED)
        if is_late:
            self.commits.time_became_known(record)
        else:
            self.commits.note_boot(record)

    @property
    def now_s(self) -> float:
        return self.now_ns / 1e9

    # -- devices and uplinks --------------------------------------------------------------------------------------

    def accept(self) -> None:
        lane = self.rng.choice([0, 1, 1, 1, 2])
        count = self.rng.randint(1, 6)
        stamp = self.stamp()
        events = [Event(self.rng.choice(ADDRESSES), stamp, b"1", True, 0, lane) for _ in range(count)]
        first = self.device.sent
        self.device.sent += count
        for offset, event in enumerate(events):
            own = (self.run, self.outbox.next_seq + offset)
            self.device.id_of[first + offset] = own
            self.event_of[own] = event
            self.true_ns[own] = TRUE_START_NS + self.now_ns
            for name, feed in self.feeds.items():
                if feed.route.is_wanted is None or feed.route.is_wanted(event):
                    self.accounts[name].routed.add(own)
        self.outbox.accept(events, self.device, first, now_s=self.now_s, size_bytes=count * 100)

    def take(self, name: str) -> None:
        if self.feeds[name].down:
            return
        for shipment in self.feeds[name].take(self.rng.randint(1, 10)):
            self.flying[name].append(shipment)
            for event in shipment.events[shipment.start : shipment.stop]:
                self._check_sent(name, event, shipment)

    def _check_sent(self, name: str, event: Event, shipment: Shipment) -> None:
        """P2: what is sent again is what was sent before."""
        stamp, own = event.stamp, _id(event)
        envelope = (stamp.wall_ns, stamp.boot_ns, stamp.quality, shipment.is_stored, event.data, event.lane)
        if _is_gap(event):
            assert self.sent.setdefault((f"{name}-gap", own), envelope) == envelope, f"gap event {own} changed"
            return
        key = f"{name}-retry" if self._is_retry(shipment) else name
        first = self.sent.setdefault((key, own), envelope)
        assert first == envelope, f"the envelope of {own} changed from {first} to {envelope}"
        if not self._is_extra(shipment):
            assert own not in self.out[name], f"{own} was handed out twice"
            self.out[name].add(own)
        if stamp.quality == TimeQuality.SYNCED:
            assert stamp.wall_ns == self.true_ns[own], "a wrong time that claims to be right"

    def _is_extra(self, shipment: Shipment) -> bool:
        return type(shipment.batch).__name__ == "ExtraBatch"

    def _is_retry(self, shipment: Shipment) -> bool:
        return isinstance(shipment.batch, ExtraBatch) and shipment.batch.is_retry

    def acknowledge(self, name: str, *, in_order: bool, parks: bool = False) -> None:
        flying = self.flying[name]
        if not flying:
            return
        shipment = flying.pop(0 if in_order else self.rng.randrange(len(flying)))
        start, stop = shipment.start, shipment.stop
        cut = self.rng.randint(start, stop)
        pieces = [(start, cut), (cut, stop)]
        if not in_order:
            self.rng.shuffle(pieces)
        for first, end in pieces:
            if first == end:
                continue
            if parks and not self._is_extra(shipment):
                self.parking[name].append((shipment, first, end))
                self.feeds[name].parked(shipment.batch, first, end, "too large")
                self._book_parked()
                continue
            if parks and self._is_retry(shipment):
                self.feeds[name].parked(shipment.batch, first, end, "still too large")
                continue
            for event in shipment.events[first:end]:
                self._arrives(name, event)
                if self._is_retry(shipment):
                    self._unpark(name, _id(event), "")
            if not self._is_extra(shipment):
                self._book(name, shipment.events[first:end], "")
            self.feeds[name].delivered(shipment.batch, first, end)

    def _book(self, name: str, events: Sequence[Event], reason: str) -> None:
        account = self.accounts[name]
        for event in events:
            own = _id(event)
            self.out[name].discard(own)
            if own not in account.pending - account.passed:
                continue  # it was given up while it was on its way
            if reason:
                account.lost[own] = reason
            else:
                account.delivered.add(own)
            account.damaged.discard(own)

    def _unpark(self, name: str, own: Id, reason: str) -> None:
        account = self.accounts[name]
        if account.lost.get(own) != "parked":
            return
        account.unparked += 1
        del account.lost[own]
        if reason:
            account.lost[own] = reason
        else:
            account.delivered.add(own)

    def _some_parked(self, name: str) -> list[ParkedEvent]:
        found = [one for one in self.disk.parked.values() if one.uplink == name]
        return self.rng.sample(found, min(len(found), self.rng.randint(0, 5)))

    def retry(self, name: str) -> None:
        """A person wants parked events sent again."""
        self.feeds[name].retry_parked([one.event for one in self._some_parked(name)])

    def drop(self, name: str) -> None:
        """A person gives up parked events, perhaps while they are on their way once more."""
        for one in self._some_parked(name):
            own = _id(one.event)
            if self.feeds[name].drop_parked([ParkedKey(name, *own)]):
                self._unpark(name, own, "dropped")

    def _book_parked(self) -> None:
        """What is parked counts once it is on disk: until then a crash could forget that it ever was."""
        for name, waiting in self.parking.items():
            on_disk = {_id(event) for event in self.disk.stored()}
            for entry in list(waiting):
                shipment, first, end = entry
                if all(_id(event) in on_disk for event in shipment.events[first:end]):
                    waiting.remove(entry)
                    self._book(name, shipment.events[first:end], "parked")

    def _arrives(self, name: str, event: Event) -> None:
        if not _is_gap(event):
            self.arrived[name].add(_id(event))
            return
        told = self.told[name]
        own = f"{event.stamp.run}-{event.seq}"
        data = msgspec.json.decode(event.data)
        assert told.setdefault(own, data) == data, "one id, two gaps"

    def lose_connection(self, name: str) -> None:
        for shipment in self.flying[name]:  # some of it arrived all the same
            for event in shipment.events[shipment.start : shipment.stop]:
                if self.rng.random() < 0.5:
                    self._arrives(name, event)
        feed = self.feeds[name]
        feed.is_down(True)
        if self.rng.random() < 0.6:  # else the session goes on and sends again what it holds
            self.flying[name].clear()
            self.out[name].clear()
            self.parking[name].clear()
            feed.put_back()
        if self.rng.random() < 0.7:
            feed.is_down(False)

    # -- the disk -------------------------------------------------------------------------------------------------

    def begin_write(self, *, everything: bool = False) -> None:
        if self.job is None:
            self.outbox.begin_turn()
            self._submit(self.outbox.begin_write(self.now_s, everything=everything))

    def _submit(self, job: WriteJob) -> None:
        self.job = job
        self.commit = self.commits.make(job)
        self.committing = {name: account.copy() for name, account in self.accounts.items()}

    def end_write(self, *, fails: bool = False) -> bool:
        if self.job is None or self.commit is None:
            return False
        (job, commit), self.job, self.commit = (self.job, self.commit), None, None
        self.disk.fails, self.disk.now_s = fails, self.now_s
        try:
            done = self.disk.commit(commit)
        except JournalFull as full:
            self.commits.not_taken(job, commit)
            if full.cause == "limit" and job.count:
                self.evict(over_events=job.count + 5)
            return False
        self.saved_accounts.update(self.committing)
        for name in commit.forget_uplinks:
            self.saved_accounts.pop(name, None)
        self.commits.taken(job, commit, done)
        self._book_parked()
        return True

    def evict(self, *, over_events: int) -> None:
        """What the keeper does when the journal is full."""
        plan = plan_room(
            self.disk,  # type: ignore[arg-type]
            demands=self.outbox.demands(),
            over_bytes=over_events * 100,
            may_drop_required=True,
        )
        self._give_up(plan)
        if self.job is None:
            self._submit(WriteJob())
            self.end_write()

    def hold_limits(self) -> None:
        plan = self.limits.plan(self.disk, demands=self.outbox.demands(), written_bytes=self.disk.next_no * 100)  # type: ignore[arg-type]
        if self.rng.random() < 0.5 and self.flying:  # while the journal was looked at, the world went on
            self.acknowledge(self.rng.choice(list(self.flying)), in_order=True)
        self._give_up(plan)

    def _give_up(self, plan: Any) -> None:
        for loss in plan.losses:
            self.commits.lost(loss)
        for eviction in plan.evictions:
            account = self.accounts[eviction.uplink]
            for own in account.pending:
                if self.event_of[own].lane != eviction.lane or own[1] > eviction.through_seq:
                    continue
                if own in account.damaged:
                    account.passed.add(own)
                else:
                    account.lost[own] = eviction.reason
        apply_eviction(plan, self.outbox)

    def read(self) -> None:
        for feed in self.outbox.feeds.values():
            self.reads.begin_for(feed)
        while self.writer.step():
            if self.rng.random() < 0.3:
                break

    def damage(self) -> None:
        """A block on disk goes bad."""
        whole = [block for block in self.disk.blocks if not block.is_damaged]
        if not whole:
            return
        block = self.rng.choice(whole)
        block.is_damaged = True
        for account in self.accounts.values():
            account.damaged |= {_id(event) for event in block.events} & account.pending
        for account in (*self.saved_accounts.values(), *self.committing.values()):
            account.damaged |= {_id(event) for event in block.events} & account.pending

    def replay(self, name: str) -> None:
        feed = self.feeds[name]
        for block in self.disk.blocks:
            if block.is_damaged or self.rng.random() < 0.5:
                continue
            handed = handed_in(block.info.marks, name)
            for event in block.events:
                if feed.is_past(event) and (name, _id(event)) in self.sent:
                    was_handed = any(first <= event.seq <= last for first, last in handed)
                    is_stored = feed.route.is_live_first and not was_handed
                    feed.replay([msgspec.structs.replace(event)], is_stored=is_stored)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        self.now_ns += self.rng.choice([1, 10, 100]) * 1_000_000
        self.steps += 1
        rare = self.rng.random() * 100
        chances = self.chances
        names = list(self.flying)
        name = self.rng.choice(names) if names else ""
        happenings: list[tuple[float, Callable[[], None]]] = [
            (chances.crash, self.crash),
            (chances.reboot, self.reboot),
            (chances.evict, lambda: self.evict(over_events=self.rng.randint(1, 30))),
            (chances.damage, self.damage),
            (chances.limits, self.hold_limits),
            (chances.learn_time, self.learn_time),
            (chances.forget_time, self.forget_time),
        ]
        if name:
            happenings += [
                (chances.lose_connection, lambda: self.lose_connection(name)),
                (chances.park, lambda: self.acknowledge(name, in_order=self.rng.random() < 0.5, parks=True)),
                (chances.replay, lambda: self.replay(name)),
                (chances.retry, lambda: self.retry(name)),
                (chances.drop, lambda: self.drop(name)),
            ]
        for chance, happen in happenings:
            rare -= chance
            if rare < 0:
                happen()
                break
        else:
            self._usual(name)
        self.check()

    def _usual(self, name: str) -> None:
        actions = ["accept"] * 4 + ["write"] * 2 + ["wrote"] * 2 + ["turn"]
        if name:
            actions += ["take"] * 4 + ["ack"] * 4 + ["read"] * 2
        match self.rng.choice(actions):
            case "accept":
                self.accept()
            case "take":
                self.take(name)
            case "ack":
                self.acknowledge(name, in_order=self.rng.random() < 0.7)
            case "write":
                self.begin_write()
            case "wrote":
                self.end_write(fails=self.rng.random() * 100 < self.chances.write_fails)
            case "read":
                self.read()
            case _:
                self.outbox.begin_turn()

    def play(self, steps: int) -> World:
        for _ in range(steps):
            self.step()
        return self

    def drain(self) -> World:
        """Everything works again: let all of it arrive."""
        for _ in range(4):
            self._drain_once()
        self._note_acked()
        self.check()
        return self

    def _drain_once(self) -> None:
        self.now_ns += 10 * 10**9
        for name, feed in self.outbox.feeds.items():
            feed.is_down(False)
            for _ in range(2_000):
                self.read()
                while self.writer.step():
                    pass
                self.take(name)
                if not self.flying[name] and feed.is_caught_up and not feed.state.gaps and not feed.is_frozen:
                    break
                while self.flying[name]:
                    self.acknowledge(name, in_order=True)
                self.end_write()
                if feed.wants_save_now:
                    self.begin_write()
        for _ in range(100):
            self.end_write()
            self.now_ns += 10 * 10**9
            self.outbox.begin_turn()
            if not self.outbox.has_unwritten and not self.outbox.is_dirty:
                break
            self.begin_write(everything=True)
        self.outbox.begin_turn()

    # -- what must hold ---------------------------------------------------------------------------------------------

    def check_safe(self, own: Id) -> None:
        """P1: what is settled is on disk or done with for every uplink that it is routed to."""
        event = self.event_of[own]
        on_disk = any(_id(stored) == own for stored in self.disk.stored())
        wanting = [
            name
            for name, feed in self.feeds.items()
            if (feed.route.is_wanted is None or feed.route.is_wanted(event)) and own in self.accounts[name].pending
        ]
        assert on_disk or not wanting, f"{own} was settled but is not safe"

    def check(self) -> None:
        """P4, against the model's own accounts."""
        for name, feed in self.feeds.items():
            self.check_account(name, feed)

    def check_account(self, name: str, feed: UplinkFeed) -> None:
        account, state = self.accounts[name], feed.state
        uncounted = self._uncounted(account, feed)
        in_memory = self.outbox.pending_in_memory(feed)
        told = dict(state.ledger)
        corrupt = told.pop("corrupt", 0)
        pending = len(account.pending) - len(uncounted)
        assert state.routed == len(account.routed) - len(uncounted), f"{name!r} routed"
        assert state.delivered == len(account.delivered), f"{name!r} delivered"
        assert told == Counter(account.lost.values()), f"{name!r} ledger"
        assert state.pending + in_memory + corrupt == pending, f"{name!r} pending"
        kept = {(head.run, head.seq) for head in self.outbox.parking.of(name)}
        assert kept == {own for own, reason in account.lost.items() if reason == "parked"}, f"{name!r} parked"
        assert 0 <= corrupt <= len(account.damaged)
        assert state.pending >= 0
        assert state.routed == state.delivered + state.pending + in_memory + corrupt + sum(told.values())

    def _uncounted(self, account: Account, feed: UplinkFeed) -> set[Id]:
        """What a new uplink has not counted yet; an inherited number must not be in memory."""
        found = set()
        for own in account.pending:
            lane = feed.state.lanes[self.event_of[own].lane]
            if any(first <= own[1] <= last for first, last in lane.uncounted):
                found.add(own)
        return found

    def check_all(self) -> None:
        """After `drain`: everything acknowledged has arrived or is accounted for, and told."""
        for route in self.routes:
            name, account, state = route.name, self.accounts[route.name], self.feeds[route.name].state
            arrived = self.arrived[name]
            wanted = {own for own in self.acked if route.is_wanted is None or route.is_wanted(self.event_of[own])}
            gone = account.lost.keys() | account.damaged
            assert all(route.is_wanted is None or route.is_wanted(self.event_of[own]) for own in arrived)
            assert self.due[name] - gone <= wanted
            missing = self.due[name] - arrived - gone
            assert not missing, f"{name} never got {sorted(missing)[:5]}"
            assert state.pending == 0, f"{name} still counts {state.pending} as pending"
            assert account.pending <= account.damaged
            assert not state.unsure
            assert state.ledger.get("corrupt", 0) == len(account.pending & account.damaged)
            told: Counter[str] = Counter()
            for gap in self.told[name].values():
                told[gap["reason"]] += gap["count"]
            told["parked"] -= account.unparked
            lost = Counter(state.ledger)
            lost["parked"] += 0
            del lost["dropped"]
            assert told == lost, f"{name} was told {told}, not {state.ledger}"
            assert state.gaps == []


def _id(event: Event) -> Id:
    return event.stamp.run, event.seq


def _is_gap(event: Event) -> bool:
    return event.address.type == "gap"


def _raise(error: BaseException) -> None:
    raise error
