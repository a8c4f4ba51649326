"""``fieldgate modbus``: for whoever connects a device: read registers of a unit, find out which units answer."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from collections.abc import Callable, Sequence
from random import Random
from typing import Annotated, Any, Final, Literal, get_args

import typer
from pydantic import ValidationError

from fieldgate.cli.options import AsJson
from fieldgate.cli.words import count
from fieldgate.config.modbus import ModbusSourceConfig
from fieldgate.errors import FieldgateError
from fieldgate.ingest.modbus_dialogue import Channel
from fieldgate.ingest.modbus_unit import exception_name
from fieldgate.ingest.modbus_wire import Answer, Bad, Refused, Words
from fieldgate_devices.files.quantities import parse_duration
from fieldgate_devices.modbus import Register, Request
from fieldgate_devices.modbus.spec import MAX_BITS, MAX_WORDS, RegisterType
from fieldgate_devices.modbus.words import WORDS, text_of

__all__ = ["register"]

_LAST_UNIT: Final = 247
_KINDS: Final = [one for one in get_args(RegisterType) if one in WORDS]
_BIT_TABLES: Final = frozenset({"coil", "discrete"})

Place = Annotated[
    str, typer.Argument(metavar="URL|PORT", help="tcp://HOST[:PORT], rtu+tcp://HOST:PORT, or a serial port.")
]
Baud = Annotated[int, typer.Option(metavar="N", help="Of a serial port: bits per second.")]
Parity = Annotated[str, typer.Option(metavar="WORD", help="Of a serial port: none, even or odd.")]
Stopbits = Annotated[int, typer.Option(metavar="N", min=1, max=2, help="Of a serial port.")]
Timeout = Annotated[str, typer.Option(metavar="TIME", help="How long a unit may take to answer.")]


class NoAnswer(FieldgateError):
    """A unit did not answer, or not with what was asked."""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Modbus devices: what is in their registers, and who answers.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("read", short_help="Read registers of a unit, and show what they may mean.")(_read)
    group.command("scan", short_help="Ask all units of a bus or server, and name those that answer.")(_scan)
    app.add_typer(group, name="modbus")


def _read(
    place: Place,
    unit: Annotated[int, typer.Option(metavar="N", min=0, max=255, help="Number of the unit.")] = 1,
    table: Annotated[str, typer.Option(metavar="WORD", help="holding, input, coil or discrete.")] = "holding",
    address: Annotated[str, typer.Option(metavar="ADDRESS", help="The first, counted from 0: 40071 or 0x9C87.")] = "0",
    number: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=MAX_BITS, help="How many registers or bits.")
    ] = 10,
    baud: Baud = 9600,
    parity: Parity = "none",
    stopbits: Stopbits = 1,
    timeout: Timeout = "1s",
    as_json: AsJson = False,
) -> None:
    """Read registers of a unit: the raw words, and what they are as numbers of each type and as text.

    Numbers of two registers are shown as high word first; with the low word first in brackets. Reads only. A serial
    port that a running gateway has open is busy.
    """
    if table not in {"holding", "input", *_BIT_TABLES}:
        raise typer.BadParameter(
            f"{table!r} is no table; allowed: holding, input, coil, discrete", param_hint="--table"
        )
    most = MAX_BITS if table in _BIT_TABLES else MAX_WORDS
    if number > most:
        raise typer.BadParameter(f"{number} are too many for one request; {most} at most", param_hint="--count")
    first = _address(address)
    if first + number > 65_536:
        raise typer.BadParameter("the last address there is is 65535", param_hint="--address")
    request = Request(table, first, number, ())  # type: ignore[arg-type]  # checked above
    channel_of = _way(place, baud=baud, parity=parity, stopbits=stopbits)
    answer = asyncio.run(_ask_once(channel_of, unit, request, _seconds(timeout)))
    words = _words(answer, unit, request)
    rows = [_meanings(words, at, first) for at in range(number)] if table not in _BIT_TABLES else []
    if as_json:
        facts = {"unit": unit, "table": table, "address": first, "words": list(words), "registers": rows}
        typer.echo(json.dumps(facts, ensure_ascii=False))
    elif rows:
        typer.echo("\n".join(_table(rows)))
    else:
        typer.echo("\n".join(f"{first + at:>6}  {word}" for at, word in enumerate(words)))


def _scan(
    place: Place,
    units: Annotated[str, typer.Option(metavar="FIRST-LAST", help="Which units are asked.")] = "1-247",
    baud: Baud = 9600,
    parity: Parity = "none",
    stopbits: Stopbits = 1,
    timeout: Timeout = "200ms",
    as_json: AsJson = False,
) -> None:
    """Ask one unit after the other for a register, and name those that answer, be it with an exception.

    Reads only. Ends with 1 when nobody answers.
    """
    first, last = _units(units)
    channel_of = _way(place, baud=baud, parity=parity, stopbits=stopbits)
    found = asyncio.run(_ask_all(channel_of, range(first, last + 1), _seconds(timeout), as_json=as_json))
    if not as_json:
        typer.echo(f"{count(found, 'unit')} of {last - first + 1} answer")
    raise typer.Exit(0 if found else 1)


async def _ask_once(channel_of: Callable[[], Channel], unit: int, request: Request, timeout_s: float) -> Answer | None:
    channel = channel_of()
    try:
        await channel.open()
        return await channel.ask(unit, request, timeout_s)
    finally:
        await channel.close()


async def _ask_all(channel_of: Callable[[], Channel], units: Sequence[int], timeout_s: float, *, as_json: bool) -> int:
    channel, found = channel_of(), 0
    try:
        await channel.open()
        for unit in units:
            answer = await channel.ask(unit, Request("holding", 0, 1, ()), timeout_s)
            if answer is None:
                continue
            found += 1
            match answer:
                case Words(words):
                    says = f"holding register 0 is {words[0]}"
                case Refused(code):
                    if code in {10, 11}:  # a gateway speaks for a unit that is silent
                        found -= 1
                        continue
                    says = exception_name(code)
                case Bad(why):
                    says = f"something answers, and not well: {why}"
            typer.echo(json.dumps({"unit": unit, "says": says}) if as_json else f"unit {unit:>3}  {says}")
            sys.stdout.flush()
    finally:
        await channel.close()
    return found


# -- arguments --------------------------------------------------------------------------------------------------------


def _way(place: str, *, baud: int, parity: str, stopbits: int) -> Callable[[], Channel]:
    """Return what makes the channel, once a loop runs."""
    is_url = place.startswith(("tcp:", "rtu+tcp:", "http", "modbus"))  # the last two are mistaken for one
    where: dict[str, Any] = {"url": place} if is_url else {"port": place}
    if "port" in where:
        where |= {"baud": baud, "parity": parity, "stopbits": stopbits}
    try:
        config = ModbusSourceConfig.model_validate({**where, "units": [{"unit": 1, "profile": "none"}]})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{detail['loc'][0]}: {detail['msg'].removeprefix('Value error, ')}") from error

    def channel() -> Channel:
        if config.place is not None:
            from fieldgate.ingest.modbus_tcp import TcpChannel

            return TcpChannel(config.place, delay_s=0.0)
        from fieldgate.ingest.modbus_serial import SerialChannel

        return SerialChannel("modbus", config.serial, delay_s=0.0, rng=Random())

    return channel


def _address(text: str) -> int:
    try:
        address = int(text, 0)
    except ValueError:
        address = -1
    if not 0 <= address <= 65_535:
        raise typer.BadParameter(
            f"{text!r} is no address; allowed: 0 to 65535, or 0x0 to 0xFFFF", param_hint="--address"
        )
    return address


def _units(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        found = int(first), int(last or first)
    except ValueError:
        found = -1, -1
    if not 0 <= found[0] <= found[1] <= 255:
        raise typer.BadParameter(
            f"{text!r} are no units; write FIRST-LAST, such as 1-{_LAST_UNIT}", param_hint="--units"
        )
    return found


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error


def _words(answer: Answer | None, unit: int, request: Request) -> tuple[int, ...]:
    match answer:
        case Words(words):
            return words
        case Refused(code):
            raise NoAnswer(f"unit {unit} answers {request} with an exception: {exception_name(code)}")
        case Bad(why):
            raise NoAnswer(f"unit {unit}: {why}; are baud rate, parity and the unit's number right?")
        case None:
            raise NoAnswer(f"unit {unit} does not answer; are its number, the wiring, baud rate and parity right?")


# -- what registers may mean ------------------------------------------------------------------------------------------


def _meanings(words: Sequence[int], at: int, first: int) -> dict[str, Any]:
    """One register, and what begins there."""
    row: dict[str, Any] = {"address": first + at, "hex": f"{words[at]:04X}", "text": _text(words[at])}
    for kind in _KINDS:
        content = words[at : at + WORDS[kind]]
        if len(content) < WORDS[kind] or WORDS[kind] > 2:
            continue
        orders: tuple[Literal["big", "little"], ...] = ("big", "little") if WORDS[kind] == 2 else ("big",)
        for order in orders:
            name = kind if order == "big" else f"{kind}_little"
            row[name] = Register("r", "holding", 0, WORDS[kind], kind, word_order=order).read(content)
    return row


def _text(word: int) -> str:
    text = text_of(struct.pack(">H", word))
    return text if text.isprintable() else ""


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = ("address", "hex", "uint16", "int16", "uint32 (low first)", "float32 (low first)", "text")
    lines = [heads]
    for row in rows:
        pairs = [
            f"{_shown(row[kind])} ({_shown(row[f'{kind}_little'])})" if kind in row else ""
            for kind in ("uint32", "float32")
        ]
        lines.append((f"{row['address']}", row["hex"], f"{row['uint16']}", f"{row['int16']}", *pairs, row["text"]))
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
