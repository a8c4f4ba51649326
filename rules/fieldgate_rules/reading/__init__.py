"""Files of rules in, rules that can be run out, or everything that is wrong with them."""

from fieldgate_rules.reading.again import RulesReader
from fieldgate_rules.reading.known import Known, ReadRules, TemplateFacts
from fieldgate_rules.reading.library import library_file, library_names
from fieldgate_rules.reading.read import library_templates, read_rules, write_out

__all__ = [
    "Known",
    "ReadRules",
    "RulesReader",
    "TemplateFacts",
    "library_file",
    "library_names",
    "library_templates",
    "read_rules",
    "write_out",
]
