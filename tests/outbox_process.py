"""One process after the other around an outbox: what a start makes of what is on disk, crashes, the clock. No I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.commits import Commits
from fieldgate.journal.eviction import UplinkLimits
from fieldgate.journal.feed import UplinkFeed
from fieldgate.journal.outbox import NOBODY_NAME, Outbox, WriteJob
from fieldgate.journal.parking import Parking
from fieldgate.journal.reads import Reads
from fieldgate.journal.records import BootRecord, Commit
from fieldgate.journal.uplink_state import Route, decode_states, highest_seq
from fieldgate_devices.event import LANES, Event, Stamp, TimeQuality
from memory_journal import MemoryJournal, SlowWriter
from outbox_accounts import Account, Chances, Id, id_of, wants
from outbox_checks import check_safe

TRUE_START_NS = 1_700_000_000 * 10**9  # UTC at the first OS boot; what an unset clock says is far from it


class Device:
    """A settler that remembers what it was told."""

    def __init__(self, world: Process) -> None:
        self.world = world
        self.sent = 0
        self.settled_ids: set[Id] = set()
        self.id_of: dict[int, Id] = {}

    def settled(self, first: int, count: int) -> None:
        for position in range(first, first + count):
            assert self.id_of[position] not in self.settled_ids, "told twice"
            self.settled_ids.add(self.id_of[position])
            check_safe(self.world, self.id_of[position])

    def flush(self) -> None:
        pass


class Process:
    """What is around one outbox; `crash` keeps only what was committed."""

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
        is_first_of_boot = all(self.boot_of_run[run] != self.boot_no for run in range(1, self.run))
        if self.is_synced and boot not in self.disk.boots and not is_first_of_boot:
            self._tell_offset()
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
        stored = [event for event in self.disk.stored() if wants(route, event)]
        ids = {id_of(event) for event in stored}
        above = {id_of(event) for event in stored if feed.streams[event.lane].wants(event.seq)}
        if saved is None and name and NOBODY_NAME in self.saved_accounts and route.starts_at_oldest:
            nobody = self.saved_accounts[NOBODY_NAME].copy()
            routed = above - nobody.routed  # to this one, while nobody was there: stored at level `journal` only
            nobody.routed, nobody.filter = set(nobody.lost) | (ids & nobody.pending) | routed, route.filter
            return nobody
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
            self._tell_offset()

    def forget_time(self) -> None:
        """The time daemon says that it cannot be trusted any more."""
        if self.is_synced and not self.starts_synced:
            self.is_synced = False
            self.outbox.time_became_unknown()

    def _tell_offset(self) -> None:
        record = BootRecord(f"boot-{self.boot_no}", TRUE_START_NS + self.boot_began_ns, TimeQuality.SYNCED)
        self.commits.time_became_known(record)

    @property
    def now_s(self) -> float:
        return self.now_ns / 1e9


def _raise(error: BaseException) -> None:
    raise error
