"""The sections of the report, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from analysis.formats.blocks import Section
from analysis.records.study import Study
from analysis.sections import (
    ablation,
    answer,
    cards,
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
from analysis.words import later

OF_DRAWN_DATA = frozenset({"ranges", "distance", "surface", "network", "certainty"})
"""Sections about data that a rule draws afresh; a table has its own."""

Build = Callable[[Sequence[Study]], Section]

GROUPS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        later("In range against out of range"): ("ranges", "distance", "surface"),
        later("Is it sure?"): ("answer", "table", "certainty", "comparison", "overtuning"),
        later("Which hyperparameters?"): ("ablation", "effects", "selection", "choices"),
        later("All trials"): ("trials",),
        later("The networks"): ("curves", "network"),
        later("Where the figures come from"): ("provenance",),
    }
)
"""What sections are folded away under, in reading order: a question, and the sections that answer it."""
GROUP_OF: MappingProxyType[str, str] = MappingProxyType({key: group for group, keys in GROUPS.items() for key in keys})

SECTIONS: MappingProxyType[str, Build] = MappingProxyType(
    {
        "cards": cards.build,
        "ranges": ranges.build,
        "distance": distance.build,
        "surface": surface.build,
        "answer": answer.build,
        "table": table.build,
        "certainty": certainty.build,
        "comparison": comparison.build,
        "overtuning": overtuning.build,
        "ablation": ablation.build,
        "effects": effects.build,
        "selection": selection.build,
        "choices": choices.build,
        "trials": trials.build,
        "curves": curves.build,
        "network": network.build,
        "provenance": provenance.build,
    }
)
