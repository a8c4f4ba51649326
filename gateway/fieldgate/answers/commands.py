"""What the running gateway answers about commands: give one, and what became of those that were given."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Any, Final

import msgspec

from fieldgate import clock
from fieldgate.control import BEAT, Answer, ControlError, Handler
from fieldgate.decide.desk_contract import Refusal
from fieldgate.decide.order_facts import RowQuery, row_facts
from fieldgate.decide.orders import CLI, LONGEST_AGE_S, MAX_ID_CHARS, Order, is_too_deep
from fieldgate.decide.orders import Answer as OrderAnswer
from fieldgate.journal.history import HistoryQuery
from fieldgate.pipeline import Pipeline
from fieldgate_devices.command import argument_of_text

__all__ = ["command_handlers"]

_BEAT_EVERY_S: Final = 3.0
_FOLLOW_EVERY_S: Final = 0.3
_AT_ONCE: Final = 200


class _Give(msgspec.Struct, forbid_unknown_fields=True):
    """``texts`` are arguments as a person types them, read by their type; ``arguments`` are taken as they are."""

    device: str
    name: str
    arguments: dict[str, Any] = {}
    texts: dict[str, str] = {}
    id: str | None = None
    max_age_s: float | None = None
    wait: str = "first"  # none, first (the first answer), final


class _List(msgspec.Struct, forbid_unknown_fields=True):
    device: str | None = None
    since: str | None = None
    status: str | None = None
    count: int = 0
    follow: bool = False


class _Caller:
    """Who typed the command; implements `fieldgate.decide.orders.Hears`. It hears two answers at the most."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[OrderAnswer] = asyncio.Queue()

    def settled(self, order: Order) -> None:
        """Nobody is to be acknowledged."""

    def answered(self, order: Order, answer: OrderAnswer) -> None:
        """See `Hears`."""
        self.answers.put_nowait(answer)


def command_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {
        "command.give": partial(_give, pipeline),
        "command.list": partial(_list, pipeline),
        "command.known": partial(_known, pipeline),
    }


async def _give(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Give a command; each answer is an object of its own."""
    asked = msgspec.convert(request, _Give)
    if asked.id is not None and not 0 < len(asked.id) <= MAX_ID_CHARS:
        raise ControlError(f"an id has 1 to {MAX_ID_CHARS} characters, not {len(asked.id)}")
    if asked.max_age_s is not None and not 0 < asked.max_age_s <= LONGEST_AGE_S:
        raise ControlError("a command may be at most a day old when it is carried out")
    arguments = asked.arguments | _read(pipeline, asked)
    if is_too_deep(arguments):
        raise ControlError("the arguments are nested too deep")
    order = Order(
        device=asked.device,
        name=asked.name,
        arguments=arguments,
        origin=CLI,
        id=asked.id or secrets.token_hex(8),
        is_ours=asked.id is None,
        received_boot_ns=clock.boot_ns(),
        received_wall_ns=clock.wall_ns(),
        max_age_s=asked.max_age_s,
    )
    caller = _Caller()
    pipeline.commands.submit(order, caller)
    if asked.wait == "none" and caller.answers.empty():
        yield {"id": order.id, "device": order.device, "name": order.name, "status": "received", "reason": ""}
        return
    while True:
        try:
            async with asyncio.timeout(_BEAT_EVERY_S):
                answer = await caller.answers.get()
        except TimeoutError:
            yield BEAT
            continue
        yield msgspec.to_builtins(answer)
        if answer.status.is_final or asked.wait != "final":
            return


def _read(pipeline: Pipeline, asked: _Give) -> dict[str, Any]:
    """The arguments that were typed; what nobody knows how to read is left as it is, and refused with its reason."""
    try:
        _, command = pipeline.commands.directory.command(asked.device, asked.name)
    except Refusal:
        return dict(asked.texts)
    specs = command.spec.payload
    return {name: argument_of_text(specs[name], text) if name in specs else text for name, text in asked.texts.items()}


async def _list(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    asked = msgspec.convert(request, _List)
    since = HistoryQuery.of(since=asked.since, device=None, now_wall_ns=clock.wall_ns(), now_journal_s=0.0)
    query = RowQuery(asked.device, since.since_ns, asked.status)
    book = pipeline.commands.core.book
    told: dict[int, str] = {}
    rows = query.newest(book, asked.count)
    beat_at_s = clock.boot_s() + _BEAT_EVERY_S
    while True:
        for place, row in enumerate(rows):
            facts = row_facts(row)
            if told.get(row.number) != facts["status"]:
                told[row.number] = facts["status"]
                yield facts
            if place % _AT_ONCE == 0:
                await asyncio.sleep(0)  # devices first
        if not asked.follow:
            return
        await asyncio.sleep(_FOLLOW_EVERY_S)
        oldest = min(told, default=0)
        told = {number: status for number, status in told.items() if number >= oldest}
        rows = [row for row in book if row.number >= oldest and query.takes(row)]
        if clock.boot_s() >= beat_at_s:
            yield BEAT
            beat_at_s = clock.boot_s() + _BEAT_EVERY_S


async def _known(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """What a device can be told."""
    device = msgspec.convert(request.get("device"), str)
    try:
        found = pipeline.commands.directory.find(device)
    except Refusal as refusal:
        raise ControlError(str(refusal)) from None
    for known in found:
        for name, spec in known.contract.profile.commands.items():
            yield {
                "name": name,
                "profile": known.contract.profile.profile,
                "description": spec.description,
                "arguments": {
                    one: argument.model_dump(mode="json", by_alias=True, exclude_unset=True)
                    for one, argument in spec.payload.items()
                },
            }
