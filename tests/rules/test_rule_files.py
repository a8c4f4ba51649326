"""Every test that stands in our files of rules passes: library, examples, the guide and the page of tests."""

from __future__ import annotations

import pytest

from fieldgate_rules.tester import report_lines
from rule_kit import RULE_FILES, cases, result_of


@pytest.mark.parametrize(("file", "name"), cases(), ids=[f"{file}: {name}" for file, name in cases()])
def test_a_test_of_a_rule_file_passes(file, name):
    """They are what authors copy, and what shows them that it works."""
    result = result_of(file, name)

    assert result.is_passed, "\n".join(report_lines(result))


def test_there_are_files_of_each_kind():
    """A folder that is looked for in the wrong place would have no tests, and pass."""
    kinds = [label.partition("/")[0] for label in RULE_FILES]

    assert kinds.count("library") >= 16
    assert kinds.count("examples") >= 10
    assert kinds.count("guide") >= 5
    assert len(cases()) >= 60
