"""Which trial to try next: one of Optuna's samplers after a Sobol sequence, or a list of points or a whole grid.

Every proposal is a function of the spec, the trial's number and the values told before it.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.stats import qmc

from analysis.records.study import Scalar
from sweeps.search.space import all_parts, from_unit, grid, walk
from sweeps.spec.dimensions import Dimension
from sweeps.spec.samplers import OPTUNA
from sweeps.spec.sweep import SweepSpec
from sweeps.store.seeds import text_seed
from sweeps.toml import SpecError

if TYPE_CHECKING:
    import optuna

STREAM_STARTUP = 11
STREAM_RANDOM = 16

Proposal = tuple[dict[str, Scalar], dict[str, Scalar]]
"""Params and point, see `sweeps.search.space.walk`."""


class Sampler(Protocol):
    """What a study asks and tells, in the order of trial numbers."""

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Enter a trial that was chosen before (one read back from the log) as running."""

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value; None means that it failed."""


def startup_point(space: tuple[Dimension, ...], seed: int, dataset: str, number: int) -> dict[str, float]:
    """Return the `number`-th point of the scrambled Sobol sequence of a study.

    Every dimension that can exist anywhere has its own coordinate, sizes of layers that a trial does not have
    included, so that the points fill each part of a conditional space evenly.

    Parameters
    ----------
    space : tuple of Dimension
        The sweep's space.
    seed : int
        Sweep seed.
    dataset : str
        Name of the study's dataset.
    number : int
        Trial number: the point's index in the sequence.

    Returns
    -------
    dict of str to float
        Coordinate by key, 0 <= u < 1.
    """
    keys = [part.key for part in all_parts(space)]
    rng = np.random.default_rng([seed, STREAM_STARTUP, text_seed(dataset)])
    sequence = qmc.Sobol(len(keys), scramble=True, seed=rng)
    if number:
        sequence.fast_forward(number)
    return dict(zip(keys, map(float, sequence.random(1)[0]), strict=True))


class ListSampler:
    """Trials that follow from their number alone.

    Parameters
    ----------
    propose : callable
        ``propose(number)`` is the trial.
    """

    def __init__(self, propose: Callable[[int], Proposal]) -> None:
        self._propose = propose

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        return self._propose(number)

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Take no note: nothing told changes anything."""

    def tell(self, number: int, value: float | None) -> None:
        """Take no note: nothing told changes anything."""


class ToldSampler:
    """Optuna's study of one dataset, in memory, after start-up points from a Sobol sequence.

    A fresh sampler is made for each ask, seeded by sweep seed, dataset and trial number, so that a proposal
    depends on nothing but the spec and the values told before it.

    Parameters
    ----------
    spec : SweepSpec
        The sweep.
    dataset : str
        The study's dataset.
    """

    def __init__(self, spec: SweepSpec, dataset: str) -> None:
        import optuna

        chosen = OPTUNA[spec.search.sampler]
        if chosen.needs and importlib.util.find_spec(chosen.needs) is None:
            raise SpecError(
                f"{spec.name}: search: sampler: {spec.search.sampler} needs the package {chosen.needs}; install it, or "
                "use tpe"
            )
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce every study on stderr
        self._spec = spec
        self._dataset = dataset
        self._study = optuna.create_study(direction="minimize")

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        import optuna

        space = self._spec.space
        if number < self._spec.search.n_startup_trials:
            params, point = _sobol_proposal(self._spec, self._dataset, number)
            self.add(number, point)
            return params, point
        chosen = OPTUNA[self._spec.search.sampler]
        seed = text_seed(self._spec.seed, self._dataset, number) % 2**32
        with warnings.catch_warnings():  # what Optuna calls experimental is pinned by the version in each log
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = getattr(optuna.samplers, chosen.kind)(**chosen.options, seed=seed)
        trial = self._study.ask()
        if trial.number != number:
            raise AssertionError(f"trial {number} was asked out of order, as {trial.number}")
        return walk(space, lambda part: _suggest(trial, part))

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Enter a trial that was chosen elsewhere (a start-up point, or one read back from the log) as running."""
        import optuna

        by_key = {part.key: part for part in all_parts(self._spec.space)}
        self._study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=dict(point),
                distributions={key: _distribution(by_key[key]) for key in point},
            )
        )
        if len(self._study.get_trials(deepcopy=False)) != number + 1:
            raise AssertionError(f"trial {number} was entered out of order")

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value; None means that it failed."""
        import optuna

        if value is None:
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)


def make_sampler(spec: SweepSpec, dataset: str) -> Sampler:
    """Return the sampler that a spec names, for the study of one of its datasets."""
    name = spec.search.sampler
    return ToldSampler(spec, dataset) if name in OPTUNA else _LISTS[name](spec, dataset)


def _sobol_proposal(spec: SweepSpec, dataset: str, number: int) -> Proposal:
    units = startup_point(spec.space, spec.seed, dataset, number)
    return walk(spec.space, lambda part: from_unit(part, units[part.key]))


def _random_proposal(spec: SweepSpec, dataset: str, number: int) -> Proposal:
    rng = np.random.default_rng([spec.seed, STREAM_RANDOM, text_seed(dataset), number])
    return walk(spec.space, lambda part: from_unit(part, float(rng.random())))


def _make_sobol(spec: SweepSpec, dataset: str) -> Sampler:
    return ListSampler(lambda number: _sobol_proposal(spec, dataset, number))


def _make_random(spec: SweepSpec, dataset: str) -> Sampler:
    return ListSampler(lambda number: _random_proposal(spec, dataset, number))


def _make_grid(spec: SweepSpec, dataset: str) -> Sampler:  # noqa: ARG001 (one signature; a grid is the same for all)
    points = list(grid(spec.space))
    return ListSampler(points.__getitem__)


_LISTS: Mapping[str, Callable[[SweepSpec, str], Sampler]] = MappingProxyType(
    {"sobol": _make_sobol, "random": _make_random, "grid": _make_grid}
)


def _suggest(trial: optuna.Trial, part: Dimension) -> Scalar:
    if part.kind == "choice":
        return trial.suggest_categorical(part.key, part.choices)
    if part.by:
        return trial.suggest_float(part.key, 0.0, 1.0)
    if part.kind == "int":
        return trial.suggest_int(part.key, int(part.low), int(part.high), log=part.log)
    return trial.suggest_float(part.key, part.low, part.high, log=part.log)


def _distribution(part: Dimension) -> optuna.distributions.BaseDistribution:
    import optuna

    if part.kind == "choice":
        return optuna.distributions.CategoricalDistribution(part.choices)
    if part.by:
        return optuna.distributions.FloatDistribution(0.0, 1.0)
    if part.kind == "int":
        return optuna.distributions.IntDistribution(int(part.low), int(part.high), log=part.log)
    return optuna.distributions.FloatDistribution(part.low, part.high, log=part.log)
