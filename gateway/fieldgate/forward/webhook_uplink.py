"""One webhook: each event that names it in ``notify`` becomes one HTTP request, in order, until the server takes it.

Promises: an event is delivered when the server has answered its request with 2xx, and parked when it has answered that
it will never take it; for everything else, a wrong token among it, it is sent again, after a pause that grows, as long
as the outbox keeps it. Another secret of the configuration ends the pause.
What goes first then is asked anew, so that what has grown too old meanwhile is not sent. One event that the server
cannot digest does not hold up the others for ever (`Doubts`). Wired by ``pipeline.py``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.config.uplink import UplinkConfig
from fieldgate.config.webhook import WebhookConfig
from fieldgate.errors import UplinkError
from fieldgate.forward.as_is import ONLY_BROKERS, event_id
from fieldgate.forward.encode import OsBootOf
from fieldgate.forward.home_assistant import HomeAssistant
from fieldgate.forward.rate import Pace
from fieldgate.forward.status import UplinkState, UplinkStatus
from fieldgate.forward.uplink import Feed, Shipment
from fieldgate.forward.webhook_body import WebhookBody
from fieldgate.forward.webhook_verdict import Doubts, is_about_event, refusal_text, retry_after_s, verdict, words_of
from fieldgate.net.backoff import Backoff
from fieldgate.net.broker_connection import Timing
from fieldgate.net.http_client import HttpClient
from fieldgate_devices.event import Event

__all__ = ["WebhookUplink"]

_log = structlog.get_logger()

_LEAST_WAIT_S: Final = 0.1  # a server that is there, and would answer at once, is not asked in a hot loop


class WebhookUplink:
    """Implements `fieldgate.forward.uplink.Uplink` over HTTP/1.1."""

    home_assistant: HomeAssistant | None = None

    def __init__(
        self,
        name: str,
        config: WebhookConfig,
        feed: Feed,
        *,
        gateway: str,
        rng: Random,
        os_boot_of: OsBootOf = lambda _run: None,
        rate: float | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._feed = feed
        self._config = config
        self._client = HttpClient(config)
        self._body_of = partial(WebhookBody, gateway=gateway, os_boot_of=os_boot_of)
        self._body = self._body_of(config)
        timing = timing or Timing()
        self._least_s = min(_LEAST_WAIT_S, timing.base_s)
        self._backoff = Backoff(rng, base_s=timing.base_s, cap_s=timing.cap_s)
        self._pace = Pace(rate, batch=1, at_once=1)
        self._bell = asyncio.Event()
        self._is_changed = asyncio.Event()  # the configuration, since the last request
        self._state: UplinkState = "connecting"
        self._reason = "not started"
        self._since_s = clock.boot_s()
        self._doubts = Doubts()
        self._is_asking = self._is_stopping = self._is_idle = False
        self._ready: list[Shipment] = []  # taken while it rested
        self._last = ""  # id of the event of the last request
        self._sent = self._acked = self._again = self._parked = self._size_bytes = 0

    @property
    def status(self) -> UplinkStatus:
        """Where the uplink is now."""
        return UplinkStatus(
            state=self._state,
            reason=self._reason,
            quiet=self._pace.quiet(clock.boot_s()) if self._state == "ready" else "",
            since_s=self._since_s,
            version=None,
            in_flight=int(self._is_asking),
            sent=self._sent,
            acked=self._acked,
            retries=self._again,
            reconnects=max(0, self._client.connections - 1),
            parked=self._parked,
            stray_acks=0,
            size_bytes=self._size_bytes,
        )

    # -- Uplink -----------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Look whether there is something to send; mostly there is not, and nobody is woken."""
        if self._is_idle and (found := self._next()):
            self._is_idle, self._ready = False, found
            self._bell.set()

    def reconfigure(self, config: UplinkConfig) -> None:
        """From now on by these settings, of which only those differ that may (`fieldgate.config.changes`)."""
        self._pace.use(config.rate)
        if config.webhook is not None and config.webhook != self._config:
            self._config = config.webhook
            self._client.use(config.webhook)
            self._body = self._body_of(config.webhook)
            self._doubts.clear()  # they were about the old one
            self._is_changed.set()

    async def run(self) -> None:
        """Send one event after the other, until cancelled."""
        self._ready = []
        self._feed.put_back()  # what a fault left half done
        self._enter("ready", "")
        try:
            while not self._is_stopping:
                shipments, self._ready = self._ready or self._next(), []
                if shipments:
                    await self._send(shipments)
                else:
                    await self._rest()
            await asyncio.Event().wait()
        finally:
            self._is_asking = self._is_idle = False
            self._client.close()
            self._feed.is_down(True)

    async def stop(self) -> None:
        """Send nothing more; what was not answered is sent again by the next process."""
        self._is_stopping, self._is_idle = True, False
        self._client.close()

    async def _rest(self) -> None:
        """Wait until there is something to send, or the rate allows it."""
        self._client.close()
        wait_s = self._pace.wait_s(clock.boot_s())
        if wait_s is not None:
            await asyncio.sleep(wait_s)
            return
        self._bell.clear()
        self._is_idle = True
        await self._bell.wait()

    # -- sending ----------------------------------------------------------------------------------------------

    def _next(self) -> list[Shipment]:
        """Take the next event that can be sent; two where the first one is doubted."""
        found: list[Shipment] = []
        while not found and self._pace.allowed(clock.boot_s()):
            shipments = self._feed.take(2 if self._doubts.is_trial_due else 1)
            if not shipments:
                break
            for shipment in shipments:
                for index in range(shipment.start, shipment.stop):
                    one = shipment._replace(start=index, stop=index + 1)
                    extra = one.events[index].extra
                    if extra is not None and extra.publish is not None:
                        self._park(one, ONLY_BROKERS)
                    else:
                        found.append(one)
        return found

    async def _send(self, shipments: list[Shipment]) -> None:
        """Send the first one; where the server may not like it, see first whether it takes the other."""
        first, *others = shipments
        for other in others:
            if not await self._ask(other):
                return
        if not await self._ask(first, is_tried=bool(others)):
            return
        self._doubts.clear()

    async def _ask(self, shipment: Shipment, *, is_tried: bool = False) -> bool:
        """Send one event; return whether it is done with. Else all is put back, and the server had its pause.

        ``is_tried``: the server has just taken another one, so it is this one that it does not take.
        """
        event = shipment.events[shipment.start]
        headers, body = self._body.of(event, host=self._client.host, is_stored=shipment.is_stored)
        self._count(event, len(body))
        self._is_asking = True
        self._is_changed.clear()
        try:
            answer = await self._client.send(headers, body)
        except (OSError, UplinkError) as error:
            await self._wait(self._client.problem(error), is_refusal=self._client.is_refusal(error))
            return False
        finally:
            self._is_asking = False
        judged = verdict(answer.status)
        may_pass = judged in ("later", "not_let_in")
        if may_pass and not (is_tried and is_about_event(answer.status)):
            self._doubts.failed(event_id(event), is_about_event=is_about_event(answer.status))
            wall_ns = clock.wall_ns() if clock.is_synced() else None
            least_s = retry_after_s(answer.headers, wall_ns=wall_ns)
            reason = f"the server answers {words_of(answer)}"
            await self._wait(reason, is_refusal=judged == "not_let_in", least_s=least_s)
            return False
        if judged == "taken":
            self._acked += 1
            self._feed.delivered(shipment.batch, shipment.start, shipment.stop)
        else:
            self._park(shipment, refusal_text(answer, is_tried=may_pass))
        self._backoff.reset()
        self._enter("ready", "")
        return True

    def _count(self, event: Event, size_bytes: int) -> None:
        """Count a request, and against the rate."""
        own = event_id(event)
        if own == self._last:
            self._again += 1
        else:
            self._last, self._sent, self._size_bytes = own, self._sent + 1, self._size_bytes + size_bytes
        self._pace.spend(1)

    async def _wait(self, reason: str, *, is_refusal: bool = False, least_s: float = 0.0) -> None:
        """Leave the server alone for a while, or until the configuration changes."""
        wait_s = max(self._backoff.next_s(), least_s, self._least_s)
        is_news = reason != self._reason
        self._enter("refused" if is_refusal else "backoff", reason)
        self._feed.put_back()
        if is_news and not self._is_stopping:
            name = "uplink.refused" if is_refusal else "uplink.unreachable"
            _log.warning(name, uplink=self.name, reason=reason, retry_in_s=round(wait_s, 1))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._is_changed.wait()

    def _park(self, shipment: Shipment, reason: str) -> None:
        self._parked += 1
        self._feed.parked(shipment.batch, shipment.start, shipment.stop, reason)

    def _enter(self, state: UplinkState, reason: str) -> None:
        is_ready, was_ready = state == "ready", self._state == "ready"
        if is_ready is not was_ready:
            self._since_s = clock.boot_s()
            if is_ready and self._state != "connecting":
                _log.info("uplink.mended", uplink=self.name)
        self._state, self._reason = state, reason
        self._feed.is_down(not is_ready)
