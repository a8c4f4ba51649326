"""A server whose sessions and retained messages outlive it: it can be stopped, or crash, and start again."""

from __future__ import annotations

import copy
from itertools import count
from typing import Any

from fieldgate.mqtt.local_broker import BrokerLimits
from fieldgate.mqtt.memory import BrokerMemory
from fieldgate.mqtt.packets import Properties
from fieldgate.mqtt.stored import Changes, StoredMessage, StoredState
from session_kit import Client, Server

__all__ = ["BASE_S", "KEPT", "Disk", "Gateway"]

KEPT = Properties(session_expiry_s=3600)
BASE_S = 50_000.0


class Disk:
    """What the file holds, in memory; `fieldgate.journal.session_file` is tested to do the same."""

    def __init__(self) -> None:
        self.state = StoredState()

    def apply(self, changes: Changes) -> None:
        state = self.state
        for number, session in changes.sessions.items():
            if session is None:
                state.sessions.pop(number, None)
                state.deliveries.pop(number, None)
            else:
                state.sessions[number] = session
        for name in ("messages", "retained"):
            rows: dict[Any, StoredMessage] = getattr(state, name)
            for key, row in getattr(changes, name).items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
        for (number, position), delivery in changes.deliveries.items():
            many = state.deliveries.setdefault(number, {})
            if delivery is None:
                many.pop(position, None)
            else:
                many[position] = delivery
        for number in list(state.deliveries):
            assert number in state.sessions or not state.deliveries[number], "a delivery of nobody"
            state.deliveries[number] = dict(sorted(state.deliveries[number].items()))

    def check(self) -> None:
        """Every message that is needed is there, and no other."""
        wanted = {one.message for many in self.state.deliveries.values() for one in many.values()} - {0}
        assert wanted == self.state.messages.keys()


class Gateway:
    """A server with a memory, which can be stopped, or crash, and start again."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.boots = count()
        self.start()

    def start(
        self, *, base_s: float = BASE_S, now_s: float = 1000.0, broker_limits: BrokerLimits | None = None
    ) -> None:
        self.server = Server(broker_limits=broker_limits)
        self.server.now_s = now_s
        self.memory = BrokerMemory(self.server.broker, base_s=base_s)
        self.memory.restore(copy.deepcopy(self.disk.state), max_bytes=2**20, now_s=now_s)

    def look(self) -> Changes:
        """What happens once a second."""
        self.server.now_s += 1
        changes = self.memory.changes(self.server.now_s)
        self.disk.apply(changes)
        return changes

    def stop(self) -> None:
        self.disk.apply(self.memory.changes(self.server.now_s, is_last=True))
        self.disk.check()

    def connect(self, client_id: str = "c", *, version: int = 5, properties: Properties = KEPT) -> Client:
        return self.server.connect(client_id, version=version, clean=False, properties=properties)

    def publish(self, *numbers: int, qos: int = 1, topic: str = "t", retain: bool = False, **properties: Any) -> None:
        for number in numbers:
            self.server.broker.publish(
                topic,
                b"%d" % number,
                qos=qos,
                retain=retain,
                properties=Properties(**properties) if properties else None,
                now_s=self.server.now_s,
            )
