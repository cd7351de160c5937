"""CMA-ES over a whole space: for searches that begin and end in one process, as a lesson's do."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from analysis.records.events import Scalar
from sweeps.search.samplers import Proposal, startup_point
from sweeps.search.space import all_parts, from_unit, walk
from sweeps.spec.sweep import SweepSpec
from sweeps.store.seeds import text_seed

if TYPE_CHECKING:
    import cmaes

SIGMA = 0.25
"""First step, of a dimension's length: half of the points lie within a third of it around the mean."""
BELOW_1 = 1.0 - 1e-9
"""Fractions of a dimension are below 1."""


class EvolutionSampler:
    """Covariance matrix adaptation on the unit cube of all dimensions, after start-up points from a Sobol sequence.

    Every dimension that can exist anywhere is a coordinate; a choice takes equal parts of its own, and what a setting
    has no use for is proposed and left out. It begins at the best start-up point. Its state is not in any log, so that
    it is no sampler of a sweep, which may be stopped and go on: see `sweeps.spec.samplers.OptunaSampler`.

    Parameters
    ----------
    spec : SweepSpec
        Its space, seed and number of start-up trials.
    dataset : str
        Name of the study's dataset.

    Raises
    ------
    ValueError
        If the package cmaes is not installed.

    References
    ----------
    N. Hansen, A. Ostermeier, "Completely derandomized self-adaptation in evolution strategies", Evolutionary
    Computation 9, 2001; the package cmaes (Nomura and Shibata, 2024).
    """

    def __init__(self, spec: SweepSpec, dataset: str) -> None:
        if importlib.util.find_spec("cmaes") is None:
            raise ValueError("work.sampler: cmaes needs the package cmaes; install it, or leave it out")
        self._spec, self._dataset = spec, dataset
        self._keys = [part.key for part in all_parts(spec.space)]
        self._asked: dict[int, np.ndarray] = {}
        self._best: tuple[float, np.ndarray] = (math.inf, np.full(len(self._keys), 0.5))
        self._generation: list[tuple[np.ndarray, float]] = []
        self._optimizer: cmaes.CMA | None = None

    def ask(self, number: int) -> Proposal:
        """Choose trial `number`."""
        if number < self._spec.search.n_startup_trials:
            found = startup_point(self._spec.space, self._spec.seed, self._dataset, number)
            x = np.array([found[key] for key in self._keys])
        else:
            self._optimizer = self._optimizer or self._made()
            x = self._optimizer.ask()
        self._asked[number] = x
        units = dict(zip(self._keys, np.clip(x, 0.0, BELOW_1).tolist(), strict=True))
        return walk(self._spec.space, lambda part: from_unit(part, units[part.key]))

    def add(self, number: int, point: Mapping[str, Scalar]) -> None:
        """Refuse a trial that was chosen elsewhere.

        Raises
        ------
        AssertionError
            Always: its coordinates are not known.
        """
        raise AssertionError(f"trial {number} was chosen elsewhere: {sorted(point)}")

    def tell(self, number: int, value: float | None) -> None:
        """Tell a trial's value; None means that it failed, which ranks last."""
        x, y = self._asked.pop(number), math.inf if value is None else value
        if self._optimizer is None:
            if y < self._best[0]:
                self._best = (y, x)
            return
        self._generation.append((x, min(y, 1e300)))  # only ranks count
        if len(self._generation) == self._optimizer.population_size:
            self._optimizer.tell(self._generation)
            self._generation = []

    def _made(self) -> cmaes.CMA:
        with warnings.catch_warnings():  # that it may be given margins, which choices of equal parts do not want
            warnings.simplefilter("ignore")
            import cmaes

        seed = text_seed(self._spec.seed, self._dataset, "cmaes") % 2**32
        bounds = np.tile([0.0, 1.0], (len(self._keys), 1))
        return cmaes.CMA(self._best[1], SIGMA, bounds=bounds, seed=seed)
