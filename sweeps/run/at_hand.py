"""A lesson without the arms whose data cannot be had: the others run all the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from analysis.records.lines import canonical_json
from sweeps.data.kinds import KINDS
from sweeps.data.table.published.fetching import FetchError
from sweeps.spec.design import Design
from sweeps.spec.lesson import LessonSpec, asked_of, data_table
from sweeps.toml import SpecTable


def with_data_at_hand(spec: LessonSpec) -> tuple[LessonSpec, dict[str, FetchError]]:
    """Return a lesson without the datasets that cannot be had, and why they cannot.

    Returns
    -------
    spec : LessonSpec
        Under a name of its own where anything is left out: with the data at hand, the whole lesson is run.
    missing : dict of str to FetchError
        By name of dataset.

    Raises
    ------
    FetchError
        If nothing would be left.
    """
    missing = _missing(spec)
    if not missing:
        return spec, {}
    designs = tuple(left for design in spec.designs if (left := _without(design, missing)) is not None)
    if not designs:
        raise next(iter(missing.values()))
    name = "_".join([spec.name, "without", *missing])
    return dataclasses.replace(spec, name=name, designs=designs, left_out=(*spec.left_out, *missing)), missing


def _missing(spec: LessonSpec) -> dict[str, FetchError]:
    """Return why datasets cannot be had; only a lesson of several is asked, for opening one may take a second."""
    found: dict[str, FetchError] = {}
    seen: set[str] = set()
    settings = spec.settings()
    if len({str(one["dataset"]) for _, one in settings}) < 2:
        return found
    for design, one in settings:
        table, dataset = data_table(design, one), str(one["dataset"])
        key = canonical_json([dataset, table["kind"]])
        if key in seen:
            continue
        seen.add(key)
        kind = KINDS[str(table["kind"])]
        rest = SpecTable({k: v for k, v in table.items() if k != "kind"}, f"{spec.name}: data")
        try:
            kind.open(asked_of(spec, design, dataset, one), kind.parse(rest), None)
        except FetchError as error:
            found[dataset] = error
    return found


def _without(design: Design, names: Collection[str]) -> Design | None:
    """Return a design without some datasets; None if it has no others."""
    cross, paired = dict(design.cross), design.paired
    if "dataset" in cross:
        cross["dataset"] = [one for one in cross["dataset"] if one not in names]
        if not cross["dataset"]:
            return None
    elif any("dataset" in row for row in paired):
        paired = [row for row in paired if row.get("dataset") not in names]
        if not paired:
            return None
    elif design.fixed.get("dataset") in names:
        return None
    return dataclasses.replace(design, cross=cross, paired=paired)
