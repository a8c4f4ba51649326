"""Draft a profile from messages that were seen.

Law: the profile has no problem, and takes every message that it was made from; what it cannot take is left out and
said. What messages cannot tell (units, limits, states not seen) is the author's; the draft says where to look.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.decoder import Record
from fieldgate_devices.examples import sample_topic, time_text
from fieldgate_devices.infer_decoders import guess_decoder
from fieldgate_devices.infer_fields import MAX_FIELDS, Raw, Seen, collect, draft_field, path_text
from fieldgate_devices.infer_topics import TopicGuess, guess_topics
from fieldgate_devices.infer_whose import guess_device, guess_time
from fieldgate_devices.names import FreeNames, plain_name
from fieldgate_devices.profile import check_id
from fieldgate_devices.profile_schema import editor_line
from fieldgate_devices.reading import read_profile
from fieldgate_devices.walkthrough import walk_through
from fieldgate_devices.yaml_text import flow, quoted

__all__ = ["CannotInfer", "Draft", "Sample", "check_draft_name", "infer_profile"]

_MAX_EXAMPLES: Final = 3
_MAX_EXAMPLE_BYTES: Final = 2000
_MOST: Final = 0.8
_MAX_ROUNDS: Final = 20
_NO_YAML: Final = re.compile("[\x00\ud800-\udfff]")


class CannotInfer(ValueError):
    """No profile can be drafted from these messages; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A message; ``topic`` None where it is not known."""

    topic: str | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Draft:
    """``text`` is the file. ``used`` messages it was made from; ``notes`` say what was left out or is doubtful."""

    name: str
    text: str
    used: tuple[Sample, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the file will say."""

    name: str
    topics: TopicGuess
    decode: tuple[str, Mapping[str, Any]]
    device: str | None
    time: Mapping[str, str] | None
    fields: Mapping[str, Mapping[str, Any]]
    lenient: bool
    notes: tuple[str, ...]


def check_draft_name(name: str) -> None:
    """Look whether a draft can have this id.

    Raises:
        CannotInfer: no profile can.
    """
    try:
        check_id(name)
    except ValueError as error:
        raise CannotInfer(str(error)) from error


def infer_profile(
    samples: Sequence[Sample], *, name: str | None = None, listened: str | None = None, taken: Collection[str] = ()
) -> Draft:
    """Return a draft for these messages.

    ``name`` is the profile's id, by default after the topics and none of ``taken``; ``listened`` the topic filter
    under which they were heard.

    Raises:
        CannotInfer: they have nothing in common that a decoder reads.
    """
    if name is not None:
        check_draft_name(name)
    used, notes = _alike([one for one in samples if one.payload])
    guess = guess_decoder([one.payload for one in used])
    if guess is None:
        raise CannotInfer(
            "no decoder reads all of these messages; where they are bytes of a fixed layout, describe it: "
            "decode: {binary: {layout: […]}}"
        )
    decoder, options, made, records = guess
    topics = [one.topic for one in used if one.topic is not None]
    where = guess_topics(topics, listened) if topics else TopicGuess("", False)
    chosen = name or _free(_name(where, listened), taken)
    if not topics:
        note = "no message says on which topic it came: write it into match"
        where = TopicGuess(f"{chosen}/{{device}}", True, (note,))
    flat = [record for message in records for record in message]
    is_one = len(set(topics)) == 1 and len(used) > 1
    plan = _plan(chosen, where, (decoder, options), flat, is_text=made.is_text, is_one_topic=is_one)
    plan = replace(plan, notes=(*notes, *plan.notes))
    return _settled(plan, used)


def _alike(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """The messages that look like most of them."""
    if not samples:
        raise CannotInfer("there is no message to draft a profile from")
    kinds = Counter(_kind(one.payload) for one in samples)
    kind, number = kinds.most_common(1)[0]
    if number == len(samples) or number < _MOST * len(samples):
        return list(samples), []
    others = len(samples) - number
    note = f"{others} of {len(samples)} messages do not look like the others and are left out"
    return [one for one in samples if _kind(one.payload) == kind], [note]


def _kind(payload: bytes) -> str:
    first = payload.lstrip()[:1]
    if first in {b"{", b"[", b"$", b"/"}:
        return first.decode()
    try:
        payload.decode()
    except UnicodeDecodeError:
        return "bytes"
    return "text"


def _name(where: TopicGuess, listened: str | None) -> str:
    """A name after the topic: the level before the device, else the last that says something."""
    levels = where.pattern.split("/") if where.pattern else (listened or "").split("/")
    device = levels.index("{device}") if "{device}" in levels else len(levels)
    able = [
        one for one in (*reversed(levels[:device]), *levels[device:]) if re.search("[A-Za-z]", one) and "{" not in one
    ]
    for level in able:
        made = re.sub(r"[^a-z0-9_-]+", "_", level.lower()).strip("_-")[:48]
        if len(made) > 1 and "a" <= made[0] <= "z":
            return made
    return "my_device"


def _free(name: str, taken: Collection[str]) -> str:
    return next(one for one in (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))) if one not in taken)


# -- what it says -----------------------------------------------------------------------------------------------------


def _plan(
    name: str,
    where: TopicGuess,
    decode: tuple[str, Mapping[str, Any]],
    records: Sequence[Record],
    *,
    is_text: bool,
    is_one_topic: bool,
) -> _Plan:
    seen, left_out = collect(records)
    notes = [*where.notes, *left_out]
    for raw in [one for one in seen if one[0] == "$topic" or any(map(_NO_YAML.search, one))]:
        del seen[raw]
        notes.append(f"a member with a name that no profile can have is left out: {raw[-1]!r}")
    time = guess_time(seen)
    device = guess_device(seen, len(records)) if is_one_topic or not where.has_device else None
    if device is not None and where.has_device:
        where = TopicGuess(where.pattern.replace("{device}", "+"), False)
    used = {time[0]} if time is not None else set()
    used |= set(device[1]) if device is not None else set()
    fields: dict[str, Mapping[str, Any]] = {}
    names = FreeNames(())
    lenient = False
    for raw, one in _most_frequent(seen, notes):
        if raw in used:
            continue
        if not one.values:
            notes.append(f"{path_text(raw)} is null in all messages: left out")
            continue
        field = names.of(plain_name(raw))
        made = draft_field(field, one.values, is_always=len(one.values) == len(records), is_text=is_text)
        if isinstance(made, str):
            notes.append(f"{path_text(raw)}: {made}: left out")
            continue
        lenient = lenient or made.needs_lenient
        source = path_text(raw)
        fields[field] = made.spec if source == field else {**made.spec, "from": source}
    device_text = device[0] if device is not None else None
    return _Plan(name, where, decode, device_text, None if time is None else time[1], fields, lenient, tuple(notes))


def _most_frequent(seen: Mapping[Raw, Seen], notes: list[str]) -> list[tuple[Raw, Seen]]:
    if len(seen) <= MAX_FIELDS:
        return list(seen.items())
    notes.append(f"the messages have {len(seen)} members; the {MAX_FIELDS} most frequent became fields")
    kept = set(sorted(seen, key=lambda raw: -len(seen[raw].values))[:MAX_FIELDS])
    return [(raw, one) for raw, one in seen.items() if raw in kept]


# -- the file ---------------------------------------------------------------------------------------------------------


def _settled(plan: _Plan, used: Sequence[Sample]) -> Draft:
    """Write it, and take out what does not hold for every message after all."""
    for _ in range(_MAX_ROUNDS):
        text = _text(plan, len(used), [])
        contract = read_profile(text.encode(), "draft").contract
        if contract is None:
            break
        catalogue = Catalogue([contract])
        topic = sample_topic(contract.matchers[0])
        broken = _broken(catalogue, [Sample(one.topic or topic, one.payload) for one in used])
        if broken is None:
            break
        if not broken:
            examples = _examples(contract, used)
            whole = _text(plan, len(used), examples)
            if read_profile(whole.encode(), "draft").contract is None:  # an example that YAML cannot hold
                whole = text
            return Draft(plan.name, whole, tuple(used), plan.notes)
        kept = {name: spec for name, spec in plan.fields.items() if name not in broken}
        notes = (*plan.notes, *(f"{name} fits no type that takes all messages: left out" for name in sorted(broken)))
        plan = replace(plan, fields=kept, notes=notes)
    raise CannotInfer("the topics or the messages have too little in common; draft one profile for each kind of them")


def _broken(catalogue: Catalogue, samples: Sequence[Sample]) -> set[str] | None:
    """The fields that a message breaks; None where a message is not taken at all."""
    broken: set[str] = set()
    for one in samples:
        walk = walk_through(catalogue, one.topic or "", one.payload)
        if walk.chosen is None or walk.undecodable:
            return None
        fields = {step.name for record in walk.records for step in record.fields if step.breach}
        if not walk.is_accepted and not fields:
            return None
        broken |= fields
    return broken


def _text(plan: _Plan, number: int, examples: Sequence[Mapping[str, Any]]) -> str:
    decoder, options = plan.decode
    lines = [
        editor_line().rstrip("\n"),
        f"# A draft from {number} message{'' if number == 1 else 's'}. Look at what these do not tell: units, ranges",
        "# (what was seen, with room), values of enums, what is optional. Then: fieldgate devices check",
        *(f"# - {_comment(note)}" for note in plan.notes),
        f"profile: {plan.name}",
        "version: 1",
        f"match: {{mqtt: {quoted(plan.topics.pattern)}}}",
    ]
    if plan.device is not None:
        lines.append(f"device: {quoted(plan.device)}")
    lines.append(f"decode: {flow({decoder: options}) if options else decoder}")
    if plan.lenient:
        lines.append("lenient: true")
    if plan.time is not None:
        lines.append(f"time: {flow(plan.time)}")
    if plan.fields:
        lines.append("fields:")
        lines += [f"  {name}: {flow(spec)}" for name, spec in plan.fields.items()]
    else:
        lines.append("other_fields: keep")
    if examples:
        lines.append("examples:")
        for example in examples:
            first, *rest = [f"{key}: {quoted(value) if key == 'in' else flow(value)}" for key, value in example.items()]
            lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:300]


def _examples(contract: Contract, used: Sequence[Sample]) -> list[dict[str, Any]]:
    """A few of the messages, by topic: the first, and those with the most and the fewest members."""
    able = [one for one in used if len(one.payload) <= _MAX_EXAMPLE_BYTES]
    if not able:
        return []
    picked = [able[0], max(able, key=lambda one: len(one.payload)), min(able, key=lambda one: len(one.payload))]
    chosen = list(dict.fromkeys(picked))[:_MAX_EXAMPLES]
    chosen.sort(key=lambda one: (one.topic or "", one.payload))
    return [_example(contract, one) for one in chosen]


def _example(contract: Contract, sample: Sample) -> dict[str, Any]:
    topic = sample.topic or sample_topic(contract.matchers[0])
    captures = contract.match(topic, sample.payload)
    assert captures is not None
    readings = contract.read(sample.payload, captures, topic)
    out = [msgspec.json.decode(one.data) for one in readings]
    example: dict[str, Any] = {"topic": topic} if sample.topic is not None else {}
    try:
        text = sample.payload.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\x00" in text:
        example["in_hex"] = sample.payload.hex()
    else:
        example["in"] = text
    example["out"] = out[0] if len(out) == 1 else out
    example["device"] = readings[0].device
    if readings[0].at_ns is not None:
        example["at"] = time_text(readings[0].at_ns)
    return example
