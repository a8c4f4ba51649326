"""Commands that are messages: published to whoever of the local clients subscribes to the device's command topic.

Done when the device acknowledges (QoS 0: once it is written), or replies as its profile says. A device that is away
gets it from its session when it returns: accepted once the session is on disk, and a later answer when it
acknowledges. The message expires with the command, so that who returns later never gets a stale one [MQTT5 3.3.2.3.3].

Before a device that returns is sent a command from its session, that session without it is on disk: whatever happens
then, an earlier process's session holds only what was never sent. What was sent and not acknowledged a client that
resumes its session gets again with DUP, as MQTT has it [MQTT-4.4.0-1], while this process lives, and not afterwards.

Sans-io: the owner saves the sessions while `has_unsaved`, and says so by `saved`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from fieldgate.decide.orders import Job, Outcome, Report, Status
from fieldgate.decide.replies import Replies
from fieldgate.mqtt.delivery import Delivery
from fieldgate.mqtt.message import Fate, Message, Watch
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.reach import Reach
from fieldgate.mqtt.session_state import SessionState
from fieldgate_devices.command import Publication
from fieldgate_devices.command_reply import Reply

__all__ = ["MARK", "CommandBroker", "PublishExecutor"]

MARK: Final = "fieldgate-command"
"""The user property by which a command's message is known again after a restart."""

_DONE: Final = Outcome(Status.DONE)


class CommandBroker(Protocol):
    """The local broker; see `fieldgate.mqtt.local_broker.LocalBroker`."""

    @property
    def sessions(self) -> Iterable[SessionState]:
        """All sessions."""

    def reach(self, topic: str, qos: int) -> list[Reach]:
        """Who would get a message."""

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None,
        watch: Watch | None,
        now_s: float,
    ) -> Message:
        """Hand one message to whoever subscribes to its topic."""

    def withdraw(self, message: Message, client_ids: Iterable[str]) -> bool:
        """Take it back; return whether it has left for any of them."""

    def go_on(self, state: SessionState, delivery: Delivery, now_s: float) -> None:
        """Deliver what was taken out of a session's queue."""


class _Way:
    """One command on its way. ``waiting`` are those whose answer is not there yet."""

    __slots__ = ("client_ids", "has_left", "is_said", "job", "message", "reply", "report", "waiting")

    def __init__(self, job: Job, report: Report, reply: Reply | None) -> None:
        self.job = job
        self.report = report
        self.reply = reply
        self.message: Message | None = None
        self.client_ids: tuple[str, ...] = ()
        self.waiting: set[str] = set()
        self.has_left = False  # somebody has it
        self.is_said = False  # that it waits for a device that is away


class PublishExecutor:
    """Implements `Executor`; ``now_s`` is the boot time."""

    def __init__(self, broker: CommandBroker, replies: Replies, now_s: Callable[[], float]) -> None:
        self._broker = broker
        self._replies = replies
        self._now_s = now_s
        self._ways: dict[str, _Way] = {}  # by mark
        self._unsaved: dict[str, _Way] = {}
        self._leaving: list[tuple[SessionState, Delivery]] = []  # as soon as the session without them is on disk
        self._leaving_asked = 0  # how many of them `unsaved` has named
        self._behind: list[tuple[Job, Report]] = []  # what came meanwhile for the same clients

    # -- Executor -------------------------------------------------------------------------------------------------

    def problem(self, job: Job) -> str:
        """See `Executor`."""
        request = job.request
        assert isinstance(request, Publication)
        reach = self._broker.reach(request.topic, request.qos)
        if not reach:
            return f"no client of this gateway is subscribed to {request.topic!r}"
        if not any(one.is_connected or one.is_kept for one in reach):
            return f"{reach[0].name!r}, which subscribes to {request.topic!r}, is away, and its session keeps nothing"
        return ""

    def execute(self, job: Job, report: Report) -> None:
        """See `Executor`."""
        request = job.request
        assert isinstance(request, Publication)
        problem = self.problem(job)
        if problem:  # they went while it was recorded
            report(Outcome(Status.REFUSED, problem))
            return
        reach = [one for one in self._broker.reach(request.topic, request.qos) if one.is_connected or one.is_kept]
        if self._leaving and self._are_leaving(client_id for one in reach for client_id in one.client_ids):
            self._behind.append((job, report))
            return
        way = self._ways[job.mark] = _Way(job, report, request.reply)
        way.waiting = {one.name for one in reach}
        way.client_ids = tuple(client_id for one in reach for client_id in one.client_ids)
        if way.reply is not None:
            self._replies.expect(job.mark, way.reply.topic, way.reply, partial(self._confirmed, way))
        now_s = self._now_s()
        way.message = self._broker.publish(
            request.topic,
            request.payload,
            qos=request.qos,
            retain=request.retain,
            properties=Properties(
                message_expiry_s=max(0, int(job.expires_at_s - now_s)),
                correlation_data=job.order.id.encode(errors="replace"),
                user=((MARK, job.mark),),
            ),
            watch=partial(self._heard, way),
            now_s=now_s,
        )
        if job.mark in self._ways and any(not one.is_connected and one.name in way.waiting for one in reach):
            self._unsaved[job.mark] = way

    def cancel(self, job: Job) -> bool:
        """See `Executor`."""
        way = self._ways.get(job.mark)
        if way is None:
            before = len(self._behind)
            self._behind = [one for one in self._behind if one[0].mark != job.mark]
            return len(self._behind) < before
        self._forget(way)
        return not self._take_back(way)

    def resume(self, job: Job, report: Report) -> bool:
        """See `Executor`. Only what is in a session on disk is there after a restart; what was sent may be done."""
        way = _Way(job, report, None)
        for state in self._broker.sessions:
            for delivery in state.outbound.queue:
                if _mark_of(delivery.message) != job.mark:
                    continue
                way.message = delivery.message
                way.client_ids += (state.client_id,)
                way.waiting.add(state.client_id)
                delivery.told = partial(self._heard, way, state.client_id)
        if not way.waiting:
            return False
        way.is_said = True
        self._ways[job.mark] = way
        return True

    def resumed(self) -> None:
        """All that goes on was resumed: what an earlier process left beside that must not be sent again."""
        for state in self._broker.sessions:
            outbound = state.outbound
            sent, queued = list(outbound.in_flight.values()), list(outbound.queue)
            for delivery in (*sent, *(one for one in queued if _mark_of(one.message) not in self._ways)):
                if _mark_of(delivery.message):
                    self._broker.withdraw(delivery.message, [state.client_id])

    # -- devices that return --------------------------------------------------------------------------------------

    def returning(self, state: SessionState) -> None:
        """A client takes up its session: the commands that wait there leave once that is on disk, in their order."""
        if self._ways:
            waiting = [one for one in state.outbound.queue if _mark_of(one.message) in self._ways]
            for one in waiting:
                self._broker.withdraw(one.message, [state.client_id])
            self._leaving += [(state, one) for one in waiting]

    def _are_leaving(self, client_ids: Iterable[str]) -> bool:
        return not {state.client_id for state, _ in self._leaving}.isdisjoint(client_ids)

    def _leave(self, problem: str) -> None:
        """The sessions without those that were asked for are on disk, or cannot be: send them, or do not."""
        ready, self._leaving = self._leaving[: self._leaving_asked], self._leaving[self._leaving_asked :]
        self._leaving_asked = 0
        for state, delivery in ready:
            way = self._ways.get(_mark_of(delivery.message))
            if way is None:  # given up meanwhile
                continue
            self._unsaved.pop(way.job.mark, None)
            if problem:
                self._forget(way)
                status = Status.TIMEOUT if self._take_back(way) else Status.REFUSED
                way.report(Outcome(status, f"that it leaves cannot be recorded, so it was not sent: {problem}"))
            else:
                self._broker.go_on(state, delivery, self._now_s())
        behind, self._behind = self._behind, []
        for job, report in behind:
            self.execute(job, report)

    # -- what comes of it -----------------------------------------------------------------------------------------

    def _heard(self, way: _Way, name: str, fate: Fate) -> None:
        """A client has it, or will not get it. Others than those who were meant may have got it, too."""
        if self._ways.get(way.job.mark) is not way or name not in way.waiting:
            return
        way.waiting.discard(name)
        if fate is Fate.REFUSED or fate is Fate.LOST:
            what = "refused it" if fate is Fate.REFUSED else "will not get it: it is too large, or too much waits there"
            self._forget(way)
            has_left = self._take_back(way) or fate is Fate.REFUSED
            status = Status.TIMEOUT if way.has_left or (has_left and fate is Fate.LOST) else Status.REFUSED
            way.report(Outcome(status, f"{name!r} {what}"))
            return
        way.has_left = True
        if not way.waiting and way.reply is None:
            self._forget(way)
            way.report(_DONE)

    def _confirmed(self, way: _Way) -> None:
        """The device has replied."""
        self._forget(way)
        way.report(_DONE)

    # -- sessions on disk -----------------------------------------------------------------------------------------

    @property
    def has_unsaved(self) -> bool:
        """Whether commands wait for their sessions to be on disk: to be told as accepted, or to leave."""
        return bool(self._unsaved or self._leaving)

    def unsaved(self) -> list[str]:
        """Return the marks of these commands."""
        self._leaving_asked = len(self._leaving)
        return [*self._unsaved, *(_mark_of(delivery.message) for _, delivery in self._leaving)]

    def saved(self, marks: Iterable[str], problem: str) -> None:
        """The sessions of these commands are on disk as they were, or cannot be, for the reason ``problem``."""
        if self._leaving_asked:
            self._leave(problem)
        for mark in marks:
            way = self._unsaved.pop(mark, None)
            if way is None or self._ways.get(mark) is not way:
                continue
            if not problem:
                way.is_said = True
                way.report(Outcome(Status.ACCEPTED, "the device is away; it waits in its session"))
                continue
            self._forget(way)
            has_left = self._take_back(way)
            reason = f"the device is away, and it cannot be kept safe for it: {problem}"
            way.report(Outcome(Status.TIMEOUT if has_left else Status.REFUSED, reason))

    def _take_back(self, way: _Way) -> bool:
        """Return whether it has left for anybody."""
        has_left = way.has_left
        if way.message is not None:
            has_left = self._broker.withdraw(way.message, way.client_ids) or has_left
        return has_left

    def _forget(self, way: _Way) -> None:
        mark = way.job.mark
        self._ways.pop(mark, None)
        self._unsaved.pop(mark, None)
        self._replies.forget(mark)


def _mark_of(message: Message) -> str:
    properties = message.properties
    if message.origin is not None or properties is None:
        return ""
    return next((text for name, text in properties.user if name == MARK), "")
