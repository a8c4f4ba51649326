"""Commands that are messages to devices behind another broker: published there, on the source's own connection.

Sent at QoS 1 and never again: a connection that ends before the PUBACK leaves it open whether the broker has it. What
the broker acknowledges is done as far as anybody here can know, unless the profile names a reply, which then counts.
With MQTT 5 a broker may say that nobody is subscribed there, which is a refusal.

No I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fieldgate.decide.orders import Job, Outcome, Report, Status
from fieldgate.decide.replies import Replies
from fieldgate.ingest.source_topics import SourceTopics
from fieldgate.mqtt.client_happenings import Announced, reason_text, says
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.packets import Properties, Publish, Reason
from fieldgate_devices.command import Publication

__all__ = ["SourceCommands"]

_OVERHEAD_BYTES = 64  # of a PUBLISH beside topic, payload and properties, at the most


class SourceCommands:
    """Implements `Executor` for one source of a broker. ``kick`` lets the source send."""

    def __init__(self, source: str, topics: SourceTopics, *, is_remapped: bool) -> None:
        self.replies = Replies()
        self.kick: Callable[[], None] = _nobody_sends
        self.reaches = topics.reaches
        self._topics = topics
        self._source = source
        self._is_remapped = is_remapped
        self._is_connected = False
        self._max_packet_bytes: int | None = None
        self._queue: deque[tuple[Job, Report]] = deque()
        self._sent: dict[int, tuple[Job, Report]] = {}  # by packet id

    # -- Executor -------------------------------------------------------------------------------------------------

    def problem(self, job: Job) -> str:
        """See `Executor`."""
        request = job.request
        assert isinstance(request, Publication)
        if self._is_remapped:
            return (
                f"source {self._source!r} gives its topics other names (remap), so that nobody knows where its devices "
                "are told anything"
            )
        if not self._is_connected:
            return f"the broker of source {self._source!r} is not connected"
        size_bytes = len(request.topic.encode()) + len(request.payload) + len(job.order.id.encode()) + _OVERHEAD_BYTES
        if self._max_packet_bytes is not None and size_bytes > self._max_packet_bytes:
            return f"the broker of source {self._source!r} takes no message of {size_bytes:,} bytes"
        return ""

    def execute(self, job: Job, report: Report) -> None:
        """See `Executor`."""
        if problem := self.problem(job):  # it went while the job was recorded
            report(Outcome(Status.REFUSED, problem))
            return
        request = job.request
        assert isinstance(request, Publication)
        if request.reply is not None:
            self.replies.expect(job.mark, request.reply.topic, request.reply, lambda: report(Outcome(Status.DONE)))
        self._queue.append((job, report))
        self.kick()

    def cancel(self, job: Job) -> bool:
        """See `Executor`."""
        self.replies.forget(job.mark)
        before = len(self._queue)
        self._queue = deque(one for one in self._queue if one[0].mark != job.mark)
        return len(self._queue) < before

    def resume(self, job: Job, report: Report) -> bool:
        """See `Executor`. Nothing waits here over a restart."""
        del job, report
        return False

    # -- the source's connection ----------------------------------------------------------------------------------

    def connected(self, *, max_packet_bytes: int | None) -> None:
        """The broker has accepted the connection."""
        self._is_connected = True
        self._max_packet_bytes = max_packet_bytes

    def fill(self, session: ClientSession, now_s: float) -> None:
        """Send what there is room for."""
        while self._queue:
            job, report = self._queue[0]
            request = job.request
            assert isinstance(request, Publication)
            if now_s >= job.expires_at_s:
                self._queue.popleft()
                report(Outcome(Status.REFUSED, "stale: it was too old before it could be sent"))
                continue
            properties = Properties(
                message_expiry_s=max(0, int(job.expires_at_s - now_s)), correlation_data=job.order.id.encode()
            )
            message = Publish(
                request.topic,
                request.payload,
                1,
                request.retain,
                properties=properties if session.version == 5 else None,
            )
            packet_id = session.announce(message, now_s)
            if not packet_id:
                return
            self._topics.publishes(request.topic)
            self._queue.popleft()
            self._sent[packet_id] = job, report

    def announced(self, answer: Announced) -> None:
        """The broker has taken a command, or refused it."""
        job, report = self._sent.pop(answer.packet_id, (None, None))
        if job is None or report is None:
            return
        request = job.request
        assert isinstance(request, Publication)
        if answer.reason == Reason.NO_MATCHING_SUBSCRIBERS:
            self.replies.forget(job.mark)
            report(Outcome(Status.REFUSED, f"no client of that broker is subscribed to {request.topic!r}"))
        elif answer.reason >= Reason.UNSPECIFIED_ERROR:
            self.replies.forget(job.mark)
            report(Outcome(Status.REFUSED, f"the broker refused it: {reason_text(answer.reason)}{says(answer.text)}"))
        elif request.reply is None:
            report(Outcome(Status.DONE, f"the broker of source {self._source!r} has it"))

    def lost(self) -> None:
        """The connection is over."""
        self._is_connected = False
        sent, self._sent = self._sent, {}
        queue, self._queue = self._queue, deque()
        for job, report in sent.values():
            self.replies.forget(job.mark)
            report(Outcome(Status.TIMEOUT, "the connection was lost before the broker acknowledged it"))
        for job, report in queue:
            self.replies.forget(job.mark)
            report(Outcome(Status.REFUSED, f"the broker of source {self._source!r} is not connected"))


def _nobody_sends() -> None:
    """Until the source sets its own."""
