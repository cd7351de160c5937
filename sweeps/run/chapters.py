"""Chapters of a study: the search goes on in another space, and keeps what it has tried there already.

An earlier trial lies in a space if some setting of the space is trained exactly as it was: network and training are
the same, whether the space searches a field that was left at its default before, or no longer searches it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.records.events import Chapter, Scalar
from analysis.records.lines import canonical_json
from analysis.records.study import Study
from sweeps.search.samplers import Sampler, ToldTrial, make_sampler
from sweeps.search.space import apply
from sweeps.spec.dimensions import Dimension
from sweeps.spec.placing import DEPTH, SIZES, placed
from sweeps.spec.sweep import SweepSpec, parse_spec
from sweeps.spec.writing import as_toml
from sweeps.toml import SpecError, read_toml

Proposal = tuple[dict[str, Scalar], dict[str, Scalar]]
"""Params and point, see `sweeps.search.space.walk`."""


def within(spec: SweepSpec, params: Mapping[str, Scalar]) -> Proposal | None:
    """Return an earlier trial as the spec's space would have proposed it; None where it does not lie in it."""
    then = apply(spec, params, 1, 1)
    try:
        fields = searched(spec.space, dataclasses.asdict(then[0]), dataclasses.asdict(then[1]))
        proposal = placed(spec.space, fields, spec.name)
    except SpecError:
        return None
    return proposal if apply(spec, proposal[0], 1, 1) == then else None


def searched(
    space: tuple[Dimension, ...], network: Mapping[str, Any], training: Mapping[str, Any]
) -> dict[str, Scalar]:
    """Return what a network and its training, field by field, are in the words of a space."""
    sizes = network["hidden_layer_sizes"]
    values: dict[str, Scalar] = {DEPTH: len(sizes)}
    values |= {f"{SIZES}.{i}": size for i, size in enumerate(sizes, start=1)}
    values |= {f"network.{field}": value for field, value in network.items()}
    values |= {f"training.{field}": value for field, value in training.items()}
    there: dict[str, Scalar] = {}
    for dimension in space:  # conditions first: what does not exist for these values is not named
        if not all(there.get(key) in allowed for key, allowed in dimension.when):
            continue
        keys = [f"{SIZES}.{i}" for i in range(1, len(sizes) + 1)] if dimension.key == SIZES else [dimension.key]
        there |= {key: values[key] for key in keys}
    return there


def chapter_of(old: SweepSpec, new: SweepSpec, study: Study) -> Chapter:
    """Return the chapter that begins where a study of the old spec goes on with the new one.

    Raises
    ------
    SpecError
        If there would be no trial in it.
    """
    first = len(study.asked)
    if new.search.n_trials <= first:
        raise SpecError(
            f"{new.name}: search: n_trials: {new.search.n_trials}; {study.header.dataset} has asked {first} trials"
            " already: give --trials above that"
        )
    return Chapter(
        n_trials=new.search.n_trials,
        until=new.search.until,
        spec_sha256=new.sha256,
        first=first,
        kept=[number for number in sorted(study.asked) if within(new, study.asked[number]) is not None],
        spec_before=as_toml(old.without_folders()),
    )


def specs_of_chapters(spec: SweepSpec, study: Study) -> list[SweepSpec]:
    """Return the spec of each chapter of a study, the header's first; the last one is `spec`.

    Raises
    ------
    SpecError
        If what a chapter says of the one before will not do.
    """
    specs = [spec]
    for chapter in reversed(study.chapters):
        where = f"{spec.name}: spec before trial {chapter.first}"
        before = parse_spec(read_toml(chapter.spec_before.encode(), where), where)
        specs.insert(0, dataclasses.replace(before, datasets=spec.datasets))  # wherever their files lie now
    return specs


def starts_of_chapters(study: Study) -> list[int]:
    """Return the number of each chapter's first trial."""
    return [0, *(chapter.first for chapter in study.chapters)]


def told_in(spec: SweepSpec, study: Study, i: int) -> Iterator[ToldTrial]:
    """Yield the trials that chapter `i` of a study, whose spec this is, has kept; all before it must be finished."""
    if i == 0:
        return
    values = {trial.number: None if trial.state == "failed" else trial.value for trial in study.trials}
    for number in study.chapters[i - 1].kept:
        proposal = within(spec, study.asked[number])
        if proposal is None:
            raise SpecError(f"{spec.name}: trial {number} is kept, but does not lie in the chapter's space")
        yield ToldTrial(number, *proposal, values[number])


def repeatable(spec: SweepSpec, study: Study, i: int) -> dict[str, list[int]]:
    """Return the numbers of the trials that chapter `i` has kept, by the canonical text of their params there."""
    found: dict[str, list[int]] = {}
    for number in study.chapters[i - 1].kept if i else ():
        proposal = within(spec, study.asked[number])
        if proposal is not None:
            found.setdefault(canonical_json(proposal[0]), []).append(number)
    return found


def sampler_of(spec: SweepSpec, study: Study, i: int) -> Sampler:
    """Return who chooses the trials of chapter `i` of a study, whose spec this is."""
    start = starts_of_chapters(study)[i]
    return make_sampler(spec, study.header.dataset, start, list(told_in(spec, study, i)))
