"""What counts as an answer: every frame cut at every byte, with every bit flipped, in every chunking, behind noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from fieldgate.ingest.modbus_wire import Bad, Desynchronised, Refused, RtuWire, TcpWire, Words
from fieldgate_devices.modbus import Request, Write

READ = Request("holding", 16, 3, ())
BITS = Request("coil", 0, 11, ())
SINGLE = Write("holding", 9, (0x1234,), is_single=True)
MANY = Write("holding", 9, (1, 2), is_single=False)
UNIT = 7


def rtu(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def tcp(number: int, body: bytes) -> bytes:
    return number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body


ANSWERS = [
    (READ, b"\x07\x03\x06\x00\x01\x00\x02\xff\xff", Words((1, 2, 0xFFFF))),
    (BITS, b"\x07\x01\x02\x05\x04", Words((1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1))),
    (SINGLE, b"\x07\x06\x00\x09\x12\x34", Words((0x1234,))),
    (MANY, b"\x07\x10\x00\x09\x00\x02", Words((1, 2))),
    (READ, b"\x07\x83\x02", Refused(2)),
    (READ, b"\x07\x03\x04\x00\x01\x00\x02", Bad("an answer with 2 of 3 values")),
    (SINGLE, b"\x07\x06\x00\x09\x12\x35", Bad("the unit confirms another write than this one")),
    (MANY, b"\x07\x10\x00\x09\x00\x01", Bad("the unit confirms another write than this one")),
]
every = pytest.mark.parametrize(("asked", "body", "answer"), ANSWERS)


@every
def test_an_answer_is_understood_on_both_wires(asked, body, answer):
    serial, network = RtuWire(), TcpWire()
    question, other = serial.ask(UNIT, asked), network.ask(UNIT, asked)

    assert serial.hear(rtu(body)) == [(question, answer)]
    assert network.hear(tcp(other.number, body)) == [(other, answer)]


@every
def test_an_answer_that_is_cut_is_none_until_the_rest_comes(asked, body, answer):
    for cut in range(len(rtu(body))):
        wire = RtuWire()
        question = wire.ask(UNIT, asked)

        assert wire.hear(rtu(body)[:cut]) == []
        assert wire.hear(rtu(body)[cut:]) == [(question, answer)]
    for cut in range(len(tcp(1, body))):
        wire = TcpWire()
        question = wire.ask(UNIT, asked)

        assert wire.hear(tcp(1, body)[:cut]) == []
        assert wire.hear(tcp(1, body)[cut:]) == [(question, answer)]


@every
def test_no_flipped_bit_becomes_a_value(asked, body, answer):
    """FAULTS.md row 56; on a serial line."""
    for place in range(len(rtu(body))):
        for bit in range(8):
            damaged = bytearray(rtu(body))
            damaged[place] ^= 1 << bit
            wire = RtuWire()
            question = wire.ask(UNIT, asked)

            assert wire.hear(bytes(damaged)) == []
            why = wire.give_up(question)
            assert why is not None
            assert f"{len(damaged)} bytes that are no answer" in why.why


@given(st.binary(max_size=30).filter(lambda noise: bytes([UNIT]) not in noise))
def test_noise_before_an_answer_is_passed_over(noise):
    """Adapters begin with a spark when the direction changes."""
    wire = RtuWire()
    question = wire.ask(UNIT, READ)

    assert wire.hear(noise + rtu(ANSWERS[0][1])) == [(question, ANSWERS[0][2])]


def test_an_echo_of_a_read_is_passed_over():
    wire = RtuWire()
    question = wire.ask(UNIT, READ)

    assert wire.hear(question.frame) == []
    assert wire.hear(rtu(ANSWERS[0][1])) == [(question, ANSWERS[0][2])]


@pytest.mark.parametrize("chunk", [1, 3, 8, 16])
def test_an_echo_of_a_single_write_is_no_confirmation_of_it(chunk):
    """It is the same bytes: a valve whose unit is dead would be told to be open."""
    wire = RtuWire()
    question = wire.ask(UNIT, READ)
    assert wire.hear(question.frame + rtu(ANSWERS[0][1])) == [(question, ANSWERS[0][2])]

    question = wire.ask(UNIT, SINGLE)
    assert wire.hear(question.frame) == []
    assert wire.give_up(question) is None  # only itself was heard

    question = wire.ask(UNIT, SINGLE)
    stream, heard = question.frame + rtu(b"\x07\x06\x00\x09\x12\x34"), []
    while stream:
        heard += wire.hear(stream[:chunk])
        stream = stream[chunk:]
    assert heard == [(question, Words((0x1234,)))]


def test_an_adapter_that_stops_to_repeat_is_believed_again():
    """Control: without an echo the same bytes are the answer."""
    wire = RtuWire()
    wire.hear(wire.ask(UNIT, READ).frame + rtu(ANSWERS[0][1]))
    question = wire.ask(UNIT, READ)
    wire.hear(rtu(ANSWERS[0][1]))

    question = wire.ask(UNIT, SINGLE)

    assert wire.hear(question.frame) == [(question, Words((0x1234,)))]


def test_another_unit_answers_nothing_on_a_bus():
    wire = RtuWire()
    question = wire.ask(UNIT, READ)

    assert wire.hear(rtu(b"\x08\x03\x06\x00\x01\x00\x02\xff\xff")) == []
    assert wire.give_up(question) is not None


def test_silence_is_no_bad_answer():
    """Control: what is counted as damaged was heard."""
    wire = RtuWire()

    assert wire.give_up(wire.ask(UNIT, READ)) is None


def test_what_comes_before_a_question_is_no_answer_to_it():
    wire = RtuWire()
    wire.give_up(wire.ask(UNIT, READ))

    assert wire.hear(rtu(ANSWERS[0][1])) == []
    assert wire.late == 1


@given(st.permutations(range(4)), st.data())
def test_answers_over_tcp_may_come_in_any_order_and_any_chunks(order, data):
    wire = TcpWire()
    questions = [wire.ask(unit, READ) for unit in range(1, 5)]
    stream = b"".join(
        tcp(questions[at].number, bytes([at + 1]) + b"\x03\x06\x00\x01\x00\x02" + bytes([0, at])) for at in order
    )

    heard = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        heard += wire.hear(stream[:size])
        stream = stream[size:]

    assert heard == [(questions[at], Words((1, 2, at))) for at in order]


def test_an_answer_to_what_nobody_waits_for_any_more_is_counted_and_dropped():
    wire = TcpWire()
    first = wire.ask(UNIT, READ)
    wire.give_up(first)
    second = wire.ask(UNIT, READ)

    heard = wire.hear(tcp(first.number, ANSWERS[0][1]) + tcp(second.number, b"\x07\x83\x06"))

    assert heard == [(second, Refused(6))]
    assert wire.late == 1


@pytest.mark.parametrize("stream", [b"HTTP/1.1 400 Bad", b"\0\1\0\0\xff\xff\1\3", b"\0\1\0\0\0\1\1\3"])
def test_what_is_no_modbus_tcp_ends_the_connection(stream):
    """After a wrong length nothing that follows can be understood, and waiting for 65,535 bytes helps nobody."""
    wire = TcpWire()
    wire.ask(UNIT, READ)

    with pytest.raises(Desynchronised, match="is no Modbus TCP"):
        wire.hear(stream)
