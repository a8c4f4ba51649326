"""Rules at work: events in, what is to be done out. No I/O and no clock."""

from fieldgate_rules.engine.decisions import Acted, Decision
from fieldgate_rules.engine.engine import Engine
from fieldgate_rules.engine.memory import EngineLimits
from fieldgate_rules.engine.part import Tally
from fieldgate_rules.engine.slot import Slot

__all__ = ["Acted", "Decision", "Engine", "EngineLimits", "Slot", "Tally"]
