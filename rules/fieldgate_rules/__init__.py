"""Decisions taken from events: pure, no I/O. Files of rules are read, tested, asked and explained here."""
