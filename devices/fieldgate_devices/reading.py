"""Read profiles: files in, a catalogue out, or everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.decoders.decoder import Decoder
from fieldgate_devices.decoders.make import UnknownDecoder, make_decoder, options_class
from fieldgate_devices.examples import failing_examples
from fieldgate_devices.files.document import Document, Problem, read_yaml
from fieldgate_devices.files.model_tree import ModelTree
from fieldgate_devices.files.validate import validate
from fieldgate_devices.profile import PROFILE_TREE, Profile
from fieldgate_devices.profile_checks import find_problems

__all__ = ["ProfileFile", "read_catalogue", "read_profile"]


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
    if ("decode",) not in outcome.broken:
        decoder, wrong = _decoder(profile, document)
        problems.update(wrong)
    if not problems:
        problems.update(find_problems(profile, document))
    if problems or decoder is None:
        return ProfileFile(path, None, sorted(problems), document)
    contract = Contract(profile, decoder)
    problems.update(failing_examples(contract, document))
    return ProfileFile(path, None if problems else contract, sorted(problems), document)


def _decoder(profile: Profile, document: Document) -> tuple[Decoder | None, list[Problem]]:
    (name,) = profile.decode
    is_short = not isinstance(getattr(document.node(("decode",)), "content", None), dict)
    where = document.where(("decode",)) if is_short else document.where_key(("decode", name))
    try:
        tree = ModelTree(options_class(name), name=f"decoder {name}")
    except UnknownDecoder as error:
        return None, [Problem(where, str(error))]
    node = None if is_short else document.node(("decode", name))
    outcome = validate(Document(document.path, node), tree)
    if outcome.problems or outcome.model is None:
        at_root = [problem for problem in outcome.problems if problem.where.line == 1 and node is None]
        return None, [
            Problem(where, problem.message) if problem in at_root else problem for problem in outcome.problems
        ]
    return make_decoder(name, outcome.model), []


def read_catalogue(built_in: Mapping[str, bytes], own: Mapping[str, bytes]) -> tuple[Catalogue, list[ProfileFile]]:
    """Return the catalogue of all profiles without problems, and what came of each file.

    Keys are paths as messages show them. A profile of ``own`` replaces a built-in one with the same id; the same id
    twice in ``own`` is a problem of the later file.
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
    shipped = [read_profile(content, path) for path, content in sorted(built_in.items())]
    contracts = [one.contract for one in readings if one.contract is not None]
    kept = [one for one in shipped if one.contract is not None and one.contract.profile.profile not in first]
    return Catalogue(contracts, [one.contract for one in kept if one.contract is not None]), [*readings, *shipped]
