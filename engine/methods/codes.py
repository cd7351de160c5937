"""The number of a method that has no compiled form."""

UNCOMPILED = -1
"""Code of a record that only the NumPy road can train: a new record needs no other, and loses speed alone."""
