"""Packet ids, acknowledgements and re-sending of a client's QoS 1 messages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate.mqtt.codec import PUBACKS, Decoder
from fieldgate.mqtt.framing import encode_publishes
from fieldgate.mqtt.in_flight import InFlight, Run
from fieldgate.mqtt.packets import Publish


def run_of(in_flight: InFlight, count: int, *, batch: str = "b", start: int = 0) -> Run:
    """A run of ``count`` messages whose payloads are the numbers from ``start`` on, sent now."""
    first_id, got = in_flight.span(count)
    assert got == count
    payloads = [b"%d" % (start + k) for k in range(count)]
    run = Run(first_id, count, encode_publishes([b"\x00\x01t"] * count, [b""] * count, payloads, first_id))
    run.batch, run.start = batch, start
    in_flight.add(run)
    return run


def read(wire: bytes) -> list[Publish]:
    decoder = Decoder(version=4, max_packet_bytes=1 << 20, from_client=False)
    return [packet for packet in decoder.feed(wire) if isinstance(packet, Publish)]


def pubacks(first_id: int, count: int) -> bytes:
    return PUBACKS[4 * (first_id - 1) : 4 * (first_id - 1 + count)]


class Told:
    """What an owner was told."""

    def __init__(self) -> None:
        self.ranges: list[tuple[object, int, int]] = []

    def __call__(self, batch: object, start: int, stop: int) -> None:
        self.ranges.append((batch, start, stop))

    @property
    def numbers(self) -> list[int]:
        return [number for _, start, stop in self.ranges for number in range(start, stop)]


def resend_all(in_flight: InFlight) -> list[Publish]:
    sent = []
    while (run := in_flight.next_held(1_000_000)) is not None:
        sent += read(in_flight.send_again(run))
    return sent


def test_a_burst_of_pubacks_in_order_is_told_as_ranges():
    """One comparison per run is what the speed of the gateway rests on."""
    in_flight, told = InFlight(), Told()
    run_of(in_flight, 3, batch="a")
    run_of(in_flight, 4, batch="b", start=10)

    used = in_flight.acknowledge(pubacks(1, 5), told)

    assert used == 20
    assert told.ranges == [("a", 0, 3), ("b", 10, 12)]
    assert len(in_flight) == 2


def test_the_fast_path_stops_at_what_it_does_not_expect():
    """An unknown id, another packet or half a PUBACK is the decoder's business."""
    for rest in (pubacks(99, 1), b"\xd0\x00", pubacks(3, 1)[:3], pubacks(1, 1)):
        in_flight, told = InFlight(), Told()
        run_of(in_flight, 5)

        used = in_flight.acknowledge(pubacks(1, 1), told)
        used += in_flight.acknowledge(rest, told)

        assert used == 4
        assert told.numbers == [0]


def test_a_run_of_pubacks_that_breaks_off_inside_books_nothing_of_it_twice():
    """The comparison is all or nothing per run; the decoder then takes the same bytes one by one."""
    in_flight, told = InFlight(), Told()
    run_of(in_flight, 5)

    assert in_flight.acknowledge(pubacks(1, 2) + pubacks(4, 2), told) == 0
    assert in_flight.acknowledge_ids(1, 2, told) == 2
    assert in_flight.acknowledge_ids(4, 2, told) == 2

    assert sorted(told.numbers) == [0, 1, 3, 4]
    assert in_flight.is_overtaken


def test_unknown_and_repeated_ids_are_counted_as_not_waiting():
    """A PUBACK that nobody waits for must not mark anything as delivered."""
    in_flight, told = InFlight(), Told()
    run_of(in_flight, 3)

    assert in_flight.acknowledge_ids(2, 1, told) == 1
    assert in_flight.acknowledge_ids(2, 1, told) == 0
    assert in_flight.acknowledge_ids(500, 3, told) == 0

    assert told.numbers == [1]


def test_ids_wrap_after_65535_and_pass_over_the_one_that_is_still_pending():
    """A server that holds back one PUBACK for ever must not get its id twice [MQTT-2.2.1-4]."""
    in_flight, told = InFlight(first_id=65_530), Told()
    run_of(in_flight, 3, start=0)
    assert in_flight.acknowledge_ids(65_530, 1, told) == 1
    assert in_flight.acknowledge_ids(65_532, 1, told) == 1  # 65,531 stays

    spans = []
    total = 0
    while total < 65_534:
        first_id, count = in_flight.span(65_534 - total)
        run_of(in_flight, count, start=100 + total)
        in_flight.acknowledge_ids(first_id, count, told)
        spans.append((first_id, first_id + count - 1))
        total += count

    assert spans == [(65_533, 65_535), (1, 65_530), (65_532, 65_532)]


def test_no_id_is_given_out_while_all_are_in_use():
    """Rather nothing than an id that is taken."""
    in_flight = InFlight()
    run_of(in_flight, 65_535)

    assert in_flight.span(1)[1] == 0
    assert in_flight.reserve() == 0

    in_flight.acknowledge_ids(700, 1, Told())
    assert in_flight.span(10) == (700, 1)


def test_what_is_sent_again_is_the_same_bytes_but_for_dup():
    """An envelope, once sent, never changes (P2); DUP tells the server that it may have it."""
    in_flight = InFlight()
    first = run_of(in_flight, 3)
    original = read(first.wire)
    in_flight.acknowledge_ids(1, 1, Told())

    in_flight.hold_all(is_session_present=True)
    again = resend_all(in_flight)

    assert [p.dup for p in again] == [True, True]
    for packet in again:
        packet.dup = False
    assert again == original[1:]


def test_a_lost_session_gets_everything_again_as_new_in_order():
    """The server has forgotten the packet ids; DUP would claim that it has not."""
    in_flight = InFlight()
    for start in (0, 3, 6):
        run_of(in_flight, 3, start=start)

    in_flight.hold_all(is_session_present=False)
    again = resend_all(in_flight)

    assert [int(p.payload) for p in again] == list(range(9))
    assert not any(p.dup for p in again)


def test_dup_is_set_again_after_a_second_loss_with_the_session_kept():
    """A message sent as new on a fresh session is known to that session."""
    in_flight = InFlight()
    run_of(in_flight, 2)
    in_flight.hold_all(is_session_present=False)
    resend_all(in_flight)

    in_flight.hold_all(is_session_present=True)

    assert [p.dup for p in resend_all(in_flight)] == [True, True]


def test_what_was_never_written_on_a_fresh_session_bears_no_dup_later():
    """A connection that broke before it was its turn leaves a message unknown to the server."""
    in_flight = InFlight()
    run_of(in_flight, 2)
    in_flight.hold_all(is_session_present=False)
    run = in_flight.next_held(1)
    assert run is not None
    in_flight.send_again(run)

    in_flight.hold_all(is_session_present=True)

    assert [p.dup for p in resend_all(in_flight)] == [True, False]


def test_order_survives_a_small_window_and_another_loss():
    """Receive Maximum may be 1 on the new connection; the rest waits and keeps its place."""
    in_flight = InFlight()
    run_of(in_flight, 5)
    in_flight.hold_all(is_session_present=True)
    first = in_flight.next_held(2)
    assert first is not None
    in_flight.send_again(first)

    in_flight.hold_all(is_session_present=True)

    assert [int(p.payload) for p in resend_all(in_flight)] == [0, 1, 2, 3, 4]


def test_a_refused_message_goes_back_to_its_old_place():
    """Order per device holds over a refusal that passes."""
    in_flight = InFlight()
    run_of(in_flight, 4)
    refused = in_flight.remove(3)
    assert refused is not None
    refused.is_known = False
    in_flight.hold(refused)

    in_flight.hold_all(is_session_present=True)
    again = resend_all(in_flight)

    assert [int(p.payload) for p in again] == [0, 1, 2, 3]
    assert [p.dup for p in again] == [True, True, False, True]


def test_another_packet_id_changes_nothing_else():
    """0x91 (packet id in use) asks for another id, not for another message."""
    in_flight = InFlight()
    run_of(in_flight, 3)
    taken = in_flight.remove(2)
    assert taken is not None
    taken.renumber(777)

    (packet,) = read(taken.again() if not taken.is_known else b"\x32" + taken.again()[1:])

    assert packet == Publish("t", b"1", qos=1, packet_id=777)


def test_reserved_ids_are_kept_from_messages_until_released():
    """SUBSCRIBE shares the packet ids with PUBLISH [MQTT-2.2.1-3]."""
    in_flight = InFlight(first_id=65_535)
    reserved = in_flight.reserve()
    run_of(in_flight, 65_534)

    assert reserved == 65_535
    assert in_flight.span(1)[1] == 0
    assert in_flight.release(65_535)
    assert not in_flight.release(65_535)
    assert in_flight.span(1) == (65_535, 1)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_history_delivers_each_message_once_and_resends_in_order(data):
    """Against a model: ids unique while in flight, nothing lost, nothing twice, order of first sending kept."""
    in_flight, told = InFlight(first_id=data.draw(st.sampled_from([1, 65_000, 65_534]))), Told()
    pending: dict[int, int] = {}  # packet id -> number, for what was sent on this connection
    waiting: list[int] = []  # numbers that were held by the last reconnect
    count = 0
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(["send", "ack", "burst", "reconnect", "resend"])):
            case "send" if not waiting:
                _, got = in_flight.span(data.draw(st.integers(1, 20)))
                run = run_of(in_flight, got, start=count)
                for k in range(got):
                    assert run.first_id + k not in pending
                    pending[run.first_id + k] = count + k
                count += got
            case "ack" if pending:
                packet_id = data.draw(st.sampled_from(sorted(pending)))
                assert in_flight.acknowledge_ids(packet_id, 1, told) == 1
                assert told.numbers[-1] == pending.pop(packet_id)
            case "burst" if in_flight.sent:
                run = in_flight.sent[0]
                size = data.draw(st.integers(1, run.count))
                in_flight.acknowledge(pubacks(run.first_id, size), told)
                for packet_id in [p for p, n in pending.items() if n in told.numbers]:
                    del pending[packet_id]
            case "reconnect":
                in_flight.hold_all(is_session_present=data.draw(st.booleans()))
                waiting = sorted([*waiting, *pending.values()])
                pending = {}
            case "resend" if waiting:
                run = in_flight.next_held(data.draw(st.integers(1, 30)))
                assert run is not None
                for packet in read(in_flight.send_again(run)):
                    assert int(packet.payload) == waiting.pop(0)
                    pending[packet.packet_id] = int(packet.payload)
            case _:
                pass
        assert len(in_flight) == len(pending) + len(waiting)
    assert len(told.numbers) == len(set(told.numbers))
    assert sorted([*told.numbers, *pending.values(), *waiting]) == list(range(count))
    assert (in_flight.size_bytes == 0) == (len(in_flight) == 0)
