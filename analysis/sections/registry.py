"""The sections of the report, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from analysis.formats.blocks import Section
from analysis.records.study import Study
from analysis.sections import (
    answer,
    certainty,
    choices,
    comparison,
    curves,
    distance,
    effects,
    network,
    overtuning,
    provenance,
    ranges,
    selection,
    surface,
    table,
    trials,
)

OF_DRAWN_DATA = frozenset({"ranges", "distance", "surface", "network", "certainty"})
"""Sections about data that a rule draws afresh; a table has its own."""

Build = Callable[[Sequence[Study]], Section]

SECTIONS: MappingProxyType[str, Build] = MappingProxyType(
    {
        "answer": answer.build,
        "table": table.build,
        "effects": effects.build,
        "ranges": ranges.build,
        "comparison": comparison.build,
        "selection": selection.build,
        "distance": distance.build,
        "surface": surface.build,
        "curves": curves.build,
        "trials": trials.build,
        "choices": choices.build,
        "network": network.build,
        "certainty": certainty.build,
        "overtuning": overtuning.build,
        "provenance": provenance.build,
    }
)
