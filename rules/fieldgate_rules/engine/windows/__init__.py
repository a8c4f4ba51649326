"""Figures over a time."""
