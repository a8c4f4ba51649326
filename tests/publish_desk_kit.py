"""Commands that are published to clients of the gateway, and what a stored session is made of, for tests."""

from __future__ import annotations

from fieldgate.decide.orders import Job, Order, Outcome, Status
from fieldgate.decide.publish_executor import PublishExecutor
from fieldgate.decide.replies import Replies
from fieldgate.mqtt.packets import Properties, Publish, Subscription
from fieldgate.mqtt.stored import Changes, StoredDelivery, StoredState
from fieldgate_devices.command import Publication
from fieldgate_devices.command_reply import Reply
from session_kit import Client, Server

TOPIC = "boiler/b7/set"


class Desk:
    """Gives jobs and hears of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.replies = Replies()
        self.executor = PublishExecutor(server.broker, self.replies, lambda: server.now_s)
        server.broker.returning = self.executor.returning
        self.outcomes: list[Outcome] = []

    def job(self, *, qos: int = 1, mark: str = "m1", max_age_s: float = 60.0, reply: Reply | None = None) -> Job:
        order = Order(
            device="b7", name="set", arguments={}, origin="cli", id="id-1", received_boot_ns=0, received_wall_ns=0
        )  # fmt: skip
        now_s = self.server.now_s
        return Job(
            order=order,
            mark=mark,
            request=Publication(TOPIC, b'{"target":55}', qos, False, reply),
            topic="boiler/b7/telemetry",
            expires_at_s=now_s + max_age_s,
            gives_up_at_s=now_s + 10,
        )

    def execute(self, job: Job) -> None:
        self.executor.execute(job, self.outcomes.append)

    def save(self, problem: str = "") -> None:
        """The sessions are on disk, or not."""
        assert self.executor.has_unsaved
        self.executor.saved(self.executor.unsaved(), problem)

    @property
    def statuses(self) -> list[Status]:
        return [one.status for one in self.outcomes]


def device(
    server: Server, name: str = "b7", *filters: str, version: int = 5, qos: int = 1, kept: bool = False
) -> Client:
    properties = Properties(session_expiry_s=3600) if kept and version == 5 else None
    client = server.connect(name, version=version, clean=not kept, properties=properties)
    client.subscribe(*(Subscription(one, qos) for one in filters or (TOPIC,)))
    return client


def got(client: Client) -> Publish:
    (packet,) = client.received()
    assert isinstance(packet, Publish)
    return packet


def state_of(changes: Changes) -> StoredState:
    deliveries: dict[int, dict[int, StoredDelivery]] = {}
    for (session, position), one in changes.deliveries.items():
        if one is not None:
            deliveries.setdefault(session, {})[position] = one
    return StoredState(
        sessions={key: one for key, one in changes.sessions.items() if one is not None},
        deliveries=deliveries,
        messages={key: one for key, one in changes.messages.items() if one is not None},
        retained={},
    )
