"""Devices that send, and uplinks that take, refuse, lose their connection and try again what was parked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fieldgate.forward.uplink import Shipment
from fieldgate.journal.extras import ExtraBatch
from fieldgate.journal.parking import ParkedKey
from fieldgate.journal.records import ParkedEvent
from fieldgate_devices.event import Address, Event, Extra, TimeQuality
from outbox_accounts import Id, id_of, is_gap, wants
from outbox_process import TRUE_START_NS, Process

ADDRESSES = [Address(f"d{number}", "message", f"t/{number}") for number in range(4)]


class Peers(Process):
    """A process with its devices and uplinks; what they do is booked in the accounts."""

    def accept(self) -> None:
        lane = self.rng.choice([0, 1, 1, 1, 2])
        count = self.rng.randint(1, 6)
        stamp = self.stamp()
        extras = [self._some_extra() for _ in range(count)]
        events = [Event(self.rng.choice(ADDRESSES), stamp, b"1", True, 0, lane, extra=extra) for extra in extras]
        is_routed = any(extra is not None for extra in extras)
        first = self.device.sent
        self.device.sent += count
        for offset, event in enumerate(events):
            own = (self.run, self.outbox.next_seq + offset)
            self.device.id_of[first + offset] = own
            self.event_of[own] = event
            self.true_ns[own] = TRUE_START_NS + self.now_ns
            for name, feed in self.feeds.items():
                if wants(feed.route, event):
                    self.accounts[name].routed.add(own)
        self.outbox.accept(events, self.device, first, now_s=self.now_s, size_bytes=count * 100, is_routed=is_routed)

    def _some_extra(self) -> Extra | None:
        """What a rule may have said of an event."""
        if not self.chances.route or self.rng.random() * 100 >= self.chances.route:
            return None
        some = [name for name in ("a", "b", "c", "gone") if self.rng.random() < 0.4]
        return Extra(uplinks=tuple(some) if self.rng.random() < 0.7 else None, notify=tuple(some))

    def take(self, name: str) -> None:
        if self.feeds[name].down:
            return
        for shipment in self.feeds[name].take(self.rng.randint(1, 10)):
            self.flying[name].append(shipment)
            for event in shipment.events[shipment.start : shipment.stop]:
                self._check_sent(name, event, shipment)

    def _check_sent(self, name: str, event: Event, shipment: Shipment) -> None:
        """P2: what is sent again is what was sent before."""
        stamp, own = event.stamp, id_of(event)
        envelope = (stamp.wall_ns, stamp.boot_ns, stamp.quality, shipment.is_stored, event.data, event.lane)
        if is_gap(event):
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
                    self._unpark(name, id_of(event), "")
            if not self._is_extra(shipment):
                self._book(name, shipment.events[first:end], "")
            self.feeds[name].delivered(shipment.batch, first, end)

    def _book(self, name: str, events: Sequence[Event], reason: str) -> None:
        account = self.accounts[name]
        for event in events:
            own = id_of(event)
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
            own = id_of(one.event)
            if self.feeds[name].drop_parked([ParkedKey(name, *own)]):
                self._unpark(name, own, "dropped")

    def _book_parked(self) -> None:
        """What is parked counts once it is on disk: until then a crash could forget that it ever was."""
        for name, waiting in self.parking.items():
            on_disk = {id_of(event) for event in self.disk.stored()}
            for entry in list(waiting):
                shipment, first, end = entry
                if all(id_of(event) in on_disk for event in shipment.events[first:end]):
                    waiting.remove(entry)
                    self._book(name, shipment.events[first:end], "parked")

    def _arrives(self, name: str, event: Event) -> None:
        if not is_gap(event):
            self.arrived[name].add(id_of(event))
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
