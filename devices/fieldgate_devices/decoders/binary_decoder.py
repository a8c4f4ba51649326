"""Read a payload by a binary layout.

The layout becomes a list of steps when the decoder is made: neighbouring fields of a fixed size are one step, taken
apart by bitstruct in C. What a hostile payload can make the steps do is bounded by the values they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from fieldgate_devices.decoders.binary_fields import FixedFields, check_equal, sized
from fieldgate_devices.decoders.binary_options import BinaryOptions, Item
from fieldgate_devices.decoders.binary_state import Scope, State
from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import MAX_PAYLOAD_BYTES, check_payload, checked

__all__ = ["BinaryDecoder"]

Step = Callable[[State, Scope], None]
_REST: Final = "rest"


class BinaryDecoder:
    """Reads by one layout."""

    is_text = False

    def __init__(self, options: BinaryOptions) -> None:
        self._steps = _Compiler(options).steps(options.layout)
        self._takes_rest = options.rest == "ignore"

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record, or one for each repetition of the group that has ``records``.

        Raises:
            Undecodable: the payload is too short or too long, or a value is not what the layout allows.
        """
        check_payload(payload, limit_bytes=MAX_PAYLOAD_BYTES)
        state = State(payload)
        scope = Scope({}, start=0)
        for step in self._steps:
            step(state, scope)
        if state.at < len(payload) and not self._takes_rest:
            raise Undecodable(f"the payload has {len(payload)} bytes; the layout ends after {state.at}")
        if state.readings is None:
            return checked([scope.public()])
        shared = scope.public()
        state.spend(len(shared) * len(state.readings))
        return checked([{**shared, **reading} for reading in state.readings])


class _Compiler:
    """Makes steps of items."""

    def __init__(self, options: BinaryOptions) -> None:
        self._options = options

    def steps(self, layout: Sequence[Item]) -> list[Step]:
        steps: list[Step] = []
        run: list[Item] = []
        for item in layout:
            if item.kind == "skip" or (item.kind == "name" and item.length is None):
                run.append(item)
                continue
            if run:
                steps.append(self._fixed(run))
                run = []
            steps.append(self._step(item))
        if run:
            steps.append(self._fixed(run))
        return steps

    def _fixed(self, run: list[Item]) -> Step:
        options = self._options
        fields = FixedFields(
            run, byte_order=options.byte_order, encoding=options.encoding, is_nan_absent=options.nan == "absent"
        )
        return fields.read

    def _step(self, item: Item) -> Step:
        match item.kind:
            case "name":
                return self._sized_field(item)
            case "at":
                return _go_to(item)
            case "repeat":
                return self._repeat(item)
            case "choose":
                return self._choose(item)
            case "optional":
                return self._optional(item)
            case _:
                return _sum(item)

    def _sized_field(self, item: Item) -> Step:
        name, length, wanted, encoding = item.name or "", item.length, item.equals, self._options.encoding
        kind = item.parsed_type.kind

        def read(state: State, scope: Scope) -> None:
            size = state.left if length == _REST else scope.whole(length)
            state.spend(1)
            value = sized(state.take(size, name), kind=kind, encoding=encoding)
            if wanted is not None:
                check_equal(name, value, wanted)
            scope.put(scope.named(name), value)

        return read

    def _repeat(self, item: Item) -> Step:
        """The repetitions of a group: readings, a list, or more values of the same record."""
        inner = Item(name="_", type=item.type) if item.type is not None else None
        steps = self.steps(item.layout or ([inner] if inner else []))
        times, name = item.repeat, item.name

        def read(state: State, scope: Scope) -> None:
            groups = list[Scope]()
            wanted = None if times == _REST else scope.whole(times)
            while state.left if wanted is None else len(groups) < wanted:
                before = state.at
                group = scope.inner(start=state.at)
                for step in steps:
                    step(state, group)
                if wanted is None and state.at <= before:
                    raise Undecodable(f"the group at byte {before} does not go on; it would repeat for ever")
                state.spend(1)
                groups.append(group)
            if item.records:
                state.add_readings([group.public() for group in groups])
            elif name is None:
                for group in groups:
                    scope.merge(group)
            elif inner is not None:
                scope.put(scope.named(name), [group.values["_"] for group in groups])
            else:
                scope.put(scope.named(name), [group.public() for group in groups])

        return read

    def _choose(self, item: Item) -> Step:
        name, length = item.choose or "", item.length
        variants = {str(value): self.steps(layout) for value, layout in (item.when or {}).items()}
        is_refused = item.otherwise == "refuse"

        def read(state: State, scope: Scope) -> None:
            state.spend(1)
            value = scope.get(name)
            steps = variants.get(str(int(value) if isinstance(value, bool) else value))
            if steps is None and is_refused:
                raise Undecodable(f"{name} is {excerpt(str(value))}; the layout knows {', '.join(variants)}"[:200])
            size = None if length is None else state.left if length == _REST else scope.whole(length)
            end = state.end
            if size is not None:
                state.limit(size, name)
            for step in steps or ():
                step(state, scope)
            if size is not None:
                state.at, state.end = state.end, end

        return read

    def _optional(self, item: Item) -> Step:
        steps = self.steps(item.optional or [])

        def read(state: State, scope: Scope) -> None:
            state.spend(1)
            if state.left:
                for step in steps:
                    step(state, scope)

        return read


def _go_to(item: Item) -> Step:
    place = item.at

    def read(state: State, scope: Scope) -> None:
        state.spend(1)
        at = scope.start + scope.whole(place)
        if at > state.end:
            raise Undecodable(f"the layout goes on at byte {at}; there are {state.end}")
        state.at = at

    return read


def _sum(item: Item) -> Step:
    """The sum of earlier fields; exact until it becomes a float, so that 26 and 30 hundredths are 26.3."""
    name, negative = item.sum or "", item.negative
    factors = [(part, Fraction(str(factor))) for part, factor in (item.of or {}).items()]
    is_whole = all(factor.denominator == 1 for _, factor in factors)

    def read(state: State, scope: Scope) -> None:
        state.spend(1)
        numbers = [scope.number(part) for part, _ in factors]
        terms = (factor * Fraction(number) for (_, factor), number in zip(factors, numbers, strict=True))
        total = sum(terms, Fraction(0))
        if negative is not None and scope.number(negative):
            total = -total
        is_int = is_whole and not any(isinstance(number, float) for number in numbers)
        scope.put(scope.named(name), total.numerator if is_int else _float(total))

    return read


def _float(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        raise Undecodable("a sum is infinite") from None
