"""Results as JUnit XML, as Jenkins and GitLab read it: a suite for each file, a case for each test.

The times of a test are virtual, and a suite that has passed twice gives the same bytes twice: so no case says how long
it took. What XML 1.0 cannot hold is written as ``\\x1b``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from fieldgate_devices.files.document import Problem
from fieldgate_rules.tester.result import TestResult, is_error, report_lines

__all__ = ["TestedFile", "junit_xml"]

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class TestedFile:
    """A file, its mistakes (with any that is no warning nothing of it was run), and what came of its tests."""

    __test__ = False  # for pytest

    path: str
    problems: tuple[Problem, ...]
    results: tuple[TestResult, ...]

    @property
    def is_broken(self) -> bool:
        """Whether it, or a test of it, could not be used as written."""
        return any(map(is_error, self.problems)) or any(one.is_broken for one in self.results)

    @property
    def failed(self) -> int:
        """How many tests are not passed."""
        return sum(not one.is_passed for one in self.results)


def junit_xml(files: Sequence[TestedFile]) -> str:
    """Return the whole document."""
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *_suites(files)]) + "\n"


def _suites(files: Sequence[TestedFile]) -> Iterator[str]:
    bodies = [(one, list(_cases(one))) for one in files]
    counts = [_counts(cases) for _, cases in bodies]
    total = tuple(sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
    yield f"<testsuites name={_attribute('fieldgate rules test')} {_numbers(total)}>"
    for (one, cases), numbers in zip(bodies, counts, strict=True):
        yield f'  <testsuite name={_attribute(one.path)} {_numbers(numbers)} skipped="0">'
        for _, lines in cases:
            yield from lines
        yield "  </testsuite>"
    yield "</testsuites>"


def _counts(cases: Sequence[tuple[str, list[str]]]) -> tuple[int, int, int]:
    kinds = [kind for kind, _ in cases]
    return len(kinds), kinds.count("failure"), kinds.count("error")


def _numbers(numbers: Sequence[int]) -> str:
    return 'tests="{}" failures="{}" errors="{}"'.format(*numbers)


def _cases(file: TestedFile) -> Iterator[tuple[str, list[str]]]:
    errors = [one for one in file.problems if is_error(one)]
    if errors:
        text = "\n".join(map(str, errors))
        yield (
            "error",
            list(_case(file.path, "the file can be used", errors[0].where.line, "error", str(errors[0]), text)),
        )
    for result in file.results:
        kind = "" if result.is_passed else "error" if result.is_broken else "failure"
        text = "\n".join([*report_lines(result)][1:])
        message = next((str(one) for one in result.problems if is_error(one)), "")
        message = message or next((one.message for one in result.failures), "")
        yield kind, list(_case(file.path, result.name, result.where.line, kind, message, text))


def _case(path: str, name: str, line: int, kind: str, message: str, text: str) -> Iterator[str]:
    folder = re.sub(r"\.ya?ml$", "", path).strip("/").replace(".", "_").replace("/", ".")
    head = f'    <testcase classname={_attribute(folder)} name={_attribute(name)} file={_attribute(path)} line="{line}"'
    if not kind:
        yield f"{head}/>"
        return
    yield f"{head}>"
    yield f'      <{kind} message={_attribute(message)} type="{kind}">{escape(_possible(text))}</{kind}>'
    yield "    </testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_possible(text))


def _possible(text: str) -> str:
    """The text without characters that no XML 1.0 document may hold (section 2.2), not even escaped."""
    return _NO_XML.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)
