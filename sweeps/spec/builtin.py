"""The names of the sweeps that come with the project. Nothing heavy is loaded for them."""

from __future__ import annotations

from importlib import resources

POLYNOMIALS = "polynomials"
"""Folder of the built-in polynomial studies, among the built-in sweeps."""
TABLES = "tables"
"""Folder of the built-in sweeps of tables; `sweeps.spec.from_table` completes them."""
LESSONS = "lessons"
"""Folder of the built-in lessons, among the built-in sweeps."""


def builtin_specs(folder: str = ".") -> tuple[str, ...]:
    """Return the names of the sweeps that come with the project; those in folders of their own apart."""
    names = (entry.name for entry in resources.files("sweeps").joinpath("specs", folder).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))
