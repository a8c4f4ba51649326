"""``rules/TESTS.md``: what it shows of a failure is what is printed. Its tests are run by ``test_rule_files.py``."""

from __future__ import annotations

import re

from fieldgate_rules.reading import read_rules
from fieldgate_rules.tester import read_tests, report_lines, run_tests
from fieldgate_rules.tester.engines import make_engine
from rule_kit import RULE_FILES, TESTS_PAGE, catalogue_of

FAILURE = re.search(r"<!-- failure: (.*) -> (.*) -->\n```text\n(.*?)```", TESTS_PAGE, re.DOTALL)


def test_a_failure_looks_as_the_page_shows():
    """Whoever meets one for the first time has it explained there."""
    assert FAILURE is not None
    before, after, shown = FAILURE.groups()
    text = RULE_FILES["TESTS.md"].replace(before, after, 1)
    catalogue = catalogue_of("TESTS.md")
    read = read_rules({"boiler.yaml": text.encode()}, catalogue)

    tested = run_tests(
        read_tests("boiler.yaml", text.encode(), read.rules),
        read.rules,
        catalogue,
        make=make_engine,
        recordings=lambda name: f"{name!r} is not there",
    )

    assert text != RULE_FILES["TESTS.md"]
    assert "\n".join(report_lines(tested.results[0])) + "\n" == shown


def test_the_page_leads_to_pages_that_are_there():
    for target in re.findall(r"\]\(([A-Z]+\.md)", TESTS_PAGE):
        assert target in ("README.md", "RECORDINGS.md")
