"""No payload makes a decoder fail in any way but `Undecodable` (rows 71 to 73 of the fault catalogue)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from decoder_kit import SAMPLES, Options, check_reason, check_records, decoded, refused
from fieldgate_devices.decoders import Decoder, Record, Undecodable, make_decoder
from fieldgate_devices.decoders.make import BUILT_IN

CAPTURES = {"sensor": "t", "device": "d1"}
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(SAMPLES)]
every_sample = pytest.mark.parametrize(("name", "options", "sample"), SAMPLES, ids=IDS)

TOKENS = [
    b"", b"\x00", b"\xff", b"\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"[", b"{", b"}", b'"', b"\\", b"\\ud800",
    b"=", b",", b"*", b"$", b"!", b"/", b"(", b")", b"\n", b"\r", b"NaN", b"1e400", b"-", b"9" * 80, b"true", b"null",
    b"\xd8\x1c", b"\xd9\x01\x00", b"\xc2\x42\x01\x00", b"\x9f", b"\xbf", b"\x5f", b"\xf9\x7e\x00",
    b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xd6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"%zz", b"%ff", b"&", b"_", b'"bver":99', b"{" * 40, b"[" * 40, b"\x81" * 40,
    b"\x91" * 40, b"\xc1" * 60,
]  # fmt: skip


TEXTS = st.text(st.sampled_from("ab1 ,;:={}[]\"'\\\n\té€😀\ud800\ufeff\x00"), max_size=60).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@st.composite
def changed(draw: st.DrawFn, sample: bytes) -> bytes:
    """The sample with parts of it removed, doubled, replaced."""
    payload = sample
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(payload)))
        end = draw(st.integers(start, min(len(payload), start + 8)))
        part = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6), st.just(payload[start:end] * 2)))
        payload = payload[:start] + part + payload[end:]
    return payload


def held_to_its_promise(decoder: Decoder, payload: bytes) -> None:
    try:
        records = decoder.decode(payload, CAPTURES)
    except Undecodable as error:
        check_reason(error)
    else:
        check_records(records)


@every_sample
def test_a_sample_is_decoded(name: str, options: Options, sample: bytes) -> None:
    """The control: what is changed below was right before."""
    assert decoded(name, sample, options, **CAPTURES)


@pytest.mark.parametrize("broken", [ValueError, float("nan"), "\ud800", {1: 2}, []])
def test_the_check_notices_a_decoder_that_breaks_the_promise(broken: object) -> None:
    """The control: an error of another kind, a value that cannot be sent, no reading."""

    class Broken:
        is_text = False

        def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
            if broken is ValueError:
                raise ValueError
            return broken if isinstance(broken, list) else [{"a": broken}]  # type: ignore[dict-item]  # wrong on purpose

    with pytest.raises((AssertionError, ValueError)):
        held_to_its_promise(Broken(), b"x")


def test_there_is_a_sample_of_each_decoder() -> None:
    assert {name for name, _, _ in SAMPLES} == set(BUILT_IN)


@every_sample
def test_every_truncation_is_decoded_or_refused(name: str, options: Options, sample: bytes) -> None:
    decoder = make_decoder(name, options)

    for end in range(len(sample)):
        held_to_its_promise(decoder, sample[:end])


@every_sample
def test_a_changed_payload_is_decoded_or_refused(name: str, options: Options, sample: bytes) -> None:
    """Near misses go deeper into a decoder than noise does."""
    decoder = make_decoder(name, options)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(payload=changed(sample))
    def run(payload: bytes) -> None:
        held_to_its_promise(decoder, payload)

    run()


@pytest.mark.long
@every_sample
def test_many_changed_payloads_are_decoded_or_refused(name: str, options: Options, sample: bytes) -> None:
    decoder = make_decoder(name, options)

    @settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(payload=st.one_of(changed(sample), st.binary(max_size=200)))
    def run(payload: bytes) -> None:
        held_to_its_promise(decoder, payload)

    run()


@every_sample
def test_noise_is_decoded_or_refused(name: str, options: Options, sample: bytes) -> None:
    decoder = make_decoder(name, options)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(payload=st.one_of(st.binary(max_size=120), TEXTS))
    @example(payload=b"\x00")
    @example(payload=b"\xff\xfe{\x00}\x00")
    @example(payload=b"\xef\xbb\xbf{}")
    def run(payload: bytes) -> None:
        held_to_its_promise(decoder, payload)

    run()


@every_sample
def test_an_empty_payload_is_refused_and_is_not_null(name: str, options: Options, sample: bytes) -> None:
    """A retained message is cleared with an empty payload: row 73."""
    assert refused(name, b"", options, **CAPTURES) == "the payload is empty"


@every_sample
def test_a_payload_beyond_the_limit_is_refused_unread(name: str, options: Options, sample: bytes) -> None:
    """Row 70: a listener may be told to take larger packets; a decoder does not follow."""
    assert "bytes" in refused(name, sample * (2_000_000 // len(sample)), options, **CAPTURES)
