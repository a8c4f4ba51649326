"""Move events from one feed into one MQTT session: how many at a time, and what becomes of those refused.

The pump never drops an event: it reports what the far side acknowledged (`Feed.delivered`) or will never take
(`Feed.parked`), and the feed has the rest. It does no I/O: `fill` puts bytes into the session's output.
What was encoded once stays as it is in `InFlight` until it is acknowledged, so that every copy sent by this process
is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.as_is import AsIs, pieces
from fieldgate.forward.batch import Batcher
from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.expiry import Expiry, unexpired
from fieldgate.forward.rate import Pace
from fieldgate.forward.retries import Retries
from fieldgate.forward.shape import Messages, Shape, too_large_text
from fieldgate.forward.suspicion import Suspicion
from fieldgate.forward.uplink import Feed, Shipment
from fieldgate.mqtt.client_happenings import Rejected, reason_text, says
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.framing import encode_publishes, payload_of
from fieldgate.mqtt.in_flight import Run
from fieldgate.mqtt.packets import Reason

__all__ = ["Pump"]

_MAX_BYTES: Final = 4 * 1024 * 1024  # in flight at the same time, whatever the window
_FIRST_TAKE: Final = 16  # events taken before their size is known
_MAX_TAKE: Final = 200  # events taken at once, so that a change of their size is noticed in time
_MAX_SPLIT: Final = 60_000  # messages in flight above which a batch is not taken apart
_NOTICED_AFTER_S: Final = 1.0  # a PUBACK that takes longer is worth a word
_NEVER: Final = frozenset({
    Reason.NOT_AUTHORIZED, Reason.TOPIC_NAME_INVALID, Reason.PAYLOAD_FORMAT_INVALID, Reason.PACKET_TOO_LARGE,
})  # fmt: skip
"""PUBACK reasons that sending again cannot change."""
_NOBODYS_FAULT: Final = frozenset({Reason.QUOTA_EXCEEDED, Reason.PACKET_ID_IN_USE})
"""Those that say nothing about the message, however often they come."""


class Pump:
    """Feeds ``session`` from ``feed``. ``parked`` and ``size_bytes`` count events and bytes over its life.

    ``convicted`` counts the messages for which the server ended connections.

    ``expiry`` is set where events that have ended are not to be sent. ``retry_base_s`` and ``retry_cap_s`` bound how
    long a message waits that the server refused for now.
    """

    def __init__(
        self,
        config: UplinkConfig,
        feed: Feed,
        session: ClientSession,
        *,
        gateway: str,
        os_boot_of: OsBootOf,
        rng: Random,
        expiry: Expiry | None = None,
        retry_base_s: float = 0.5,
        retry_cap_s: float = 60.0,
    ) -> None:
        self.parked = self.convicted = 0
        self.size_bytes = 0
        self._feed = feed
        self._session = session
        self._window = config.broker.window
        self._expiry = expiry
        self._as_is = AsIs(session, feed, park=self._book_parked)
        self._suspicion = Suspicion(session.in_flight)
        self._retries = Retries(session.in_flight, rng=rng, base_s=retry_base_s, cap_s=retry_cap_s)
        self._shape = Shape(config, topic=config.broker.topic, gateway=gateway, os_boot_of=os_boot_of)
        batch = 1 if self._shape.batcher is None else config.batch.max_events
        self.pace = Pace(config.rate, batch=batch, at_once=_MAX_TAKE)
        self._event_bytes = _MAX_BYTES // _FIRST_TAKE
        self._acked_before = 0
        self._acked_seen = 0

    # -- what the connection does -----------------------------------------------------------------------------

    def connected(self, *, is_session_present: bool) -> None:
        """The session has a new connection; what it holds is sent again by the next `fill`."""
        session = self._session
        self._acked_before = session.acked
        terms = session.terms
        self._shape.connected(session.version, terms.max_packet_bytes, terms.topic_aliases)
        if not is_session_present:
            for run in (*self._suspicion.suspects, *self._retries.runs()):
                run.is_known = False

    def acknowledged(self) -> None:
        """PUBACKs may have come: draw the conclusions. Cheap when there are none."""
        if self._session.acked == self._acked_seen:
            return
        self._acked_seen = self._session.acked
        self._retries.acknowledged()
        self._suspicion.acknowledged()

    def rejected(self, rejected: Rejected, now_s: float) -> None:
        """The server refused a message [MQTT5 3.4.2.1]: park it, or have it tried again later."""
        run, why = rejected.run, reason_text(rejected.reason) + says(rejected.text)
        if rejected.reason in _NEVER:
            self._park(run, f"the server refuses it: {why}")
            return
        self.acknowledged()  # of what came before
        if rejected.reason in _NOBODYS_FAULT:
            self._retries.wait(run, now_s, reason=why)
            return
        match self._suspicion.failed(run):
            case "innocent":
                self._retries.wait(run, now_s, reason=why)
            case "suspect":
                self._retries.refused(now_s, reason=why)
            case "guilty":
                self._park(run, f"the server refuses it again and again: {why}")

    def lost(self, *, is_by_server: bool, is_too_large: bool = False) -> bool:
        """The connection is over, closed by the server or not; return whether anything was acknowledged on it.

        ``is_too_large``: the server said DISCONNECT 0x95.
        """
        in_flight = self._session.in_flight
        has_progress = self._session.acked > self._acked_before
        is_fruitless = in_flight.sent_count > 0 and not has_progress
        guilty = self._suspicion.lost(is_fruitless=is_fruitless, is_by_server=is_by_server, is_too_large=is_too_large)
        if guilty is not None:
            self.convicted += 1
        if guilty is not None and is_too_large:
            size = len(guilty.packets()[0])
            self._park(guilty, f"too large: the server ends the connection over its {size} bytes (0x95)")
        elif guilty is not None:
            self._park(guilty, "the server closes the connection whenever it gets this event, and takes others")
        return has_progress

    def may_add(self, now_s: float) -> bool:
        """Whether one message that is no event may go beside the events now; it counts against the rate."""
        if self._session.room(self._window) <= 0 or not self.pace.allowed(now_s):
            return False
        self.pace.spend(1)
        return True

    def start_over(self) -> None:
        """Forget everything taken; the feed hands it out again."""
        self._session.in_flight.clear()
        self._suspicion.clear()
        self._retries.clear()
        self._as_is.clear()
        if self._shape.batcher is not None:
            self._shape.batcher.clear()
        self._feed.put_back()

    def quiet(self, now_s: float) -> str:
        """Return what holds up sending now, in words; empty where nothing does."""
        retries, session, suspicion = self._retries, self._session, self._suspicion
        if (pause_s := retries.pause_s(now_s)) > 0:
            return f"the server refuses messages for now: {retries.reason}; tried again in {pause_s:.0f} s"
        since_s = session.waits_since_s
        if since_s is not None and now_s - since_s >= _NOTICED_AFTER_S:
            return f"waiting for PUBACK since {now_s - since_s:.0f} s, {session.in_flight.sent_count} on the way"
        if suspicion.is_narrow:
            return "one message at a time, to find the one over which the server ends the connection"
        if len(retries):
            return f"{len(retries)} refused for now wait for another try: {retries.reason}"
        return self.pace.quiet(now_s)

    # -- filling ----------------------------------------------------------------------------------------------

    def fill(self, now_s: float) -> float | None:
        """Send what may be sent now; return in how many seconds to call again even if nothing happens, or None."""
        session, retries = self._session, self._retries
        if len(retries) or retries.is_refusing:
            pause_s = retries.pause_s(now_s)
            if pause_s > 0:
                return pause_s
            retries.release(now_s)
        room = session.room(1 if self._suspicion.is_narrow else retries.width(self._window))
        wait_s = self._fill(room, now_s) if room > 0 else None
        return min((one for one in (wait_s, retries.next_s(now_s)) if one is not None), default=None)

    def _fill(self, room: int, now_s: float) -> float | None:
        """Send up to ``room`` messages: first what waits to be sent again, then what is new."""
        session = self._session
        if session.in_flight.held:
            room -= self._send_again(room, now_s)
            if session.in_flight.held:
                return self.pace.wait_s(now_s)
        if self._retries.is_full:
            return None
        if self._shape.batcher is None:
            is_idle = not self._fill_single(room, now_s)
            wait_s = None
        else:
            wait_s = self._fill_batches(self._shape.batcher, room, now_s)
            is_idle = not self._shape.batcher.count and not self._as_is
        if is_idle and self._suspicion.suspects and not len(session.in_flight):
            self._suspicion.acquit()
            self._send_again(1, now_s)
        rate_wait_s = self.pace.wait_s(now_s)
        if wait_s is None or rate_wait_s is None:
            return rate_wait_s if wait_s is None else wait_s
        return min(wait_s, rate_wait_s)

    def _fill_single(self, room: int, now_s: float) -> bool:
        """Send one message per event; return whether there was anything to send, or no room for it."""
        in_flight = self._session.in_flight
        while True:
            fitting = (_MAX_BYTES - in_flight.size_bytes) // self._event_bytes
            limit = min(room, fitting, _MAX_TAKE, self.pace.allowed(now_s))
            if limit <= 0:
                return True
            shipments = self._feed.take(limit)
            taken = 0
            for shipment in shipments:
                self._ship(shipment, now_s)
                taken += shipment.stop - shipment.start
            room -= taken
            if taken < limit:
                return bool(shipments)

    def _ship(self, shipment: Shipment, now_s: float) -> None:
        """Send one run of events."""
        batch, events, start, stop, is_stored, has_publishes = shipment
        if has_publishes:
            self._ship_mixed(shipment, now_s)
            return
        count = stop - start
        run = events if count == len(events) else events[start:stop]
        if self._expiry is not None and any(event.expiry_s is not None for event in run):
            self._ship_expiring(self._expiry, shipment, now_s)
            return
        shape, limit = self._shape, self._session.terms.max_packet_bytes
        if (aliases := shape.aliases) is not None:
            numbers = len(aliases.topics) - 1
            messages = shape.short_messages(aliases, run, is_stored=is_stored)
            if limit is None or not messages.too_large(limit - aliases.longest):  # nor with its topic in full
                self._publish(messages, batch, start, now_s, aliases=aliases.topics)
                return
            aliases.take_back(numbers)
        messages = shape.messages(run, is_stored=is_stored)
        if limit is not None and (too_large := messages.too_large(limit)):
            at = 0
            for index in (*too_large, count):
                if index > at:
                    self._publish(messages.part(at, index), batch, start + at, now_s)
                if index < count:
                    self._book_parked(batch, start + index, start + index + 1, too_large_text(limit))
                at = index + 1
            return
        self._publish(messages, batch, start, now_s)

    def _ship_mixed(self, shipment: Shipment, now_s: float) -> None:
        """Send a run in which a rule has messages of its own; in order."""
        for part, wish in pieces(shipment):
            if wish is None:
                self._ship(part, now_s)
            else:
                self._as_is.add(part, wish)
                self._send_as_is(1, now_s)

    def _send_as_is(self, room: int, now_s: float) -> int:
        """Send up to ``room`` messages of rules; return how many."""
        sent, size_bytes = self._as_is.send(room, now_s)
        self.size_bytes += size_bytes
        self.pace.spend(sent)
        return sent

    def _ship_expiring(self, expiry: Expiry, shipment: Shipment, now_s: float) -> None:
        """Send a run in which publishers said when some events end: those by themselves, with the time that is left."""
        batch, events, start, stop, is_stored, _ = shipment
        plain = start
        for index in range(start, stop):
            ends_s = expiry.ends_s(events[index], now_s)
            if ends_s is None:
                continue
            if plain < index:
                self._ship(shipment._replace(start=plain, stop=index), now_s)
            plain = index + 1
            if ends_s <= now_s:
                self._feed.expired(batch, index, index + 1)
                continue
            messages = self._shape.messages(events[index : index + 1], is_stored=is_stored)
            messages = self._shape.with_expiry(messages, ends_s - now_s)
            limit = self._session.terms.max_packet_bytes
            if limit is not None and messages.too_large(limit):
                self._book_parked(batch, index, index + 1, too_large_text(limit))
                continue
            self._publish(messages, batch, index, now_s)
            self._session.in_flight.sent[-1].expires_at_s = ends_s
        if plain < stop:
            self._ship(shipment._replace(start=plain), now_s)

    def _publish(
        self, messages: Messages, batch: object, start: int, now_s: float, *, aliases: Sequence[bytes] = ()
    ) -> None:
        size = self._session.publish(*messages, batch=batch, start=start, now_s=now_s, aliases=aliases)
        count = len(messages.payloads)
        self.size_bytes += size
        self._event_bytes = size // count + 1
        self.pace.spend(count)

    def _fill_batches(self, batcher: Batcher, room: int, now_s: float) -> float | None:
        """Send messages of many events; return in how many seconds the next one is due."""
        in_flight = self._session.in_flight
        while room > 0 and in_flight.size_bytes < _MAX_BYTES:
            wanted = 0 if self._as_is else min(batcher.max_events - batcher.count, self.pace.allowed(now_s))
            if wanted > 0:
                for shipment in self._feed.take(wanted):
                    self._take_for_batches(batcher, shipment, now_s)
            if self._as_is:
                room -= self._send_as_is(room, now_s)
                continue
            wait_s = batcher.wait_s(now_s)
            if wait_s is None or wait_s > 0:
                return wait_s
            payload, pieces = batcher.take()
            self._feed.joined(pieces)
            (topic,), (block,), _ = self._shape.joint(payload)
            self.size_bytes += self._session.publish_joint(topic, block, payload, pieces=pieces, now_s=now_s)
            room -= 1
        return None

    def _take_for_batches(self, batcher: Batcher, shipment: Shipment, now_s: float) -> None:
        """Let events wait for their message; those of rules go apart, as they are."""
        batch, events, _, _, is_stored, has_publishes = shipment
        if has_publishes:
            for part, wish in pieces(shipment):
                if wish is None:
                    self._take_for_batches(batcher, part, now_s)
                else:
                    self._as_is.add(part, wish)
            return
        for start, stop in unexpired(shipment, self._expiry, self._feed, now_s):
            envelopes = self._shape.envelopes(events[start:stop], is_stored=is_stored)
            self._gather(batcher, batch, start, envelopes, now_s)
            self.pace.spend(stop - start)

    def _gather(self, batcher: Batcher, batch: object, start: int, envelopes: list[bytes], now_s: float) -> None:
        """Let envelopes wait for their message, but for those that are too large for any."""
        limit = self._session.terms.max_packet_bytes
        if limit is None or max(map(len, envelopes)) + 2 <= batcher.max_bytes:
            batcher.add(batch, start, envelopes, now_s)
            return
        for index, envelope in enumerate(envelopes, start):
            if self._shape.size_of_joint(batcher.pack([envelope])) > limit:
                self._book_parked(batch, index, index + 1, too_large_text(limit))
            else:
                batcher.add(batch, index, [envelope], now_s)

    def _send_again(self, room: int, now_s: float) -> int:
        """Send up to ``room`` messages that an earlier connection left, oldest first; return how many."""
        session, sent = self._session, 0
        limit = session.terms.max_packet_bytes
        while (run := session.in_flight.next_held(min(room - sent, self.pace.allowed(now_s)))) is not None:
            parts = [run]
            if limit is not None and max(map(len, run.packets())) > limit:
                parts = [*(run.cut(1) for _ in range(run.count - 1)), run]
            for part in parts:
                if part.expires_at_s is not None and part.expires_at_s <= now_s:
                    for piece in part.carries():
                        self._feed.expired(*piece)
                    continue
                if limit is not None and part.count == 1 and len(part.packets()[0]) > limit:
                    self._park(part, too_large_text(limit))
                    continue
                session.resend(part, now_s)
                sent += part.count
                self.pace.spend(sum(stop - start for _, start, stop in part.carries()))
        return sent

    # -- parking ----------------------------------------------------------------------------------------------

    def _park(self, run: Run, reason: str) -> None:
        """Give up a message that is no longer in flight; a batch is taken apart first, its events tried one by one."""
        batcher, in_flight = self._shape.batcher, self._session.in_flight
        events = [(batch, at) for batch, start, stop in run.carries() for at in range(start, stop)]
        if batcher is None or len(events) == 1:
            for batch, start, stop in run.carries():
                self._book_parked(batch, start, stop, reason)
            return
        if len(in_flight) + len(events) > _MAX_SPLIT:
            in_flight.hold(run)
            return
        envelopes = batcher.unpack(payload_of(run.packets()[0], self._session.version))
        for (batch, at), envelope in zip(events, envelopes, strict=True):
            packet_id = in_flight.fresh_id()
            wire = encode_publishes(*self._shape.joint(batcher.pack([envelope])), packet_id)
            single = Run(packet_id, 1, wire, pieces=((batch, at, at + 1),))
            single.order = run.order
            in_flight.hold(single)

    def _book_parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        self.parked += stop - start
        self._feed.parked(batch, start, stop, reason)
