"""How long a certificate is valid, read from its DER; whatever else comes fails cleanly."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from fieldgate.config.certificates import names_of, read_validity, validity_of

BEGIN, END = datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC), datetime(2061, 7, 8, 9, 10, 11, tzinfo=UTC)


def der(**validity: datetime) -> bytes:
    leaf = trustme.CA().issue_cert("b.example", **validity)
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


GOOD = der(not_before=BEGIN, not_after=END)


def test_both_forms_of_time_are_read() -> None:
    """RFC 5280: two digits of the year up to 2049, four from 2050 on."""
    assert b"240229010203Z" in GOOD
    assert b"20610708091011Z" in GOOD

    assert validity_of(GOOD) == (BEGIN, END)


def test_years_of_two_digits_turn_over_in_1950() -> None:
    """A certificate of 1999 is not one of 2099."""
    assert validity_of(GOOD.replace(b"240229010203Z", b"991231235959Z")).not_before.year == 1999


def test_the_first_certificate_of_a_file_counts(tmp_path) -> None:
    """A chain begins with our own."""
    leaf = trustme.CA().issue_cert("b.example", not_before=BEGIN, not_after=END)
    path = tmp_path / "chain.pem"
    other = trustme.CA().cert_pem.bytes()
    path.write_bytes(b"subject=CN = x\n" + leaf.cert_chain_pems[0].bytes() + other)

    assert read_validity(path) == (BEGIN, END)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nabc", b"no certificate", b"\xff\xfe"])
def test_a_file_without_a_certificate_is_said(tmp_path, content) -> None:
    """The caller says which file."""
    path = tmp_path / "x.pem"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="holds no certificate in PEM form"):
        read_validity(path)


def test_the_names_are_read() -> None:
    """Who reaches a broker by another name is told which one its certificate bears."""
    leaf = trustme.CA().issue_cert("b.example", "*.c.example", "192.0.2.7", "2001:db8::7")
    named = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())

    assert set(names_of(named)) == {"b.example", "*.c.example", "192.0.2.7", "2001:db8::7"}
    assert names_of(GOOD) == ("b.example",)


def test_every_truncation_fails_cleanly() -> None:
    """A certificate that is being written must not bring the gateway down."""
    for size in range(len(GOOD)):
        with pytest.raises(ValueError):
            validity_of(GOOD[:size])
        assert names_of(GOOD[:size]) == ()


@given(st.binary(max_size=64), st.integers(0, len(GOOD) - 1))
def test_garbage_is_a_value_error_or_a_time(garbage: bytes, at: int) -> None:
    """Nothing else gets out."""
    for content in (garbage, GOOD[:at] + garbage + GOOD[at + len(garbage) :]):
        with suppress(ValueError):
            validity_of(content)
        assert isinstance(names_of(content), tuple)
