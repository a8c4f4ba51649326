"""Go the whole way to a server, as an uplink or a source would: name, route, TCP, proxy, TLS, WebSocket, MQTT.

It stops at the first thing that fails, and says what failed. A webhook is connected to and asked nothing: whatever is
sent to one may wake somebody up.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from fieldgate import clock
from fieldgate.config.broker import BrokerConfig
from fieldgate.config.certificates import read_validity
from fieldgate.config.far_side import FarSide
from fieldgate.doctor.ask_broker import MOST_WAIT_S, BrokerAnswer, ask_broker
from fieldgate.doctor.broker_checks import BrokerWishes, broker_findings
from fieldgate.doctor.far_side_advice import ADVICE, CLOCK_FIRST
from fieldgate.doctor.finding import Figure, Finding
from fieldgate.doctor.tls_facts import TlsFacts, agreed_on, shown_certificate
from fieldgate.doctor.tls_reasons import reason_of
from fieldgate.errors import UplinkError
from fieldgate.net.connect_errors import Stage
from fieldgate.net.dialler import Dialler
from fieldgate.net.link import Link
from fieldgate.net.look_up import LookUp

__all__ = ["FarSideVisit", "examine_far_side"]

_ENDS_SOON_DAYS: Final = 14
_LOG_IN: Final = frozenset({"username", "password", "sas", "headers"})
_ABOUT_TIME: Final = frozenset({"certificate_expired", "certificate_not_yet_valid"})
_SHOWN_AGAIN: Final = _ABOUT_TIME | {"certificate_wrong_host", "certificate_unknown_authority"}


@dataclass(frozen=True, slots=True)
class FarSideVisit:
    """Where to go, and what to ask: ``broker`` is None for a webhook, ``wishes`` are what a broker must allow.

    ``left_out``: the keys of it that are wrong, or could not be looked at from here (a credential of the service).
    """

    about: str
    far_side: FarSide
    broker: BrokerConfig | None = None
    wishes: BrokerWishes = field(default_factory=BrokerWishes)
    is_version_fixed: bool = False
    left_out: frozenset[str] = frozenset()


async def examine_far_side(
    visit: FarSideVisit, *, is_clock_set: bool, tell: Callable[[str], None] = lambda _text: None
) -> list[Finding]:
    """Return what was found on the way, as far as it led."""
    walk = _Walk(visit, is_clock_set=is_clock_set, tell=tell)
    await walk.go()
    return walk.found


class _Walk:
    """One way to one server; ``found`` grows as it is gone."""

    def __init__(self, visit: FarSideVisit, *, is_clock_set: bool, tell: Callable[[str], None]) -> None:
        self.found: list[Finding] = []
        self._visit = visit
        self._is_clock_set = is_clock_set
        self._tell = tell
        self._place = visit.far_side.place
        self._patience_s = min(visit.far_side.connect_timeout, MOST_WAIT_S)
        proxy = visit.far_side.proxy
        self._first = (proxy.place.host, proxy.place.port) if proxy is not None else self._place[:2]
        self._dialler = Dialler(visit.far_side, max_packet_bytes=256 * 1024)

    async def go(self) -> None:
        """Go on while there is a way."""
        if self._visit.left_out - _LOG_IN:
            keys = ", ".join(f"'{key}'" for key in sorted(self._visit.left_out))
            self._add("not_gone", f"the way to {self._dialler.broker} was not gone: {keys} cannot be used here",
                      "run this as the service does: CREDENTIALS_DIRECTORY=FOLDER fieldgate doctor")  # fmt: skip
            return
        addresses = await self._look_up()
        if not addresses or not self._has_route(addresses):
            return
        self._own_certificate()
        self._tell(f"{self._visit.about}: connecting to {self._dialler.broker}")
        try:
            await self._connect()
        except (OSError, UplinkError, ValueError) as error:
            await self._failed(error)

    # -- name and route ------------------------------------------------------------------------------------------

    async def _look_up(self) -> list[str]:
        host, port = self._first
        with suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        self._tell(f"{self._visit.about}: looking up {host}")
        began_s = clock.boot_s()
        try:
            async with asyncio.timeout(self._patience_s):
                addresses = await LookUp(host, port).addresses()
        except OSError as error:
            self._dialler.stage = Stage.LOOK_UP
            self._add(reason_of(error, Stage.LOOK_UP), self._dialler.problem(error), host=host)
            return []
        took_ms = (clock.boot_s() - began_s) * 1e3
        self._add("name_found", f"{host} is {', '.join(addresses[:4])} ({took_ms:.0f} ms)", addresses=addresses,
                  look_up_ms=round(took_ms, 1))  # fmt: skip
        return addresses

    def _has_route(self, addresses: list[str]) -> bool:
        """Whether the kernel knows a way to one of them; nothing is sent by connecting a UDP socket."""
        error: OSError | None = None
        for address in addresses:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                with socket.socket(kind, socket.SOCK_DGRAM) as probe:
                    probe.connect((address, self._first[1]))
                    self._add("route", f"the way to {address} begins at {probe.getsockname()[0]}", address=address)
                    return True
            except OSError as failure:
                error = failure
        assert error is not None
        self._add("no_route", f"there is no way to {', '.join(addresses[:4])}: {error.strerror or error}")
        return False

    # -- the connection ------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        broker = self._visit.broker
        if broker is None or broker.sas is not None or self._visit.left_out:
            guest = _Guest()
            async with asyncio.timeout(self._patience_s):
                await self._dialler.open(guest)
            self._tls(guest.tls)
            guest.leave()
            self._not_asked(broker)
            return
        answer = await ask_broker(broker, self._dialler, is_version_fixed=self._visit.is_version_fixed)
        self._tls(answer.tls)
        self._judge(answer)

    def _not_asked(self, broker: BrokerConfig | None) -> None:
        if broker is None:
            self._add("connects", f"{self._dialler.broker} can be connected to; no request was sent, which could alert "
                      "somebody")  # fmt: skip
        else:
            why, do = "its token is for one client id only, the gateway's own", ""
            if broker.sas is None:
                why = f"'{sorted(self._visit.left_out)[0]}' cannot be read from here"
                do = ADVICE["log_in_not_tried"]
            seen = f"{self._dialler.broker} can be connected to; the log-in was not tried: {why}"
            self._add("log_in_not_tried", seen, do)

    def _judge(self, answer: BrokerAnswer) -> None:
        visit = self._visit
        self.found += broker_findings(answer, visit.wishes, about=visit.about, broker=self._dialler.broker)

    def _tls(self, facts: TlsFacts | None) -> None:
        if facts is None:
            return
        figures: dict[str, Figure] = {"version": facts.version, "cipher": facts.cipher, "names": list(facts.names),
                                      "issuer": facts.issuer}  # fmt: skip
        end, days = "", None
        if facts.not_after is not None:
            days = int((facts.not_after.timestamp() - clock.wall_ns() / 1e9) // 86_400)
            end = f", valid for {days:,} days more ({facts.not_after:%Y-%m-%d})"
            figures |= {"not_after": facts.not_after.isoformat(), "days_left": days}
        names = ", ".join(facts.names[:3])
        seen = f"{facts.version} with a certificate for {names} by {facts.issuer or 'an authority without a name'}{end}"
        if days is not None and days < _ENDS_SOON_DAYS:
            self._add("certificate_ends_soon", seen, "the server's owner must renew it before", **figures)
        else:
            self._add("tls", seen, None, **figures)

    def _own_certificate(self) -> None:
        path: Path | None = self._visit.far_side.certificate
        if path is None:
            return
        with suppress(OSError, ValueError):  # what is wrong with the file, connecting says
            validity = read_validity(path)
            now = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC)
            days = int((validity.not_after - now).total_seconds() // 86_400)
            seen = f"our own certificate {path} is valid until {validity.not_after:%Y-%m-%d %H:%M} UTC"
            figures: dict[str, Figure] = {
                "path": str(path),
                "not_after": validity.not_after.isoformat(),
                "days_left": days,
            }
            if now > validity.not_after:
                advice = "renew it; a new file is taken at the next connect"
                self._add("own_certificate_expired", f"{seen}: it has expired", advice, **figures)
            elif days < _ENDS_SOON_DAYS:
                self._add(
                    "own_certificate_ends_soon", seen, "renew it; a new file is taken at the next connect", **figures
                )

    # -- failure -------------------------------------------------------------------------------------------------

    async def _failed(self, error: BaseException) -> None:
        reason = "unusable" if self._is_ours(error) else reason_of(error, self._dialler.stage)
        seen = self._dialler.problem(error)
        figures: dict[str, Figure] = {"stage": self._dialler.stage.name.lower()}
        advice = ADVICE[reason]
        if reason in _SHOWN_AGAIN and self._visit.far_side.proxy is None:
            name = self._visit.far_side.server_name or self._place.host
            shown = await shown_certificate(self._place.host, self._place.port, name)
            if shown is not None:
                first, last = shown.validity
                names = ", ".join(shown.names[:5]) or "no host"
                seen += f"; it is for {names}, valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
                figures |= {
                    "names": list(shown.names),
                    "not_before": first.isoformat(),
                    "not_after": last.isoformat(),
                }
        if reason in _ABOUT_TIME and not self._is_clock_set:
            advice = CLOCK_FIRST
        self._add(reason, seen, advice, **figures)

    def _is_ours(self, error: BaseException) -> bool:
        """Whether it failed before anything was sent: a file of ours."""
        is_answered = self._dialler.stage in {Stage.PROXY, Stage.WEBSOCKET, Stage.MQTT}
        return isinstance(error, UplinkError | ValueError) and not isinstance(error, ssl.SSLError) and not is_answered

    def _add(self, reason: str, seen: str, advice: str | None = None, **figures: Figure) -> None:
        do = ADVICE.get(reason, "") if advice is None else advice
        self.found.append(Finding(f"uplink.{reason}", seen, do, self._visit.about, figures))


class _Guest:
    """Comes, looks at TLS, and goes; the owner of a link."""

    def __init__(self) -> None:
        self.tls: TlsFacts | None = None
        self._link: Link | None = None

    def leave(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    def link_made(self, link: Link) -> None:
        """See what was agreed on."""
        self._link = link
        self.tls = None if link.tls is None else agreed_on(link.tls)

    def link_received(self, link: Link, chunk: bytes) -> None:
        """Nothing was asked."""

    def link_writable(self, link: Link) -> None:
        """Nothing is written."""

    def link_lost(self, link: Link, error: Exception | None) -> None:
        """The server does not wait for a request."""
