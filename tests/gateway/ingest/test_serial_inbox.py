"""The core of a serial source: pieces in, messages with positions out, and when reading stops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldgate.ingest.serial_inbox import Piece, SerialInbox
from fieldgate_devices.framing.framer import Framer
from fieldgate_devices.framing.spec import framer_of
from listener_kit import HeldIntake, SettlingIntake


class _Rig:
    def __init__(self, intake: HeldIntake, *, max_bytes: int = 1_000, framer: Framer | None = None) -> None:
        self.resumed = 0
        self.intake = intake
        self.inbox = SerialInbox(
            "scale",
            "serial/scale",
            framer or framer_of({"lines": {"max_length": 8}}),
            intake,
            lane=1,
            max_unsettled_bytes=max_bytes,
            resumes=self._resume,
        )

    def _resume(self) -> None:
        self.resumed += 1

    def take(self, *contents: bytes) -> None:
        self.inbox.take([Piece(1.0, content) for content in contents])


def test_positions_are_given_once_and_over_all_connections() -> None:
    """A position is how the flow names a message; none may mean two."""
    rig = _Rig(HeldIntake())

    rig.take(b"1\n2\n123456789\n3\n")
    rig.inbox.cut()
    rig.take(b"4\n")

    accepted = [(first, len(received)) for _, first, received in rig.intake.batches]
    refused = [(first, len(damaged)) for _, first, damaged in rig.intake.refused]
    assert accepted == [(0, 3), (4, 1)]
    assert refused == [(3, 1)]
    assert rig.inbox.unsettled == 5
    assert rig.inbox.tally.frames == 4
    assert rig.inbox.tally.bad == {"too_long": 1}


def test_what_is_half_read_when_the_port_is_lost_never_joins_what_comes_next() -> None:
    """`12` and `.5` of two connections are no `12.5`."""
    rig = _Rig(SettlingIntake())

    rig.take(b"1\n12")
    rig.inbox.cut()
    rig.inbox.cut()
    rig.take(b".5\n")

    assert rig.intake.payloads == [b"1", b".5"]
    assert (rig.inbox.tally.dropped_frames, rig.inbox.tally.dropped_bytes) == (1, 2)


def test_the_content_id_is_of_source_and_content() -> None:
    """As everywhere: a hint for who must tell a repeated message from another."""
    rig = _Rig(SettlingIntake())

    rig.take(b"1\n2\n1\n")

    first, second, again = (one.content_id for one in rig.intake.heard)
    assert first == again != second


def test_reading_stops_over_the_limit_and_goes_on_at_the_half_of_it() -> None:
    """The flow is asked to hurry meanwhile."""
    rig = _Rig(HeldIntake(), max_bytes=400)

    rig.take(b"1\n2\n3\n")
    assert not rig.inbox.is_paused
    rig.take(b"4\n5\n6\n")
    assert rig.inbox.is_paused
    assert rig.intake.stalls == 1

    rig.intake.settle(0)
    assert rig.inbox.is_paused
    rig.intake.settle(1)

    assert not rig.inbox.is_paused
    assert rig.resumed == 1
    assert rig.inbox.unsettled_bytes == 0


def test_what_settles_at_once_pauses_nothing() -> None:
    """An event that no uplink wants."""
    rig = _Rig(SettlingIntake(), max_bytes=100)

    rig.take(b"".join(b"%d\n" % number for number in range(100)))

    assert not rig.inbox.is_paused
    assert rig.inbox.unsettled == 0


def test_a_closed_intake_gets_nothing_and_then_everything_in_order() -> None:
    """A cut that happened meanwhile stays where it was."""
    rig = _Rig(SettlingIntake())
    rig.intake.open = False

    rig.take(b"1\n2")
    rig.inbox.cut()
    rig.take(b"3\n")
    assert rig.inbox.has_held
    assert rig.inbox.is_paused
    assert rig.intake.heard == []
    rig.inbox.retry()
    assert rig.resumed == 0
    rig.intake.open = True
    rig.inbox.retry()

    assert rig.intake.payloads == [b"1", b"3"]
    assert not rig.inbox.is_paused
    assert rig.resumed == 1


def test_at_the_end_all_that_was_read_is_handed_over_or_counted() -> None:
    """The flow writes what it has; what it does not take is lost, and said."""
    open_rig, closed_rig = _Rig(SettlingIntake()), _Rig(SettlingIntake())
    closed_rig.intake.open = False

    for rig in (open_rig, closed_rig):
        rig.take(b"1\n2\n3")
        rig.inbox.end()

    assert open_rig.intake.payloads == [b"1", b"2"]
    assert open_rig.inbox.tally.unsaved == 0
    assert closed_rig.intake.payloads == []
    assert closed_rig.inbox.tally.unsaved == 2


def test_noise_is_noticed_until_something_is_understood() -> None:
    """Each connection anew: another device may have been plugged in."""
    rig = _Rig(SettlingIntake())

    rig.inbox.opened()
    rig.take(b"x" * 1023)
    assert not rig.inbox.is_not_understood
    rig.take(b"x")
    assert rig.inbox.is_not_understood
    rig.take(b"\n1\n")
    assert not rig.inbox.is_not_understood
    rig.take(b"x" * 5000)
    assert not rig.inbox.is_not_understood
    rig.inbox.opened()
    rig.take(b"x" * 5000)
    assert rig.inbox.is_not_understood


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.booleans()), max_size=30),
    st.lists(st.sampled_from(["take", "cut", "settle", "close", "open"]), max_size=60),
)
def test_the_accounts_agree_whatever_happens(contents: list[tuple[bytes, bool]], steps: list[str]) -> None:
    """Unsettled bytes are those of unsettled messages, and each message is handed over once."""
    rig = _Rig(HeldIntake(), max_bytes=300)
    settled = 0
    for step in steps:
        if step == "take" and contents:
            content, has_end = contents.pop()
            rig.take(content + b"\n" * has_end)
        elif step == "cut":
            rig.inbox.cut()
        elif step == "settle" and settled < len(rig.intake.batches):
            rig.intake.settle(settled)
            settled += 1
        elif step in ("close", "open"):
            rig.intake.open = step == "open"
            rig.inbox.retry()
        waiting = [one for _, _, received in rig.intake.batches[settled:] for one in received]
        waiting += [one.message for one in rig.intake.bad]
        assert rig.inbox.unsettled == len(waiting)
        assert rig.inbox.unsettled_bytes == sum(one.size_bytes + 64 for one in waiting)
        if rig.inbox.unsettled_bytes > 300 or rig.inbox.has_held:
            assert rig.inbox.is_paused
        assert rig.inbox.tally.frames == len(rig.intake.heard)
    places = [
        position
        for _, first, messages in [*rig.intake.batches, *rig.intake.refused]
        for position in range(first, first + len(messages))
    ]
    assert sorted(places) == list(range(len(places)))
