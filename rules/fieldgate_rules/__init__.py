"""Decisions taken from events: pure, no I/O. The rule engine's room; until it is built every event passes."""
