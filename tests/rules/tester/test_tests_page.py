"""``rules/TESTS.md``: the tests in it pass, and what it shows of a failure is what is printed."""

from __future__ import annotations

import re
from pathlib import Path

from fieldgate_devices.reading import read_catalogue
from fieldgate_rules import tester
from fieldgate_rules.explain import why_not
from fieldgate_rules.reading import read_rules
from fieldgate_rules.tester.engines import make_engine

FOLDER = Path(__file__).parents[3] / "rules"
PAGE = (FOLDER / "TESTS.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- (profile|run) -->\n```yaml\n(.*?)```", PAGE, re.DOTALL))
FAILURE = re.search(r"<!-- failure: (.*) -> (.*) -->\n```text\n(.*?)```", PAGE, re.DOTALL)


def played(text: str) -> tester.TestedFile:
    """What came of the page's tests, or of others in their place."""
    catalogue, _ = read_catalogue({}, {"boiler.yaml": BLOCKS["profile"].encode()})
    read = read_rules({"boiler.yaml": text.encode()}, catalogue)
    assert [str(problem) for problem in read.problems] == []
    return tester.run_tests(
        tester.read_tests("boiler.yaml", text.encode(), read.rules),
        read.rules,
        catalogue,
        make=make_engine,
        recordings=lambda name: f"{name!r} is not there",
        why=why_not(read.rules),
    )


def test_the_tests_of_the_page_pass():
    """They are the first that an author copies."""
    results = played(BLOCKS["run"]).results

    assert [one.name for one in results if not one.is_passed] == []
    assert len(results) == 3


def test_a_failure_looks_as_the_page_shows():
    """Whoever meets one for the first time has it explained there."""
    assert FAILURE is not None
    before, after, shown = FAILURE.groups()

    result = played(BLOCKS["run"].replace(before, after, 1)).results[0]

    assert "\n".join(tester.report_lines(result)) + "\n" == shown


def test_the_page_leads_to_pages_that_are_there():
    """Links break when files move."""
    for target in re.findall(r"\]\(([A-Za-z.]+\.md)", PAGE):
        assert (FOLDER / target).exists(), target
