"""A polynomial study with its rows drawn again: its networks by recipe and at equal error, and the arms in pairs.

A network counts as converged if its training error was below the study's mark at some step since the last look; those
that are not sit where both units do the work of one. Arms are compared seed by seed, because both arms of a seed share
data and first weights, and only over seeds in which both converged. Ratios are geometric means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from analysis.polynomial.fits import RangeErrors, range_errors, unit_correlation
from analysis.records.polynomial import DEFAULT_ACTIVATION, NetworkRecord, polynomial_settings
from analysis.records.study import Study
from analysis.statistics.intervals import Interval, clopper_pearson, mean_interval, paired_difference
from engine.polynomial.rows import Arm, PolynomialRows, draw_rows

FloatArray = npt.NDArray[np.float64]
SPIKE = 3.0
ARMS: tuple[Arm, Arm] = ("constrained", "unconstrained")


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of one recipe at one moment, by seed.

    Parameters
    ----------
    label : str
        What they are: ``"constrained, rate 0.0316, 5 000 000 steps"``.
    arm : str
    runs : tuple of NetworkRecord
        By seed.
    parameters : ndarray (R, 3 H + 1)
        NaN where a run never got there.
    converged : bool ndarray (R,)
    steps : ndarray (R,)
        Updates done; NaN where a run never got there.
    noise : ndarray (R,)
        Highest over lowest training error since the look before; NaN where that is not known.
    spiked : bool ndarray (R,)
        Whether it converged, and its last training error is above three times the lowest since the look before.
    errors : RangeErrors
    correlation : ndarray (R,)
        Of the first two units over the training rows.
    activation : str
        Of the units.
    """

    label: str
    arm: Arm
    runs: tuple[NetworkRecord, ...]
    parameters: FloatArray
    converged: npt.NDArray[np.bool_]
    steps: FloatArray
    noise: FloatArray
    spiked: npt.NDArray[np.bool_]
    errors: RangeErrors
    correlation: FloatArray
    activation: str = DEFAULT_ACTIVATION


@dataclass(frozen=True, slots=True)
class Pair:
    """The two arms under one condition, seed by seed.

    Parameters
    ----------
    condition : str
        What they have in common.
    budgets_differ : bool
        Whether their rates or lengths differ.
    at_equal_error : bool
        Whether they are looked at when they first reach one training error, not after a number of steps.
    constrained, unconstrained : Networks
    """

    condition: str
    budgets_differ: bool
    at_equal_error: bool
    constrained: Networks
    unconstrained: Networks

    @property
    def both(self) -> npt.NDArray[np.bool_]:
        """Seeds in which both converged."""
        return self.constrained.converged & self.unconstrained.converged


class Question:
    """A study with its rows drawn again; the source of everything below.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.settings = polynomial_settings(study.header.data)
        self.seeds = sorted({run.seed for run in study.networks})
        self._after: dict[tuple[Arm, float, int], Networks] = {}

    @cached_property
    def rows(self) -> PolynomialRows:
        """The rows of every seed that has a network, of which there must be one."""
        settings = self.settings
        return draw_rows(self.seeds, settings.coefficients, settings.n_rows, settings.noise_sd, settings.stretch)

    def runs(self, arm: Arm, learning_rate: float) -> tuple[NetworkRecord, ...]:
        """Return the runs of a training, by seed."""
        return tuple(r for r in self.study.networks if r.arm == arm and r.learning_rate == learning_rate)

    def rows_of(self, runs: Sequence[NetworkRecord]) -> PolynomialRows:
        """Return the rows of these runs."""
        index = [self.seeds.index(run.seed) for run in runs]
        rows = self.rows
        return PolynomialRows(
            rows.X[index], rows.y[index], rows.X_stretched[index], rows.y_stretched[index], rows.in_range[index]
        )

    def after(self, arm: Arm, learning_rate: float, n_steps: int) -> Networks:
        """Return the networks of a recipe when it ends."""
        key = (arm, learning_rate, n_steps)
        if key not in self._after:
            self._after[key] = self._measure_after(arm, learning_rate, n_steps)
        return self._after[key]

    def _measure_after(self, arm: Arm, learning_rate: float, n_steps: int) -> Networks:
        runs = self.runs(arm, learning_rate)
        i = self.settings.checkpoints.index(n_steps)
        lowest = np.array([run.lowest[i] for run in runs])
        return self._networks(
            f"{arm}, {recipe_text(learning_rate, n_steps)}",
            arm,
            runs,
            np.array([run.parameters[i] for run in runs]),
            lowest < self.settings.converged_below,
            np.full(len(runs), float(n_steps)),
            np.array([run.highest[i] for run in runs]) / lowest,
            np.array([run.loss[i] for run in runs]) > SPIKE * lowest,
        )

    def at_error(self, arm: Arm, learning_rate: float, threshold: float) -> Networks:
        """Return the networks of a training when their training error was first at or below a threshold."""
        runs = self.runs(arm, learning_rate)
        k = self.settings.thresholds.index(threshold)
        there = np.array([run.passage_step[k] is not None for run in runs])
        nothing = [math.nan] * (3 * self.settings.n_hidden + 1)
        return self._networks(
            f"{arm}, rate {learning_rate:.3g}, training error {threshold:g} reached",
            arm,
            runs,
            np.array([nothing if (p := run.passage_parameters[k]) is None else p for run in runs]),
            there,
            np.array([math.nan if (step := run.passage_step[k]) is None else float(step) for run in runs]),
            np.full(len(runs), math.nan),
            np.zeros(len(runs), np.bool_),
        )

    def _networks(
        self,
        label: str,
        arm: Arm,
        runs: tuple[NetworkRecord, ...],
        parameters: FloatArray,
        converged: npt.NDArray[np.bool_],
        steps: FloatArray,
        noise: FloatArray,
        spiked: npt.NDArray[np.bool_],
    ) -> Networks:
        rows = self.rows_of(runs)
        activation = self.settings.activation
        errors = range_errors(parameters, rows, activation)
        correlation = unit_correlation(parameters, rows.X, activation=activation)
        late = spiked & converged
        return Networks(label, arm, runs, parameters, converged, steps, noise, late, errors, correlation, activation)

    def own(self, arm: Arm) -> Networks:
        """Return the networks of an arm's own recipe, the first one the study names for it."""
        recipe = next(recipe for recipe in self.settings.recipes if recipe["arm"] == arm)
        return self.after(arm, float(recipe["learning_rate"]), int(recipe["n_steps"]))

    def recipes(self) -> list[Networks]:
        """Return the networks of every recipe, in the study's order."""
        return [
            self.after(_arm(recipe["arm"]), float(recipe["learning_rate"]), int(recipe["n_steps"]))
            for recipe in self.settings.recipes
        ]

    def trainings(self) -> list[tuple[Arm, float]]:
        """Return the arms and rates that were trained."""
        return list(dict.fromkeys((_arm(r["arm"]), float(r["learning_rate"])) for r in self.settings.recipes))

    def pairs(self) -> list[Pair]:
        """Return all conditions that the arms are compared under: own recipes, the same recipe, equal error."""
        constrained, unconstrained = self.own(ARMS[0]), self.own(ARMS[1])
        own = [networks.label.removeprefix(f"{networks.arm}, ") for networks in (constrained, unconstrained)]
        result = [Pair("each arm's own recipe", own[0] != own[1], False, constrained, unconstrained)]
        known = {(str(r["arm"]), float(r["learning_rate"]), int(r["n_steps"])) for r in self.settings.recipes}
        for rate, n_steps in sorted({(rate, steps) for _, rate, steps in known}):
            text = f"both at {recipe_text(rate, n_steps)}"
            if own == [recipe_text(rate, n_steps)] * 2:
                result[0] = replace(result[0], condition=text)
            elif all((arm, rate, n_steps) in known for arm in ARMS):
                result.append(Pair(text, False, False, *(self.after(arm, rate, n_steps) for arm in ARMS)))
        rates = (constrained.runs[0].learning_rate, unconstrained.runs[0].learning_rate)
        trained = self.trainings()
        shared = [rate for rate in sorted(set(rates)) if all((arm, rate) in trained for arm in ARMS)]
        reached = f"training error {self.settings.equal_error:g} reached"
        each = [("each arm at its own rate", rates)] if rates[0] != rates[1] else []
        for text, pair in [*each, *((f"both at rate {r:.3g}", (r, r)) for r in shared)]:
            both = (self.at_error(arm, rate, self.settings.equal_error) for arm, rate in zip(ARMS, pair, strict=True))
            result.append(Pair(f"{reached}, {text}", pair[0] != pair[1], True, *both))
        return result


def _arm(text: str | float) -> Arm:
    return "constrained" if text == "constrained" else "unconstrained"


def recipe_text(learning_rate: float, n_steps: int) -> str:
    """Return ``"rate 0.0316, 5 000 000 steps"``."""
    grouped = f"{n_steps:,}".replace(",", " ")
    return f"rate {learning_rate:.3g}, {grouped} steps"


def converged_share(networks: Networks) -> Interval:
    """Return the share of seeds that converged, with Clopper and Pearson's interval."""
    return clopper_pearson(int(networks.converged.sum()), len(networks.converged))


def mean_over_converged(values: FloatArray, networks: Networks) -> Interval:
    """Return the mean of a measurement over the seeds that converged."""
    return mean_interval(values[networks.converged])


def ratio(over: FloatArray, under: FloatArray, both: npt.NDArray[np.bool_]) -> Interval:
    """Return the geometric mean of paired ratios, with its interval; a pair with a 0 in it has no ratio."""
    over, under = (np.where(values > 0, values, np.nan) for values in (over[both], under[both]))
    logs = paired_difference(np.log(over), np.log(under))
    # Two seeds that disagree give ends beyond what a float holds.
    ends = [None if value is None else math.exp(min(value, 700.0)) for value in (logs.estimate, logs.low, logs.high)]
    return replace(logs, estimate=ends[0], low=ends[1], high=ends[2], method=f"geometric, {logs.method}")


def valley_errors(question: Question, end: Networks, i: int) -> tuple[Interval, Interval]:
    """Return mean training error and mean error out of range at place i of the valley, over converged seeds."""
    runs = [end.runs[r] for r in np.flatnonzero(end.converged)]
    solutions = np.array([run.valley_parameters[i] for run in runs])
    outside = (
        range_errors(solutions, question.rows_of(runs), question.settings.activation).out_of_range
        if runs
        else np.zeros(0)
    )
    return mean_interval([run.valley_loss[i] for run in runs]), mean_interval(outside)
