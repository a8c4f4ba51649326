"""Files of rules in, rules that can be run out, or everything that is wrong with them."""

from fieldgate_rules.reading.known import Known, ReadRules, TemplateFacts
from fieldgate_rules.reading.library import library_names
from fieldgate_rules.reading.read import read_rules
from fieldgate_rules.reading.sections import MAX_RULE_FILE

__all__ = ["MAX_RULE_FILE", "Known", "ReadRules", "TemplateFacts", "library_names", "read_rules"]
