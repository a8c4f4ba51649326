"""CBOR [RFC 8949], by cbor2, held to plain values.

cbor2 makes Python objects of tags: regular expressions, MIME messages, sets, references that make a message contain
itself. Here no tag does: a number that a tag describes becomes a number, otherwise the content counts and the tag is
dropped. References (tags 25, 28, 29, 256) are refused, because their content is not the value.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from fieldgate_devices.decoders.decoder import Record, Undecodable, Value, one_line
from fieldgate_devices.decoders.limits import MAX_DEPTH, MAX_DIGITS, check_payload, check_record_count, checked, measure
from fieldgate_devices.decoders.plain import NanMeaning, Plain
from fieldgate_devices.decoders.readings import Readings, ReadingsOptions

__all__ = ["MAX_CBOR_BYTES", "MAX_CBOR_BYTES_NUMBERED", "CborDecoder", "CborOptions", "parse"]

MAX_CBOR_BYTES: Final = 64 * 1024
"""What 100 ms are enough for: each byte may be a value."""
MAX_CBOR_BYTES_NUMBERED: Final = 32 * 1024
"""The same where keys are no texts: keys of other types can be chosen so that a mapping finds each of them slowly."""

_MAX_EXPONENT: Final = 400


class CborOptions(ReadingsOptions):
    """How readings stand in a CBOR message."""

    sequence: bool = Field(
        default=False, description="the payload may hold several messages one after the other [RFC 8742]"
    )
    nan: NanMeaning = Field(default="refuse", description="what NaN means: the payload is wrong, or there is no value")

    def make(self) -> CborDecoder:
        """Return the decoder."""
        import cbor2  # 1 MB, for those who use it

        return CborDecoder(self, make_reader=cbor2.CBORDecoder, errors=(cbor2.CBORError, ValueError))


class CborDecoder:
    """Reads CBOR."""

    is_text = False

    def __init__(
        self, options: CborOptions, *, make_reader: Callable[..., Any], errors: tuple[type[Exception], ...]
    ) -> None:
        self._readings = Readings(options)
        self._is_sequence = options.sequence
        self._nan: NanMeaning = options.nan
        self._make_reader = make_reader
        self._errors = errors

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record for each reading.

        Raises:
            Undecodable: not CBOR, not plain values, not of that shape, or past a limit.
        """
        records: list[Record] = []
        for message in self.messages(payload):
            records += self._readings.find(message)
            check_record_count(len(records))
        return checked(records)

    def messages(self, payload: bytes) -> Iterator[Value]:
        """The messages, as plain values."""
        check_payload(payload, limit_bytes=MAX_CBOR_BYTES)
        source = io.BytesIO(payload)
        reader = self._make_reader(
            source,
            semantic_decoders=_TAGS,
            max_depth=MAX_DEPTH + 8,  # tags count too; what is plain is counted below
            allow_duplicate_keys=False,
            strict_hashable_types=len(payload) > MAX_CBOR_BYTES_NUMBERED,
        )
        plain = Plain(nan=self._nan, other=_other)
        while source.tell() < len(payload):
            try:
                found = reader.decode()
            except self._errors as error:
                raise Undecodable(_reason(error, at=source.tell())) from None
            if source.tell() < len(payload) and not self._is_sequence:
                raise Undecodable(f"something follows the message, from byte {source.tell()}")
            message = plain.value(found)
            measure(message)
            yield message


def parse(payload: bytes) -> Value:
    """Return the one message of a payload."""
    return next(CborOptions().make().messages(payload))


def _content(value: Any, is_key: bool) -> Any:
    return value


def _refuse_reference(value: Any, is_key: bool) -> Any:
    raise Undecodable("the message refers to parts of itself (tags 25, 28, 29, 256)")


def _bignum(value: Any, is_key: bool) -> int:
    if not isinstance(value, bytes) or len(value) > MAX_DIGITS // 2 or is_key:
        raise Undecodable(f"a whole number has more than {MAX_DIGITS} digits, or is a key")
    return int.from_bytes(value, "big")


def _negative_bignum(value: Any, is_key: bool) -> int:
    return -1 - _bignum(value, is_key)


def _decimal_fraction(value: Any, is_key: bool) -> float:
    exponent, mantissa = _pair(value)
    return float(Decimal(mantissa).scaleb(exponent))  # infinite past the largest, which `measure` refuses


def _big_float(value: Any, is_key: bool) -> float:
    exponent, mantissa = _pair(value)
    return float(mantissa * 2**exponent)  # below 2**1024: a mantissa has 256 bits at the most


def _pair(value: Any) -> tuple[int, int]:
    """Exponent and mantissa; an exponent past what a float holds is refused before anything is made of it."""
    if not isinstance(value, list | tuple) or len(value) != 2 or any(type(one) is not int for one in value):
        raise Undecodable("a number is not a pair of exponent and mantissa")
    exponent, mantissa = value
    if abs(exponent) > _MAX_EXPONENT:
        raise Undecodable(f"an exponent is beyond {_MAX_EXPONENT}")
    return exponent, mantissa


class _Tags(dict[int, Callable[[Any, bool], Any]]):
    """What each tag means, for every tag there is [RFC 8949 3.4]."""

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        return _content


_TAGS: Final = _Tags(
    {
        2: _bignum,
        3: _negative_bignum,
        4: _decimal_fraction,
        5: _big_float,
        **dict.fromkeys((25, 28, 29, 256), _refuse_reference),
    }
)


def _other(found: object) -> Value:
    if type(found).__name__ == "UndefinedType":  # "undefined" is no value, like null
        return None
    raise Undecodable(f"a value of the kind {type(found).__name__} is none that a field can hold")


def _reason(error: Exception, *, at: int) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Undecodable):
            return cause.reason
        cause = cause.__cause__
    text = str(error)
    if "nesting depth" in text:
        return f"lists and mappings are nested deeper than {MAX_DEPTH} levels"
    if "premature end" in text:
        return "the CBOR message is cut short"
    return f"not CBOR: {one_line(error)} (about byte {at})"
