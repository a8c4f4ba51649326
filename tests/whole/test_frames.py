"""The link finds the packets that it is to lose: a wrong boundary would lose the wrong one."""

from __future__ import annotations

from fieldgate_simulators.frames import FrameSplitter, PacketKind

PUBACK_1 = b"\x40\x02\x00\x01"
PINGRESP = b"\xd0\x00"


def test_packets_are_found_at_every_cut_of_the_stream():
    """Bytes come in any chunking; a miscounted boundary would swallow the wrong packet."""
    publish = b"\x32\xc8\x01" + bytes(200)
    stream = publish + PUBACK_1 + PINGRESP + publish

    for cut in range(len(stream) + 1):
        splitter = FrameSplitter()
        pieces = splitter.feed(stream[:cut]) + splitter.feed(stream[cut:])
        begun = [piece.kind for piece in pieces if piece.begins]

        assert begun == [PacketKind.PUBLISH, PacketKind.PUBACK, PacketKind.PINGRESP, PacketKind.PUBLISH]
        assert sum(piece.stop - piece.start for piece in pieces) == len(stream)


def test_what_is_not_mqtt_is_one_unnamed_piece():
    """TLS may pass through the link; it must not be taken for packets for ever."""
    splitter = FrameSplitter()

    pieces = splitter.feed(b"\x30\xff\xff\xff\xff\xff hello") + splitter.feed(PUBACK_1)

    assert [(piece.kind, piece.begins) for piece in pieces] == [(0, True), (0, False)]
