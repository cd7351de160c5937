"""What a look is: which draws it takes, which it may not take again, and what its tests may cost.

A look measures settings on draws that nothing has seen. Its draws follow from the question, the stage and the look's
number, so that the same question has the same answer wherever it is asked, and another question has other draws. The
question is everything that decides what is found for one dataset: the spec without its name, its other datasets and its
budget, and instead of the budget the number of search trials there are. Where the spec names a block of draws, the name
stands for the question: sweeps that share it are measured on the same draws.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from analysis.records.events import LookLine, Stage
from analysis.records.lines import canonical_json
from analysis.records.study import Study
from sweeps.data.source import Source
from sweeps.spec.sections import AblationSpec
from sweeps.spec.sweep import DatasetSpec, SweepSpec

FINITE_SHARE = 0.8
"""Of what is left of the level a look at test rows spends so much; see `level_of_look`."""
CLAIMED: tuple[Stage, ...] = ("certificate", "page_certificate")
FRESH: tuple[Stage, ...] = ("finalist", "certificate", "page_finalist", "page_certificate", "ablation")
"""Stages that are looks."""

ROUNDS: Mapping[Stage, tuple[int, ...]] = MappingProxyType(
    {
        "finalist": (16, 32, 64),
        "page_finalist": (16, 32, 64),
        "certificate": (),
        "page_certificate": (),
        "ablation": (),
    }
)
"""Numbers of draws after which a look's records are judged before its end.

Certificates and ablations have none: an end that the losses themselves choose spoils the interval of their mean
(docs/intervals.md).
"""


def question(spec: SweepSpec, dataset: DatasetSpec, n_trials: int) -> str:
    """Return the digest of what decides the answer for one dataset once `n_trials` trials have been searched."""
    search = dataclasses.replace(spec.search, n_trials=n_trials, until="", n_candidates=0, gain=0.0)
    # What is trained after the certificates, or measured besides, decides nothing: with it or without, their draws are
    # the same.
    alone = dataclasses.replace(
        spec, name="", draws="", datasets=(), search=search, origin="", ablation=AblationSpec(), probes=()
    ).digested()
    # Other rows are other draws by themselves: digests of files need not make them so.
    data = {key: v for key, v in dataset.data.without_folders().as_table().items() if not key.endswith("sha256")}
    whole = {**alone, "dataset": {"kind": dataset.kind, "name": dataset.name, **data}}
    return hashlib.sha256(canonical_json(whole).encode()).hexdigest()[:16]


def level_of_look(level: float, number: int, *, is_finite: bool) -> float:
    """Return what of a level a look may spend on one answer.

    Fresh draws: all of it, each time; of k looks, at most k times `level` find a goal reached that is not. Test rows
    that are all there is: four fifths of what earlier looks have left, so that all looks together keep to `level`.
    """
    if not is_finite:
        return level
    return level * FINITE_SHARE * (1.0 - FINITE_SHARE) ** (number - 1)


def draws_of(spec: SweepSpec, dataset: DatasetSpec, n_trials: int) -> str:
    """Return the block of draws that a look takes: the question's digest, or the name of a shared one."""
    return f"shared:{spec.draws}" if spec.draws else question(spec, dataset, n_trials)


def plan_look(spec: SweepSpec, dataset: DatasetSpec, source: Source, study: Study, stage: Stage) -> LookLine:
    """Return the look that a stage is about to take; how many records and which level they have is still to be said."""
    n_trials = len(study.trials)
    n_draws = len(seeds_of(source, study, stage, study.look_number, draws_of(spec, dataset, n_trials)))
    # Replicas that share all rows come in folds: a part of them is another experiment.
    rounds = [] if source.is_finite else [cut for cut in ROUNDS[stage] if cut < n_draws]
    return LookLine(
        number=study.look_number,
        stage=stage,
        draws=draws_of(spec, dataset, n_trials),
        n_trials=n_trials,
        first=study.first_of_look(stage),
        n_records=0,
        n_draws=n_draws,
        level=0.0,
        rounds=rounds,
    )


def with_records(look: LookLine, n: int, spec: SweepSpec, source: Source) -> LookLine:
    """Return a look with the number of its records, and the level that each of their tests has."""
    level = 0.0
    if look.stage in CLAIMED:
        # The number of tests on test rows is fixed beforehand: what another look spends must not depend on this one.
        shared = 1 if look.stage == "page_certificate" else spec.certificates.n if source.is_finite else max(n, 1)
        level = level_of_look(spec.certificates.level, look.number, is_finite=source.is_finite) / shared
    return dataclasses.replace(look, n_records=n, level=level)


def seeds_of(source: Source, study: Study, stage: Stage, number: int, draws: str) -> tuple[str, ...]:
    """Return the seeds of a look: of its block, without those that an earlier look of the study has had."""
    used: set[str] = set()
    for before in range(1, number):
        blocks = [
            source.fresh_seeds(look.stage, _block(look.draws, study, before), used)
            for look in study.looks
            if look.number == before
        ]
        used.update(*blocks)
    return source.fresh_seeds(stage, _block(draws, study, number), used)


def _block(draws: str, study: Study, number: int) -> str:
    return f"{draws}/{study.header.dataset}/{number}"
