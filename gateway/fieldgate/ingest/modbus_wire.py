"""Modbus on the wire: questions become bytes, bytes become answers to them. Frames and messages are pymodbus'.

An answer counts only if it is whole and is one to what was asked: the unit, the function, so many values, or the echo
of what was written. On a serial line what stands before it (an echo, a spark) is passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from fieldgate_devices.modbus import Request, Write

__all__ = ["Answer", "Bad", "Desynchronised", "Question", "Refused", "RtuWire", "TcpWire", "Wire", "Words"]

_READS: Final[dict[str, Callable[..., ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_HEADER_BYTES: Final = 7  # Modbus Messaging on TCP/IP V1.0b, 3.1.3
_MIN_LENGTH: Final = 3  # unit, function, one byte
_MAX_LENGTH: Final = 254
_KEPT_BYTES: Final = 512  # of what stands before an answer on a serial line
_ANY_UNIT: Final = frozenset({0, 255})  # a server that is a unit itself may answer by any number

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what is wrong with an answer is counted and told here


class Desynchronised(Exception):
    """What comes is no Modbus TCP; nothing that follows can be understood. Stays inside the source."""


class Words(NamedTuple):
    """What was asked for; of a write, what was written."""

    words: tuple[int, ...]


class Refused(NamedTuple):
    """An exception response."""

    code: int


class Bad(NamedTuple):
    """An answer that cannot be used, and why."""

    why: str


Answer = Words | Refused | Bad


class Question:
    """One request on its way; ``number`` is its transaction."""

    __slots__ = ("frame", "function", "number", "unit", "what")

    def __init__(self, unit: int, what: Request | Write, number: int, pdu: ModbusPDU, frame: bytes) -> None:
        self.unit = unit
        self.what = what
        self.number = number
        self.function = pdu.function_code
        self.frame = frame


class Wire(Protocol):
    """One connection's framing."""

    late: int
    """Answers to what nobody waited for any more."""

    def ask(self, unit: int, what: Request | Write) -> Question:
        """Return a question, which is waited for from now on."""

    def hear(self, chunk: bytes) -> list[tuple[Question, Answer]]:
        """Take what came; return what is answered.

        Raises:
            Desynchronised: the connection is of no use any more.
        """

    def give_up(self, question: Question) -> Bad | None:
        """Wait for it no longer; return what was wrong with what came, None if nothing came."""


def _pdu(unit: int, what: Request | Write) -> ModbusPDU:
    if isinstance(what, Request):
        return _READS[what.table](address=what.address, count=what.count, dev_id=unit)
    if what.table == "coil":
        bits = [bool(word) for word in what.words]
        of_bits = WriteSingleCoilRequest if what.is_single else WriteMultipleCoilsRequest
        return of_bits(address=what.address, bits=bits, dev_id=unit)
    of_words = WriteSingleRegisterRequest if what.is_single else WriteMultipleRegistersRequest
    return of_words(address=what.address, registers=list(what.words), dev_id=unit)


def _answer(question: Question, pdu: ModbusPDU | None) -> Answer:
    """What a message says, given what was asked."""
    if pdu is None:
        return Bad("an answer that cannot be understood")
    if pdu.function_code & 0x7F != question.function:
        return Bad(f"an answer to function {pdu.function_code & 0x7F}, asked was {question.function}")
    if pdu.isError():
        return Refused(pdu.exception_code)
    what = question.what
    if isinstance(what, Request):
        if what.table in {"coil", "discrete"}:
            bits = pdu.bits
            is_whole = what.count <= len(bits) < what.count + 8
            return Words(tuple(map(int, bits[: what.count]))) if is_whole else _short(len(bits), what.count)
        words = pdu.registers
        return Words(tuple(words)) if len(words) == what.count else _short(len(words), what.count)
    return Words(what.words) if _echoes(what, pdu) else Bad("the unit confirms another write than this one")


def _short(got: int, wanted: int) -> Bad:
    return Bad(f"an answer with {got} of {wanted} values")


def _echoes(what: Write, pdu: ModbusPDU) -> bool:
    """Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11 and 6.12."""
    if pdu.address != what.address:
        return False
    if not what.is_single:
        return pdu.count == len(what.words)
    said: Sequence[int] = pdu.bits if what.table == "coil" else pdu.registers
    return int(said[0]) == what.words[0]


class TcpWire:
    """Modbus TCP: answers bear the number of the question, and may come in any order."""

    def __init__(self) -> None:
        self.late = 0
        self._framer = FramerSocket(DecodePDU(False))
        self._number = 0
        self._buffer = bytearray()
        self._waiting: dict[int, Question] = {}

    def ask(self, unit: int, what: Request | Write) -> Question:
        """See `Wire`."""
        self._number = self._number % 0xFFFF + 1
        pdu = _pdu(unit, what)
        pdu.transaction_id = self._number
        question = Question(unit, what, self._number, pdu, self._framer.buildFrame(pdu))
        self._waiting[self._number] = question
        return question

    def hear(self, chunk: bytes) -> list[tuple[Question, Answer]]:
        """See `Wire`."""
        self._buffer += chunk
        answers: list[tuple[Question, Answer]] = []
        while len(self._buffer) >= _HEADER_BYTES:
            protocol, length = int.from_bytes(self._buffer[2:4], "big"), int.from_bytes(self._buffer[4:6], "big")
            if protocol or not _MIN_LENGTH <= length <= _MAX_LENGTH:
                raise Desynchronised(f"what comes is no Modbus TCP: {bytes(self._buffer[:16]).hex(' ')}")
            end = 6 + length
            if len(self._buffer) < end:
                break
            _, unit, number, content = self._framer.decode(bytes(self._buffer[:end]))
            del self._buffer[:end]
            question = self._waiting.pop(number, None)
            if question is None:
                self.late += 1
            elif unit != question.unit and question.unit not in _ANY_UNIT:
                answers.append((question, Bad(f"an answer of unit {unit}")))
            else:
                answers.append((question, _answer(question, self._framer.decoder.decode(content))))
        return answers

    def give_up(self, question: Question) -> Bad | None:
        """See `Wire`."""
        self._waiting.pop(question.number, None)
        return None


class RtuWire:
    """Modbus RTU: one question at a time, and the answer is known by its unit, its function and its checksum."""

    def __init__(self) -> None:
        self.late = 0
        self._framer = FramerRTU(DecodePDU(False))
        self._buffer = bytearray()
        self._question: Question | None = None
        self._has_echo = False  # the adapter repeats what is asked
        self._has_passed = False  # this question was repeated

    def ask(self, unit: int, what: Request | Write) -> Question:
        """See `Wire`. What has come before is no answer to it."""
        self._buffer.clear()
        self._has_passed = False
        pdu = _pdu(unit, what)
        self._question = Question(unit, what, 0, pdu, self._framer.buildFrame(pdu))
        return self._question

    def hear(self, chunk: bytes) -> list[tuple[Question, Answer]]:
        """See `Wire`."""
        question = self._question
        if question is None:
            self.late += 1
            return []
        self._buffer += chunk
        self._pass_echo(question)
        for start in range(len(self._buffer) - 1):
            if self._buffer[start] != question.unit or self._buffer[start + 1] & 0x7F != question.function:
                continue
            _, unit, _, content = self._framer.decode(bytes(self._buffer[start:]))
            if unit == question.unit and content and content[0] & 0x7F == question.function:
                self._buffer.clear()
                self._question = None
                self._has_echo = self._has_passed
                return [(question, _answer(question, self._framer.decoder.decode(content)))]
        del self._buffer[:-_KEPT_BYTES]
        return []

    def _pass_echo(self, question: Question) -> None:
        """Adapters with two wires hear themselves.

        A single write is answered by its own bytes: of two copies the first is the echo, and whether there are two is
        known from what was asked before, whose echo is no answer.
        """
        is_single = isinstance(question.what, Write) and question.what.is_single
        if self._has_passed or (is_single and not self._has_echo) or not self._buffer.startswith(question.frame):
            return
        self._has_passed = self._has_echo = True
        del self._buffer[: len(question.frame)]

    def give_up(self, question: Question) -> Bad | None:
        """See `Wire`."""
        self._question = None
        if not self._buffer:
            return None
        heard = bytes(self._buffer)
        self._buffer.clear()
        shown = heard[:16].hex(" ") + (" …" if len(heard) > 16 else "")
        return Bad(f"{len(heard)} bytes that are no answer, or a damaged one: {shown}")
