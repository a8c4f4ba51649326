"""Why a rule did what it did, or did not: ``rules/EXPLAIN.md``."""

from fieldgate_rules.explain.explain import explain, why_not
from fieldgate_rules.explain.lines import report_lines
from fieldgate_rules.explain.report import Report
from fieldgate_rules.explain.triggers import Heard

__all__ = ["Heard", "Report", "explain", "report_lines", "why_not"]
