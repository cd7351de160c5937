"""Sweeps that come of others: the same one with more, or another one that first tries an earlier one's best."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from analysis.records.events import Scalar
from analysis.records.reading import read_sweep
from analysis.records.study import Study
from sweeps.run.certificate import ranked
from sweeps.run.chapters import searched
from sweeps.spec.placing import placed
from sweeps.spec.sweep import SweepSpec, parse_spec, read_table
from sweeps.spec.writing import as_table, table_difference
from sweeps.store.log import digest
from sweeps.toml import SpecError, SpecTable, shown

N_FIRST = 5
"""So many settings of an earlier sweep are tried first."""


def with_first_of(spec: SweepSpec, folder: Path, dataset: str = "") -> SweepSpec:
    """Return a spec whose first settings are the best of an earlier sweep, as far as they lie in its space.

    They are chosen by search trials alone, whose draws no look of a sweep with the same seed ever takes: what is
    certified is measured on draws, or rows, that had no part in the choice. Another seed deals them otherwise.

    Parameters
    ----------
    spec : SweepSpec
        What is asked.
    folder : Path
        The earlier sweep's, ``<results>/<sweep>``.
    dataset : str
        One of its datasets; empty: all in turn.

    Raises
    ------
    SpecError
        If there is no such dataset, its kind of data is the same and its seed another, or none of its settings lies in
        the space.
    RecordError
        If a log is damaged.
    """
    studies = [study for study in read_sweep(folder) if study.trials]
    named = f"{folder.name}/{dataset}" if dataset else folder.name
    chosen = [study for study in studies if dataset in ("", study.header.dataset)]
    if not chosen:
        there = ", ".join(study.header.dataset for study in studies) or "no search"
        raise SpecError(f"--from {named}: no such study; there is {there}")
    kinds = {one.kind for one in spec.datasets}
    for study in chosen:
        if study.header.data["kind"] in kinds and study.header.seed != spec.seed:
            raise SpecError(
                f"--from {named}: its seed is {study.header.seed}, not {spec.seed}; give --seed {study.header.seed}, so"
                " that nothing it was chosen on is certified on"
            )
    first = list(spec.search.first)
    wanted = len(first) + N_FIRST
    ranks = zip_longest(*(_best(study, spec) for study in chosen))
    for params in [params for rank in ranks for params in rank if params is not None]:
        if params not in first and len(first) < wanted:
            first.append(params)
    if len(first) == len(spec.search.first):
        n = sum(len(study.trials) for study in chosen)
        raise SpecError(f"--from {named}: none of its {n} trials lies in the space of {spec.name}; leave it out")
    origin = f"{named}@{digest(folder)[:12]}"
    return dataclasses.replace(spec, search=dataclasses.replace(spec.search, first=tuple(first)), origin=origin)


def _best(study: Study, spec: SweepSpec) -> list[tuple[tuple[str, Scalar], ...]]:
    """Return the settings of a study's search that lie in a spec's space, the best first."""
    found = []
    for record in ranked(study.eligible()):
        try:
            params, _ = placed(spec.space, searched(spec.space, record.network, record.training), "")
        except SpecError:
            continue
        found.append(tuple(params.items()))
    return found


def extended(
    spec: SweepSpec,
    n_again: int,
    *,
    trials: str | None,
    space: Path | None,
    settings: Sequence[str],
    until: str | None = None,
) -> SweepSpec:
    """Return the spec with which a sweep goes on.

    Parameters
    ----------
    spec : SweepSpec
        The sweep's.
    n_again : int
        Trials of another chapter where nothing is said.
    trials : str or None
        ``"+100"``: so many more; ``"300"``: so many in all.
    space : Path or None
        A TOML file with another ``[space]``; a whole spec must otherwise be the sweep's own.
    until : str or None
        What ends the search now; the budget stays what it is unless something else changes.
    settings : sequence of str
        ``"space.training.learning_rate.high=1.0"``: other values by their place in the spec, as TOML.

    Raises
    ------
    SpecError
        If a value will not do, nothing changes, or something that an extension cannot change.
    """
    table = as_table(spec)
    if space is not None:
        table["space"] = _space_of(space, table)
    for text in settings:
        _set(table, text)
    is_grid = table["search"]["sampler"] == "grid"
    if trials is not None:
        table["search"]["n_trials"] = _budget(trials, spec.search.n_trials)
    elif table["search"]["n_trials"] == spec.search.n_trials and parse_spec(table, spec.name) != spec:
        if is_grid:
            del table["search"]["n_trials"]  # the whole grid
        else:
            table["search"]["n_trials"] += n_again
    if until is not None:
        table["search"]["until"] = until
    new = parse_spec(table, spec.name)
    if new == spec:
        raise SpecError(
            f"{spec.name}: nothing changes; give --trials +N, --until budget, --space FILE or --set KEY=VALUE"
        )
    if not new.extends(spec) and spec.with_budget(spec.search.n_trials, new.search.until) == new:
        raise SpecError(
            f'{spec.name}: until: "{new.search.until}" ends a search before "{spec.search.until}", which this one has; '
            "add --trials +N for a chapter that ends so"
        )
    if not new.extends(spec) and not new.reopens(spec):
        allowed = ("space.", "search.n_trials", "search.until", "search.first")
        changes = table_difference(as_table(spec), as_table(new))
        other = [change for change in changes if not change.startswith(allowed)] or changes
        raise SpecError(
            f"{spec.name}: {other[0]}; an extension changes the space, first settings, and a budget that grows: run"
            f" another sweep with --from {spec.name}"
        )
    return new


def _budget(text: str, before: int) -> int:
    digits = text.removeprefix("+")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise SpecError(f"--trials: {text!r} is not a number of trials; write +100 for a hundred more, or 300 for all")
    return int(digits) + (before if text.startswith("+") else 0)


def _space_of(path: Path, table: Mapping[str, Any]) -> Any:
    given, where = read_table(path)
    if "space" not in given:
        raise SpecError(f"{where}: space is missing")
    if set(given) != {"space"}:
        # A whole spec is asked for as a whole: what differs besides its space must not be passed over in silence.
        whole = as_table(parse_spec(given, where))
        for name in ("space", "name", "origin"):
            whole[name] = table.get(name)
        for name in ("n_trials", "until"):
            whole["search"][name] = table["search"][name]
        if changes := table_difference(table, {key: value for key, value in whole.items() if key in table or value}):
            raise SpecError(f"{where}: {changes[0]}; give a file with [space] alone, or run another sweep with --from")
    return given["space"]


def _set(table: dict[str, Any], text: str) -> None:
    """Set one value of a spec's table by its place."""
    key, separator, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise SpecError(f"--set {shown(text)}: write KEY=VALUE, as space.training.learning_rate.high=1.0")
    place: Any = table
    for part in parts[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise SpecError(f"--set {shown(text)}: {'.'.join(parts[:-1])} is no table of the spec")
    place[parts[-1]] = _value(value.strip())


def _value(text: str) -> Any:
    """Return a TOML value; a bare word is a text."""
    try:
        return SpecTable(tomllib.loads(f"value = {text}"), "--set").take("value")
    except (ValueError, RecursionError):
        return text
