"""Read profiles: files in, a catalogue out, or everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from fieldgate_devices.builtin import BuiltinProfiles, IndexEntry
from fieldgate_devices.catalogue import Assigned, Catalogue, LazyContract
from fieldgate_devices.conditions import TEXT
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.make import UnknownDecoder, make_decoder, options_class
from fieldgate_devices.examples import failing_examples
from fieldgate_devices.files.document import Document, Loc, Problem, read_yaml
from fieldgate_devices.files.model_tree import ModelTree
from fieldgate_devices.files.validate import validate
from fieldgate_devices.matching import matcher
from fieldgate_devices.profile import PROFILE_TREE, Profile
from fieldgate_devices.profile_checks import find_problems

__all__ = ["ProfileFile", "make_contract", "read_catalogue", "read_profile"]


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """What came of one file: ``contract`` only if there are no ``problems``."""

    path: str
    contract: Contract | None
    problems: list[Problem]
    document: Document


def read_profile(content: bytes, path: str) -> ProfileFile:
    """Read and check one profile, its examples too; nothing is raised for what is wrong with it."""
    document = read_yaml(content, path)
    if document.root is None:
        return ProfileFile(path, None, sorted(document.problems), document)
    outcome = validate(document, PROFILE_TREE)
    misread = {problem.where for problem in document.problems}
    problems = {*document.problems, *(problem for problem in outcome.problems if problem.where not in misread)}
    profile = outcome.model
    if profile is None:
        return ProfileFile(path, None, sorted(problems), document)
    decoder, decoders, wrong = _decoders(profile, document, outcome.broken)
    problems.update(wrong)
    if not problems:
        problems.update(find_problems(profile, document))
    if problems or decoder is None:
        return ProfileFile(path, None, sorted(problems), document)
    contract = Contract(profile, decoder, decoders)
    problems.update(failing_examples(contract, document))
    return ProfileFile(path, None if problems else contract, sorted(problems), document)


def _decoders(
    profile: Profile, document: Document, broken: Set[Loc]
) -> tuple[Decoder | None, dict[int, Decoder], list[Problem]]:
    """The profile's decoder, those of entries of match, and what is wrong with them; ``broken`` is known to be."""
    problems: list[Problem] = []
    own: dict[int, Decoder] = {}
    decoder = None
    if ("decode",) not in broken:
        decoder, problems = _decoder(profile.decode, ("decode",), document)
    is_list = document.node(("match", 0)) is not None
    for number, match in enumerate(profile.match):
        loc: Loc = ("match", number, "decode") if is_list else ("match", "decode")
        if match.decode is None or any(loc[: len(one)] == one for one in broken):
            continue
        made, wrong = _decoder(match.decode, loc, document)
        problems += wrong
        if made is not None:
            own[number] = made
    return decoder, own, problems


def _decoder(written: Mapping[str, Any], loc: Loc, document: Document) -> tuple[Decoder | None, list[Problem]]:
    (name,) = written
    is_short = not isinstance(getattr(document.node(loc), "content", None), dict)
    where = document.where(loc) if is_short else document.where_key((*loc, name))
    try:
        tree = ModelTree(options_class(name), name=f"decoder {name}")
    except UnknownDecoder as error:
        return None, [Problem(where, str(error))]
    node = None if is_short else document.node((*loc, name))
    outcome = validate(Document(document.path, node), tree)
    if outcome.problems or outcome.model is None:
        at_root = [problem for problem in outcome.problems if problem.where.line == 1 and node is None]
        return None, [
            Problem(where, problem.message) if problem in at_root else problem for problem in outcome.problems
        ]
    return make_decoder(name, outcome.model), []


def make_contract(profile: Profile) -> Contract:
    """Return the contract of a profile that is known to be right, one that comes with Fieldgate."""
    decoders = {number: _made(match.decode) for number, match in enumerate(profile.match) if match.decode is not None}
    return Contract(profile, _made(profile.decode), decoders)


def _made(written: Mapping[str, Any]) -> Decoder:
    (name,) = written
    return make_decoder(name, written[name])


def read_catalogue(
    built_in: Mapping[str, bytes], own: Mapping[str, bytes], assigned: Mapping[str, Assigned] | None = None
) -> tuple[Catalogue, list[ProfileFile]]:
    """Return the catalogue of all profiles without problems, and what came of each file that was read.

    Keys are paths as messages show them. A profile of ``own`` replaces a built-in one with the same id; the same id
    twice in ``own`` is a problem of the later file. Those that come with Fieldgate (`BuiltinProfiles`) are not read:
    their contracts are made when a message first needs them. ``assigned`` is what sources say, by topic.
    """
    readings = [read_profile(content, path) for path, content in sorted(own.items())]
    first: dict[str, str] = {}
    for number, reading in enumerate(readings):
        if reading.contract is None:
            continue
        name = reading.contract.profile.profile
        if name in first:
            problem = Problem(
                reading.document.where(("profile",)), f"{name!r} is the id of the profile in {first[name]} already"
            )
            readings[number] = ProfileFile(reading.path, None, [problem], reading.document)
        else:
            first[name] = reading.path
    contracts = [one.contract for one in readings if one.contract is not None]
    if isinstance(built_in, BuiltinProfiles):
        known = [_lazy(one) for one in built_in.index() if one.id not in first]
        return Catalogue(contracts, known, assigned), readings
    shipped = [read_profile(content, path) for path, content in sorted(built_in.items())]
    kept = [one.contract for one in shipped if one.contract is not None]
    return (
        Catalogue(contracts, [one for one in kept if one.profile.profile not in first], assigned),
        [*readings, *shipped],
    )


def _lazy(entry: IndexEntry) -> LazyContract:
    return LazyContract(
        entry.id,
        tuple(
            matcher(
                mqtt=one.get("mqtt"),
                but=one.get("except", ()),
                serial=one.get("serial"),
                conditions={**one.get("json", {}), **({TEXT: one["text"]} if "text" in one else {})},
            )
            for one in entry.match
        ),
        tuple(entry.commands),
        entry.silent_after,
        lambda: make_contract(Profile.model_validate(entry.profile())),
    )
