"""``mqtt: self``: events, decoded and in the form of an uplink, for local subscribers of this gateway's listeners.

An event is delivered when the local broker was handed it. From there on it is that broker's: QoS 1 to each subscriber
within the bounds of its queue, nothing to whoever does not subscribe. What is published here is never an event again.
Wired by ``pipeline.py``.
"""

from __future__ import annotations

import asyncio
from math import ceil
from typing import Final, Protocol

from fieldgate import clock
from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.as_is import ONLY_BROKERS, pieces
from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.expiry import Expiry, unexpired
from fieldgate.forward.home_assistant import HomeAssistant
from fieldgate.forward.rate import TokenBucket
from fieldgate.forward.shape import EVENT_TYPE, Shape
from fieldgate.forward.status import UplinkStatus
from fieldgate.forward.uplink import Feed, Shipment
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.properties import read_properties
from fieldgate_devices.event import Event

__all__ = ["LocalSubscribers", "LocalUplink"]

_AT_ONCE: Final = 200  # events handed over before devices and subscribers have their turn
_MAX_CACHED: Final = 10_000


class LocalSubscribers(Protocol):
    """The local broker."""

    @property
    def is_listening(self) -> bool:
        """Whether somebody subscribes to something, or may come back to it."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None,
        now_s: float,
    ) -> object:
        """Hand one message to whoever subscribes to its topic; never blocks, and never fails for one of them."""


class LocalUplink:
    """Implements `fieldgate.forward.uplink.Uplink` towards the gateway's own subscribers."""

    def __init__(
        self,
        name: str,
        config: UplinkConfig,
        feed: Feed,
        *,
        gateway: str,
        subscribers: LocalSubscribers,
        expiry: Expiry | None = None,
        home_assistant: HomeAssistant | None = None,
        os_boot_of: OsBootOf = lambda _run: None,
    ) -> None:
        self.name = name
        self.home_assistant = home_assistant
        self._config = config
        self._feed = feed
        self._subscribers = subscribers
        self._expiry = expiry if config.honour_expiry else None
        self._shape = Shape(config, topic=config.topic, gateway=gateway, os_boot_of=os_boot_of)
        self._shape.connected(5, None)
        self._is_structured = config.format == "cloudevents"
        self._bucket: TokenBucket | None = None
        self._pace(config.rate)
        self._topics: dict[bytes, str] = {}
        self._timer: asyncio.Handle | None = None
        self._fault: asyncio.Future[None] | None = None  # of the present `run`
        self._is_busy = False
        self._since_s = clock.boot_s()
        self._sent = self._parked = 0
        self._size_bytes = 0

    def _pace(self, rate: float | None) -> None:
        if rate != (self._bucket.rate if self._bucket is not None else None):
            self._bucket = TokenBucket(rate) if rate is not None else None

    def reconfigure(self, config: UplinkConfig) -> None:
        """From now on by these settings, of which only those differ that may (`fieldgate.config.changes`)."""
        self._config = config
        self._pace(config.rate)

    @property
    def status(self) -> UplinkStatus:
        """Where the uplink is now."""
        is_paced = self._bucket is not None and not self._bucket.available(clock.boot_s())
        return UplinkStatus(
            state="connected" if self._fault is not None else "connecting",
            reason="" if self._fault is not None else "not started",
            quiet=f"paused by rate: {self._bucket.rate:g} events per second at most"
            if is_paced and self._bucket
            else "",
            since_s=self._since_s,
            version=None,
            in_flight=0,
            sent=self._sent,
            acked=self._sent,
            retries=0,
            reconnects=0,
            parked=self._parked,
            stray_acks=0,
            size_bytes=self._size_bytes,
        )

    # -- Uplink -----------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Hand over what is ready, a part at a time; the rest follows in turns of the loop of its own.

        A fault in that ends `run`, not the caller.
        """
        fault = self._fault
        if fault is None or fault.done() or self._is_busy or self._timer is not None:
            return
        self._is_busy = True
        try:
            self._hand_over(clock.boot_s())
        except Exception as error:  # noqa: BLE001  # `run` raises it to the supervisor
            fault.set_exception(error)
        finally:
            self._is_busy = False

    async def run(self) -> None:
        """Hand over as events come, until cancelled."""
        self._feed.put_back()  # what a fault left half done
        self._fault = asyncio.get_running_loop().create_future()
        self._since_s = clock.boot_s()
        if self.home_assistant is not None:
            self.home_assistant.begin()
        try:
            self._feed.is_down(False)
            self.kick()
            await self._fault
        finally:
            self._rest()

    async def stop(self) -> None:
        """Hand over nothing more."""
        self._rest()

    def _rest(self) -> None:
        if self._fault is not None:
            self._fault = None
            self._since_s = clock.boot_s()
            self._feed.is_down(True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- handing over -----------------------------------------------------------------------------------------

    def _hand_over(self, now_s: float) -> None:
        limit = _AT_ONCE if self._bucket is None else min(_AT_ONCE, self._bucket.available(now_s))
        taken = 0 if self.home_assistant is None else self._discover(self.home_assistant, limit, now_s)
        for shipment in self._feed.take(limit - taken) if limit > taken else ():
            taken += shipment.stop - shipment.start
            self._ship(shipment, now_s)
        is_more = taken == limit or (self.home_assistant is not None and self.home_assistant.is_behind)
        if self._bucket is not None:
            self._bucket.spend(taken)
            if is_more:
                self._wake_in(self._bucket.wait_s())
        elif is_more:
            self._wake_in(0.0)

    def _discover(self, discovery: HomeAssistant, limit: int, now_s: float) -> int:
        """Tell Home Assistant of up to half of ``limit`` fields; return how many that were."""
        told = 0
        while told < (limit + 1) // 2 and (message := discovery.next()) is not None:
            topic, payload = message
            self._subscribers.publish(topic, payload, qos=1, retain=True, properties=None, now_s=now_s)
            discovery.answered()
            told += 1
        return told

    def _wake_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.kick()

    def _ship(self, shipment: Shipment, now_s: float) -> None:
        batch, events, _, _, is_stored, has_publishes = shipment
        if has_publishes:
            self._ship_mixed(shipment, now_s)
            return
        for first, end in unexpired(shipment, self._expiry, self._feed, now_s):
            self._sent += end - first
            if not self._subscribers.is_listening and not self._config.retain:
                self._feed.delivered(batch, first, end)
                continue
            run = events[first:end]
            topics, blocks, payloads = self._shape.messages(run, is_stored=is_stored)
            for event, topic, block, payload in zip(run, topics, blocks, payloads, strict=True):
                self._subscribers.publish(
                    self._topics.get(topic) or self._topic(topic),
                    payload,
                    qos=1,
                    retain=self._config.retain,
                    properties=self._properties(event, block, now_s),
                    now_s=now_s,
                )
                self._size_bytes += len(topic) + len(payload)
            self._feed.delivered(batch, first, end)

    def _ship_mixed(self, shipment: Shipment, now_s: float) -> None:
        """A message that a rule has for a broker elsewhere is none for local subscribers."""
        for part, wish in pieces(shipment):
            if wish is None:
                self._ship(part, now_s)
            else:
                self._parked += 1
                self._feed.parked(part.batch, part.start, part.stop, ONLY_BROKERS)

    def _properties(self, event: Event, block: bytes, now_s: float) -> Properties | None:
        """The message's properties as a value: subscribers of both protocol versions get it."""
        properties = Properties(content_type=EVENT_TYPE) if self._is_structured else read_properties(block)
        if self._expiry is not None and properties is not None:
            ends_s = self._expiry.ends_s(event, now_s)
            properties.message_expiry_s = None if ends_s is None else ceil(ends_s - now_s)
        return properties

    def _topic(self, field: bytes) -> str:
        if len(self._topics) >= _MAX_CACHED:
            self._topics.clear()
        return self._topics.setdefault(field, field[2:].decode())
