"""Read a PUBLISH as a command: for whom, which, with what, from whom, and how old it may be."""

from __future__ import annotations

from collections.abc import Callable

from fieldgate.decide.orders import MAX_ID_CHARS, Answer, Order
from fieldgate.forward.command_payload import BadCommand, read_payload
from fieldgate.forward.command_requests import Receipt, Request
from fieldgate.forward.command_topics import Ambiguous, CommandTopics, DeviceNames
from fieldgate.mqtt.packets import Properties, Publish

__all__ = ["CommandReader", "Doubtful"]

_NS = 1_000_000_000
_MAX_NAME = 512
_NONE = Properties()


class Doubtful(Exception):
    """Nobody can tell whether a command was carried out before; the text is for whoever sent it."""


class CommandReader:
    """``origin`` is who all of them come from; ``new_id`` makes ids for commands that bring none."""

    def __init__(self, topics: CommandTopics, devices: DeviceNames, *, origin: str, new_id: Callable[[], str]) -> None:
        self._topics = topics
        self._devices = devices
        self._origin = origin
        self._new_id = new_id

    def request(self, packet: Publish) -> Request | None:
        """Return what an answer needs, whatever the payload is; None for a topic that is none of ours."""
        levels = self._topics.read(packet.topic)
        if levels is None:
            return None
        properties = packet.properties or _NONE
        reply_to, remark = properties.response_topic, ""
        if reply_to is not None:
            remark = self._topics.problem(reply_to)
        return Request(
            topic=packet.topic,
            device=levels[0],
            name=levels[1],
            id=_id_of(properties.correlation_data) or "",
            reply_to=None if remark else reply_to,
            correlation=properties.correlation_data,
            remark=remark,
        )

    def order(self, packet: Publish, request: Request, receipt: Receipt, *, is_doubtful: bool) -> Order:
        """Return the command.

        Raises:
            BadCommand: it is none.
            Doubtful: ``is_doubtful``, an earlier process may have had it, and it has no id.
        """
        if request.correlation and not request.id:
            raise BadCommand(f"the correlation data is longer than an id may be, {MAX_ID_CHARS} characters")
        if not request.device or not request.name:
            raise BadCommand("the topic names no device or no command")
        if max(len(request.device), len(request.name)) > _MAX_NAME:
            raise BadCommand(f"the name of a device or a command has at most {_MAX_NAME} characters")
        asked = read_payload(packet.payload)
        own_id = request.id or asked.id
        if is_doubtful and not own_id:
            raise Doubtful(
                "the broker has sent it again after a restart of the gateway; without an id nobody can tell whether it "
                "was carried out before, so it is not repeated"
            )
        try:
            device = self._devices.of_level(request.device)
        except Ambiguous as problem:
            raise BadCommand(str(problem)) from problem
        oldest_s, made_at_ns = receipt.oldest_s, asked.made_at_ns
        age_s = oldest_s
        if made_at_ns is not None and receipt.is_synced:
            oldest_s, age_s = 0.0, max(0.0, (receipt.wall_ns - made_at_ns) / _NS)
        limits_s = [] if asked.max_age_s is None else [asked.max_age_s]
        if packet.properties is not None and packet.properties.message_expiry_s is not None:
            limits_s.append(age_s + packet.properties.message_expiry_s)  # what is left of it [MQTT-3.3.2-6]
        return Order(
            device=device,
            name=request.name,
            arguments=asked.arguments,
            origin=self._origin,
            id=own_id or self._new_id(),
            is_ours=not own_id,
            received_boot_ns=receipt.boot_ns - round(oldest_s * _NS),
            received_wall_ns=receipt.wall_ns,
            made_at_ns=made_at_ns,
            max_age_s=min(limits_s, default=None),
            reply_to=request.reply_to,
            correlation=request.correlation,
        )

    def trace(self, request: Request, answer: Answer, receipt: Receipt) -> Order:
        """Return what is to be recorded of a message that is no command."""
        return Order(
            device=request.device[:_MAX_NAME],
            name=request.name[:_MAX_NAME],
            arguments={},
            origin=self._origin,
            id=answer.id,
            received_boot_ns=receipt.boot_ns,
            received_wall_ns=receipt.wall_ns,
        )


def _id_of(correlation: bytes | None) -> str | None:
    """Return correlation data as an id: the text that it is, else hexadecimal; None where that is too long."""
    if not correlation:
        return None
    try:
        text = correlation.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        text = correlation.hex()
    return text if len(text) <= MAX_ID_CHARS else None
