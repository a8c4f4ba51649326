"""The line of acknowledgements against a model that is too simple to be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldgate.mqtt.ack_line import AckLine
from fieldgate.mqtt.codec import Decoder
from fieldgate.mqtt.packets import PubAck, PubRec

EVENT_RUN = st.lists(st.integers(-65_535, 65_535), min_size=1, max_size=6)
ENTRIES = st.lists(st.one_of(EVENT_RUN, st.sampled_from(["ready"])), max_size=12)


def codes_of(chunk: bytes) -> list[int]:
    codes = []
    for packet in Decoder(version=4, max_packet_bytes=100, from_client=False).feed(chunk):
        assert isinstance(packet, PubAck | PubRec)
        codes.append(packet.packet_id if isinstance(packet, PubAck) else -packet.packet_id)
    return codes


@given(ENTRIES, st.data())
def test_exactly_the_settled_prefix_leaves_in_order_of_receipt(
    entries: list[list[int] | str], data: st.DataObject
) -> None:
    """[MQTT-4.6.0-2] and P1, for any mixture of kinds and any order of settling."""
    line = AckLine()
    model: list[tuple[int, int | None]] = []  # (code, position or None)
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str):
            line.add_ready(number)
            model.append((number, None))
        else:
            first = line.add_events(entry, [0] * len(entry), 10)
            model += [(code, first + index) for index, code in enumerate(entry)]
    positions = [position for _, position in model if position is not None]
    got: list[int] = []
    settled: set[int] = set()

    for position in [*data.draw(st.permutations(positions)), None]:
        chunk, releases = line.take_due()
        got += codes_of(chunk)
        assert releases == [-code for code in codes_of(chunk) if code < 0]
        ready = []
        for code, where in model:
            if where is not None and where not in settled:
                break
            ready.append(code)
        assert got == [code for code in ready if code]
        if position is not None:
            line.settled(position, 1)
            settled.add(position)

    assert (line.in_flight, line.size_bytes) == (0, 0)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms())
def test_intervals_settle_like_their_positions(sizes: list[int], rng) -> None:
    """The outbox settles blocks; their order is that of the disk and the uplinks."""
    line = AckLine()
    runs = [(line.add_events([1] * size, [0] * size, size), size) for size in sizes]
    rng.shuffle(runs)

    for number, (first, size) in enumerate(runs, start=1):
        line.settled(first, size)
        told = {one for start, length in runs[:number] for one in range(start, start + length)}
        assert {one for one in range(sum(sizes)) if line.is_settled(one)} == told


def test_a_run_gives_its_weight_back_when_all_of_it_has_left() -> None:
    """Back-pressure counts what is still held, not what was."""
    line = AckLine()
    line.add_events([1, 2, 3], [7, 8, 9], 300)
    line.settled(0, 2)

    line.take_due()
    assert (line.in_flight, line.size_bytes) == (1, 300)
    assert list(line.waiting()) == [(3, 9)]
    line.settled(2, 1)
    line.take_due()

    assert (line.in_flight, line.size_bytes) == (0, 0)


def test_what_a_closed_line_owes_is_known_by_packet_id() -> None:
    """QoS 0 owes nothing; what was acknowledged in part is not owed again."""
    line = AckLine()
    line.add_events([4, -5, 0, 6], [40, 50, 0, 60], 1)
    line.settled(0, 1)
    line.take_due()

    owed = line.owed()

    assert {packet_id: (one.content_id, one.is_release, one.is_settled) for packet_id, one in owed.items()} == {
        5: (50, True, False),
        6: (60, False, False),
    }
    line.settled(3, 1)
    assert owed[6].is_settled
