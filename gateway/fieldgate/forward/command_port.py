"""Commands over one uplink's connection: subscribed to, received, given to the desk, and answered.

Joins the cores (`CommandSubscription`, `CommandInbox`, `Answers`) to the session of an uplink, which asks it before it
sends events: answers are few, and do not wait behind a window of events. Nothing here costs anything per event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.decide.orders import Answer, Desk, Order, uplink_origin
from fieldgate.forward.answers import Answers
from fieldgate.forward.backlog_watch import BacklogWatch
from fieldgate.forward.command_inbox import CommandInbox, CommandSession
from fieldgate.forward.command_reader import CommandReader
from fieldgate.forward.command_requests import Receipt, Request
from fieldgate.forward.command_subscription import CommandSubscription
from fieldgate.forward.command_topics import CommandTopics, DeviceNames
from fieldgate.forward.status import CommandStatus
from fieldgate.mqtt.client_happenings import Announced, Subscribed, reason_text, says
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.endings import Cause, End

__all__ = ["CommandPort"]

_RECEIVE_MAXIMUM: Final = 32
"""How many commands a server may send before one of them is acknowledged (MQTT 5)."""
_POISONED: Final = 2  # connections in a row that ended over what the server delivered

_log = structlog.get_logger()


class CommandPort:
    """``changed`` lets the uplink send, when something has become due, ``heard`` hears that something has come.

    ``read_on`` is told False when nothing more can be taken for now, and True later. All are the uplink's to set.

    ``away_since_s`` is until when an earlier process is known to have heard the server (boot time), if it is.
    ``receive_maximum`` is how many messages the server may have on the way [MQTT5 3.1.2.11.3].
    """

    receive_maximum: Final = _RECEIVE_MAXIMUM

    def __init__(
        self,
        uplink: str,
        template: str,
        *,
        gateway: str,
        desk: Desk,
        devices: DeviceNames,
        new_id: Callable[[], str],
        away_since_s: float | None = None,
    ) -> None:
        self.changed: Callable[[], None] = _nobody
        self.heard: Callable[[], None] = _nobody
        self.read_on: Callable[[bool], None] = _nobody_reads
        self._uplink = uplink
        self._desk = desk
        self._topics = CommandTopics(template, gateway=gateway)
        self._origin = uplink_origin(uplink)
        self._reader = CommandReader(self._topics, devices, origin=self._origin, new_id=new_id)
        self._subscription = CommandSubscription(self._topics.filter)
        self._answers = Answers(told=desk.told, is_synced=clock.is_synced)
        self._memory = CommandSession()
        self._backlog = BacklogWatch(away_since_s)
        self._inbox: CommandInbox | None = None
        self._has_joined = False
        self._told_problem = ""
        self._told_refusal = False
        self._poisoned = 0
        self._is_paused = False  # nothing is read for now

    @property
    def status(self) -> CommandStatus:
        """How it stands with the commands."""
        tally, subscription = self._memory.tally, self._subscription
        return CommandStatus(
            filter=subscription.filter,
            subscribed=subscription.is_granted,
            problem=subscription.problem,
            received=tally.received - tally.joined - tally.strange,
            refused=tally.refused,
            joined=tally.joined,
            waiting=self._memory.waiting,
            answered=self._answers.sent,
            answers_waiting=len(self._answers),
            answers_dropped=self._answers.dropped,
            answer_refused=self._answers.refusal,
        )

    # -- Replies, and Hears for what an earlier process has taken ------------------------------------------------

    def reply(self, request: Request, answer: Answer, order: Order | None) -> None:
        """See `Replies`."""
        self._answers.add(request, answer, order, default_topic=self._topics.answer(request.topic))
        self.changed()

    def answered(self, order: Order, answer: Answer) -> None:
        """See `Hears`."""
        topic = self._topics.command(order.device, order.name)
        request = Request(topic, order.device, order.name, order.id, order.reply_to, order.correlation)
        self.reply(request, answer, order)

    def settled(self, order: Order) -> None:
        """See `Hears`. What an earlier process did not acknowledge the server sends again, and that joins the order."""

    def join(self) -> None:
        """Hear of what an earlier process has taken; to be called when the uplink starts."""
        if not self._has_joined:
            self._has_joined = True
            self._desk.join(self._origin, self)

    # -- what the uplink tells ------------------------------------------------------------------------------------

    def open_inbox(self, session: ClientSession, *, is_session_present: bool) -> CommandInbox:
        """Make the inbox of a connection that was accepted."""
        if not is_session_present:
            self._memory.forget()
        terms = session.terms
        kept_s = session.settings.session_expiry_s if terms.kept_s is None else terms.kept_s
        self._backlog.connected(is_session_present=is_session_present, kept_s=kept_s if session.version == 5 else None)
        self._is_paused = False
        self._inbox = CommandInbox(
            self._memory,
            self._reader,
            desk=self._desk,
            replies=self,
            receipt=self._receipt,
            changed=self.changed,
        )
        return self._inbox

    def connected(self) -> None:
        """The server has accepted the connection."""
        self._subscription.connected()

    def fill(self, session: ClientSession, now_s: float) -> float | None:
        """Send what is due; return in how many seconds to ask again even if nothing happens."""
        session.acknowledge(now_s)
        self._throttle()
        limit = session.terms.max_packet_bytes
        for reply in self._answers.ready(now_s, window=session.terms.window, max_packet_bytes=limit):
            packet_id = session.announce(reply.message(), now_s)
            if not packet_id:
                break
            self._answers.is_sent(packet_id)
        subscription = self._subscription
        if not subscription.is_granted:
            wanted = subscription.next(now_s, max_packet_bytes=limit)
            if wanted is not None:
                subscription.sent(session.subscribe([wanted], now_s), now_s)
            self._tell()
        inbox, backlog = self._inbox, self._backlog
        if backlog.is_open and inbox is not None:
            is_idle = not inbox.line.in_flight
            if backlog.wants_pong(session, received=self._memory.tally.received, is_idle=is_idle):
                session.ask_pong(now_s)
        waits_s = [self._answers.wakes_in_s(now_s), subscription.wakes_in_s(now_s)]
        return min((one for one in waits_s if one is not None), default=None)

    def subscribed(self, happening: Subscribed, *, version: int, now_s: float) -> None:
        """A SUBACK has come."""
        if not self._subscription.answered(happening.packet_id, happening.reasons, version=version, now_s=now_s):
            return
        self._tell()
        if self._subscription.is_granted and self._told_problem:
            self._told_problem = ""
            _log.info("uplink.takes_commands", uplink=self._uplink, filter=self._subscription.filter)

    def announced(self, happening: Announced, now_s: float) -> bool:
        """A PUBACK of no event has come; return whether it was that of an answer."""
        why = reason_text(happening.reason) + says(happening.text)
        is_answer = self._answers.answered(happening.packet_id, happening.reason, now_s, why=why)
        self._tell_refusal()
        return is_answer

    def lost(self, session: ClientSession, end: End, now_s: float) -> bool:
        """The connection is over; return whether its end is to be blamed on commands, and not on an event."""
        is_by_server = end.cause is Cause.SERVER
        is_closed = self._subscription.lost(now_s, is_by_server=is_by_server)
        had_answers = self._answers.is_out
        self._answers.lost(is_by_server=is_by_server and not is_closed)
        self._backlog.lost(session.heard_s)
        self._inbox = None
        self._tell()
        self._tell_refusal()
        self._poisoned = self._poisoned + 1 if end.is_violation else 0
        if self._poisoned >= _POISONED:
            self._poisoned = 0
            session.forget()
            _log.warning("uplink.session_given_up", uplink=self._uplink, reason=end.text)
        return is_closed or (is_by_server and had_answers)

    def _throttle(self) -> None:
        inbox = self._inbox
        if inbox is None or not (inbox.has_room if self._is_paused else inbox.is_full):
            return
        self._is_paused = not self._is_paused
        self.read_on(not self._is_paused)

    # -- telling --------------------------------------------------------------------------------------------------

    def _receipt(self, now_s: float) -> Receipt:
        """What comes now was received now, and is as old as the session may have kept it."""
        self.heard()
        return Receipt(
            boot_ns=round(now_s * 1e9),
            wall_ns=clock.wall_ns(),
            is_synced=clock.is_synced(),
            oldest_s=self._backlog.oldest_s(now_s),
            is_inherited=self._backlog.is_inherited,
        )

    def _tell(self) -> None:
        """Say once why no commands come."""
        problem = self._subscription.problem
        kind = problem.partition(";")[0]
        if problem and kind != self._told_problem:
            self._told_problem = kind
            _log.warning(
                "uplink.commands_refused", uplink=self._uplink, filter=self._subscription.filter, reason=problem
            )

    def _tell_refusal(self) -> None:
        if self._answers.refusal and not self._told_refusal:
            self._told_refusal = True
            _log.warning("uplink.answer_refused", uplink=self._uplink, reason=self._answers.refusal)


def _nobody() -> None:
    """Before there is an uplink."""


def _nobody_reads(_is_reading: bool) -> None:
    """Before there is an uplink."""
