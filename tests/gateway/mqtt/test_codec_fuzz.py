"""Hostile bytes raise only the codec's own errors, and what is accepted can be written again.

The short lane runs with every test run; the long one (marker ``long``) for minutes. Both are seeded: a failure prints
the seed and the bytes.
"""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fieldgate.mqtt.wire as codec_wire
from fieldgate.mqtt.codec import CodecError, Decoder, encode
from fieldgate.mqtt.packets import Packet
from mqtt_packets import client_samples, client_side, server_samples, server_side, wire

SHORT_S = 2.0
LONG_S = 180.0
_INTERESTING = bytes((0, 1, 2, 3, 4, 0x26, 0x7F, 0x80, 0x81, 0xC0, 0xED, 0xFE, 0xFF))


def _corpus() -> list[tuple[int, bool, bytes, list[bytes]]]:
    """(version, from_client, bytes that must come first, packets to damage)."""
    found = []
    for version in (4, 5):
        connect, *others = client_samples(version)
        found.append((version, True, b"", [encode(connect, version), encode(connect, version) + wire(others, version)]))
        found.append((version, True, encode(connect, version), [encode(packet, version) for packet in others]))
        found.append((version, False, b"", [wire([packet], version) for packet in server_samples(version)]))
    return found


def _damage(rng: random.Random, good: bytes) -> bytes:
    """Change, drop, double or put in bytes; half of the time mend the length so that the body is looked at."""
    raw = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw)) if raw else 0
        kind = rng.randrange(5)
        if kind == 0 and raw:
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and raw:
            raw[at] = rng.choice(_INTERESTING)
        elif kind == 2:
            del raw[at : at + rng.randint(1, 4)]
        elif kind == 3:
            raw[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            raw[at:at] = raw[at : at + rng.randint(1, 8)]
    if len(raw) >= 2 and len(good) < 128 and rng.random() < 0.5:
        raw[1] = min(len(raw) - 2, 127)
    return bytes(raw)


def _attack(decoder: Decoder, stream: bytes, cut: int) -> list[Packet]:
    """Feed in two parts; answer what was accepted. Anything but a CodecError comes through and fails the test."""
    accepted: list[Packet] = []
    try:
        accepted += decoder.feed(stream[:cut])
        accepted += decoder.feed(stream[cut:])
    except CodecError as error:
        accepted += error.packets
    return accepted


def _fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """Attack for so long; answer how many streams were tried and how many packets accepted."""
    rng = random.Random(seed)
    corpus = _corpus()
    until_s = time.monotonic() + seconds
    tried = accepted = 0
    while time.monotonic() < until_s:
        for _ in range(200):
            version, from_client, prefix, samples = rng.choice(corpus)
            stream = prefix + _damage(rng, rng.choice(samples))
            decoder = server_side() if from_client else client_side(version)
            try:
                found = _attack(decoder, stream, rng.randint(0, len(stream)))
                for packet in found:
                    encode(packet, decoder.version or version)
            except Exception as error:  # noqa: BLE001 - any fault is the finding; it goes on with its bytes
                pytest.fail(f"seed {seed}, version {version}, from_client {from_client}, {stream.hex()}: {error!r}")
            tried += 1
            accepted += len(found)
    return tried, accepted


def test_damaged_packets_raise_only_the_codecs_errors():
    """One hostile peer must not stop the process (P8): an exception of another kind would."""
    tried, accepted = _fuzz(SHORT_S, seed=20_24)

    assert tried > 1_000
    assert accepted > tried // 10  # else the damage is so coarse that nothing behind the header is reached


@pytest.mark.long
@pytest.mark.timeout(LONG_S + 60)
def test_damaged_packets_raise_only_the_codecs_errors_for_minutes():
    """The same, long enough for rarer meetings of two faults."""
    tried, _ = _fuzz(LONG_S, seed=random.SystemRandom().randrange(1 << 32))

    assert tried > 100_000


@settings(deadline=None, max_examples=200)
@given(st.sampled_from((None, 4, 5)), st.booleans(), st.binary(max_size=80), st.integers(0, 80))
def test_random_bytes_raise_only_the_codecs_errors(version: int | None, from_client: bool, stream: bytes, cut: int):
    """What a port scanner sends."""
    decoder = server_side(version) if from_client else client_side(version or 4)

    _attack(decoder, stream, cut)


def test_a_mutant_that_lets_a_foreign_error_out_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Without the translation of UnicodeDecodeError the lane must fail; else it proves nothing."""

    def naive(reader: codec_wire.Reader) -> str:
        return reader.binary().decode()

    monkeypatch.setattr(codec_wire.Reader, "string", naive)

    with pytest.raises(pytest.fail.Exception):
        _fuzz(SHORT_S, seed=20_24)
