"""The replies by which devices confirm commands: what is waited for, on which topics."""

from __future__ import annotations

from collections.abc import Callable

from fieldgate_devices.command_reply import Reply

__all__ = ["Replies"]


class Replies:
    """Looked at for each read while `is_waiting`; so it costs nothing while nobody waits."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, tuple[Reply, Callable[[], None]]]] = {}  # by topic, then by mark
        self._topics: dict[str, str] = {}  # by mark

    @property
    def is_waiting(self) -> bool:
        """Whether any message may be a reply."""
        return bool(self._waiting)

    def expect(self, mark: str, topic: str, reply: Reply, is_said: Callable[[], None]) -> None:
        """Wait for ``reply`` to the command of this mark on ``topic``; ``is_said`` is called once."""
        self._waiting.setdefault(topic, {})[mark] = reply, is_said
        self._topics[mark] = topic

    def forget(self, mark: str) -> None:
        """Nobody waits for the reply to this command any more."""
        topic = self._topics.pop(mark, None)
        if topic is not None:
            waiting = self._waiting[topic]
            del waiting[mark]
            if not waiting:
                del self._waiting[topic]

    def hear(self, topic: str, payload: bytes) -> None:
        """A device has said this."""
        waiting = self._waiting.get(topic)
        for mark, (reply, is_said) in list(waiting.items()) if waiting else ():
            if reply.is_said_by(payload):
                self.forget(mark)
                is_said()
