"""Tests of rules on a virtual clock, and what other rules would have done. ``rules/TESTS.md`` is the manual."""

from fieldgate_rules.tester.comparison import Change, Comparison, RuleCounts
from fieldgate_rules.tester.engines import Make, make_engine
from fieldgate_rules.tester.junit import TestedFile, junit_xml
from fieldgate_rules.tester.messages import Messages, Said
from fieldgate_rules.tester.outcome import Outcome, when
from fieldgate_rules.tester.replay import Replay
from fieldgate_rules.tester.result import Failure, TestResult, is_error, report_lines
from fieldgate_rules.tester.run import Run
from fieldgate_rules.tester.session import TestFile, Why, read_tests, run_tests
from fieldgate_rules.tester.timeline import Happening, Noticed, Recording, Spoken, recorded

__all__ = [
    "Change",
    "Comparison",
    "Failure",
    "Happening",
    "Make",
    "Messages",
    "Noticed",
    "Outcome",
    "Recording",
    "Replay",
    "RuleCounts",
    "Run",
    "Said",
    "Spoken",
    "TestFile",
    "TestResult",
    "TestedFile",
    "Why",
    "is_error",
    "junit_xml",
    "make_engine",
    "read_tests",
    "recorded",
    "report_lines",
    "run_tests",
    "when",
]
