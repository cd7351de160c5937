"""What a polynomial study says: errors by recipe, fits, barriers, and a verdict on each of the article's claims.

A network counts as converged if its training error was below the study's mark at some step since the last look; those
that are not sit where both units do the work of one. Arms are compared seed by seed, because both arms of a seed share
data and first weights, and only over seeds in which both converged. Ratios are geometric means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.polynomial.fits import (
    Fit,
    RangeErrors,
    aligned,
    fit,
    free_fit,
    hinge_unexplained,
    loss_on_line,
    range_errors,
    recovered_by_truth,
    unit_correlation,
)
from analysis.records.polynomial import NetworkRecord, polynomial_settings
from analysis.records.study import Study
from analysis.statistics.intervals import Interval, mean_interval, paired_difference, rank_correlation_interval, wilson
from engine.polynomial.quadrature import gauss_rule, hidden_outputs, predict
from engine.polynomial.rows import Arm, PolynomialRows, draw_rows

FloatArray = npt.NDArray[np.float64]
Verdict = Literal["holds", "does not hold", "not decided"]

SPIKE = 3.0
SAME_VERDICT = "the same"
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


Measure = Callable[[Networks], FloatArray]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement that bears on a claim.

    Parameters
    ----------
    condition : str
        What is compared with what.
    measure : str
        What is measured, so that above `even` speaks for the claim.
    interval : Interval
    even : float
        Value at which the measurement speaks neither way: 0 for differences, 1 for ratios, 0.5 for shares.
    budgets_differ : bool
        Whether the two arms had different rates or lengths.
    """

    condition: str
    measure: str
    interval: Interval
    even: float
    budgets_differ: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        if self.interval.low is None or self.interval.high is None:
            return "not decided"
        if self.interval.low > self.even:
            return "holds"
        return "does not hold" if self.interval.high < self.even else "not decided"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the article and what was found."""

    text: str
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> str:
        """What all the evidence says together."""
        return joint_verdict(self.evidence)

    @property
    def fair_verdict(self) -> str:
        """What the evidence under equal budgets says, or that none had different ones."""
        fair = [one for one in self.evidence if not one.budgets_differ]
        return SAME_VERDICT if len(fair) == len(self.evidence) else joint_verdict(fair)


def joint_verdict(evidence: Sequence[Evidence]) -> str:
    """Return what pieces of evidence say together: a claim holds only under some where others speak against it."""
    n = len(evidence)
    holds = [one for one in evidence if one.verdict == "holds"]
    against = [one for one in evidence if one.verdict == "does not hold"]
    if holds and against:
        conditions = dict.fromkeys(
            f"{one.condition} (different budgets)" if one.budgets_differ else one.condition for one in holds
        )
        return f"holds only under: {'; '.join(conditions)}"
    word, decided = ("holds", len(holds)) if holds else ("does not hold", len(against))
    if not decided:
        return "not decided"
    return word if decided == n else f"{word} ({decided} of {n} conditions; the others are not decided)"


@dataclass(frozen=True, slots=True)
class FitRow:
    """Polynomials fitted to one curve of the converged networks of a recipe.

    Parameters
    ----------
    label, curve, inputs : str
        Recipe; ``"unit 1"``, ``"unit 2"`` or ``"prediction"``; ``"training"`` or ``"stretched"``.
    degrees : tuple of int
        Free degree of each network.
    free_unexplained : Interval
        Share of variance that the free fit leaves over.
    forced : tuple of Interval
        Coefficients of the polynomial of the truth's degree (at least 2), constant first.
    forced_unexplained : Interval
    """

    label: str
    curve: str
    inputs: str
    degrees: tuple[int, ...]
    free_unexplained: Interval
    forced: tuple[Interval, ...]
    forced_unexplained: Interval


@dataclass(frozen=True, slots=True)
class Barrier:
    """Losses on the straight line between pairs of solutions.

    Parameters
    ----------
    label : str
        Which solutions.
    height : Interval
        Decimal logarithm of the highest loss on the line over the higher of the ends'.
    lines : ndarray (n, points)
        The losses.
    """

    label: str
    height: Interval
    lines: FloatArray


class Question:
    """A study with its rows drawn again; the source of everything below.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.settings = settings = polynomial_settings(study.header.data)
        self.seeds = sorted({run.seed for run in study.networks})
        self._after: dict[tuple[Arm, float, int], Networks] = {}
        self.rows = draw_rows(self.seeds, settings.coefficients, settings.n_rows, settings.noise_sd, settings.stretch)

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
        errors, correlation = range_errors(parameters, rows), unit_correlation(parameters, rows.X)
        return Networks(label, arm, runs, parameters, converged, steps, noise, spiked & converged, errors, correlation)

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
    """Return the share of seeds that converged, with Wilson's interval."""
    return wilson(int(networks.converged.sum()), len(networks.converged))


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


def largest_weight(networks: Networks) -> FloatArray:
    """Return the largest absolute output weight of each network, (R,)."""
    H = networks.parameters.shape[1] // 3
    return np.asarray(np.abs(networks.parameters[:, 2 * H : 3 * H]).max(axis=1), np.float64)


def forced_degree(truth: Sequence[float]) -> int:
    """Return the degree that predictions are forced into: the truth's, given its coefficients, but at least 2."""
    return max(2, len(truth) - 1)


def forced_name(truth: Sequence[float]) -> str:
    """Return what to call a fit of that degree."""
    degree = forced_degree(truth)
    return {2: "quadratic", 3: "cubic"}.get(degree, f"polynomial of degree {degree}")


def forced_distance(networks: Networks, rows: PolynomialRows, truth: Sequence[float], stretched: bool) -> FloatArray:
    """Return how far the forced polynomial of each prediction is from the truth's coefficients (Euclidean), (R,)."""
    X = rows.X_stretched if stretched else rows.X
    distances = []
    for p, x in zip(networks.parameters, X, strict=True):
        if not np.isfinite(p).all():
            distances.append(math.nan)
            continue
        found = fit(x, predict(p[None], x[None])[0], forced_degree(truth)).coefficients
        distances.append(_coefficient_distance(found, truth))
    return np.array(distances)


def fit_rows(question: Question, networks: Networks) -> list[FitRow]:
    """Return the fits of both units and of the prediction, on training and on stretched inputs."""
    chosen = np.flatnonzero(networks.converged)
    parameters = networks.parameters[chosen]
    if networks.arm == "unconstrained":
        parameters = aligned(parameters)  # without fixed biases nothing else tells one unit from the other
    rows = question.rows_of([networks.runs[i] for i in chosen])
    degree = forced_degree(question.settings.coefficients)
    result = []
    for inputs, X in (("training", rows.X), ("stretched", rows.X_stretched)):
        units = hidden_outputs(parameters, X) if len(chosen) else np.zeros((0, question.settings.n_hidden, 0))
        curves = [(f"unit {k + 1}", units[:, k]) for k in range(units.shape[1])]
        curves.append(("prediction", predict(parameters, X) if len(chosen) else np.zeros((0, 0))))
        for curve, values in curves:
            free = [free_fit(x, v) for x, v in zip(X, values, strict=True)]
            forced: list[Fit] = [fit(x, v, degree) for x, v in zip(X, values, strict=True)]
            result.append(
                FitRow(
                    networks.label,
                    curve,
                    inputs,
                    tuple(one.degree for one in free),
                    mean_interval([one.unexplained for one in free]),
                    tuple(mean_interval([one.coefficients[k] for one in forced]) for k in range(degree + 1)),
                    mean_interval([one.unexplained for one in forced]),
                )
            )
    return result


def barriers(question: Question, n_points: int = 101) -> list[Barrier]:
    """Return the barriers between the arms' own solutions of a seed, and between neighboring seeds within an arm."""
    constrained, unconstrained = question.own(ARMS[0]), question.own(ARMS[1])
    rules = gauss_rule(question.rows.X, question.rows.y, question.settings.n_nodes)
    ends = {n.arm: aligned(n.parameters) for n in (constrained, unconstrained)}

    def barrier(label: str, pairs: list[tuple[FloatArray, FloatArray, int]]) -> Barrier:
        lines = [loss_on_line(a, b, rules.select(slice(r, r + 1)), n_points) for a, b, r in pairs]
        heights = [math.log10(line.max() / max(line[0], line[-1])) for line in lines]
        return Barrier(label, mean_interval(heights), np.array(lines).reshape(len(lines), n_points))

    both = np.flatnonzero(constrained.converged & unconstrained.converged)
    result = [barrier("constrained to unconstrained", [(ends[ARMS[0]][r], ends[ARMS[1]][r], int(r)) for r in both])]
    for networks in (constrained, unconstrained):
        chosen = np.flatnonzero(networks.converged)
        solutions = ends[networks.arm]
        neighbors = [(solutions[r], solutions[s], int(r)) for r, s in zip(chosen[::2], chosen[1::2], strict=False)]
        result.append(barrier(f"two {networks.arm} ones, of different seeds", neighbors))
    return result


def claims(question: Question) -> list[Claim]:
    """Return the article's claims with the evidence for and against each."""
    truth = question.settings.coefficients
    pairs = question.pairs()
    by_recipe = [pair for pair in pairs if not pair.at_equal_error]
    recipes = question.recipes()
    rows = question.rows
    converged, equal = (f"{value:g}" for value in (question.settings.converged_below, question.settings.equal_error))

    measure = (
        f"distance of the forced {forced_name(truth)}'s coefficients from the true ones, unconstrained over constrained"
    )

    def distance(stretched: bool) -> Measure:
        return lambda networks: forced_distance(networks, rows, truth, stretched)

    return [
        Claim(
            "Both networks fit the training range: in at least four of five seeds.",
            tuple(
                Evidence(
                    n.label,
                    f"share of seeds with a training error below {converged}",
                    converged_share(n),
                    0.8,
                )
                for n in recipes
            ),
        ),
        Claim(
            "The unconstrained network converges faster.",
            (
                *_ratios(
                    [pair for pair in pairs if pair.at_equal_error],
                    "steps to that training error, constrained over unconstrained",
                    lambda networks: networks.steps,
                ),
                *(_converged_difference(pair) for pair in by_recipe),
            ),
        ),
        Claim(
            "The constrained network's output weights are far larger: at least five times (the article: about ten).",
            _ratios(by_recipe, "largest output weight, constrained over unconstrained", largest_weight, even=5.0),
        ),
        Claim(
            "The constrained network is far better out of range.",
            _ratios(pairs, "error out of range, unconstrained over constrained", _out_of_range, flip=True),
        ),
        Claim(
            "The constrained network is better in total.",
            _ratios(pairs, "total error, unconstrained over constrained", lambda n: n.errors.total, flip=True),
        ),
        Claim(
            "Its price in range is small: below a factor of two (the article reports a factor of 3.4).",
            _ratios(
                pairs,
                "error in range, unconstrained over constrained",
                lambda n: n.errors.in_range,
                flip=True,
                even=0.5,
            ),
        ),
        Claim(
            "The constrained network's polynomial is closer to the true one.",
            (
                *_ratios(by_recipe, measure, distance(stretched=False), flip=True, note=", training inputs"),
                *_ratios(by_recipe, measure, distance(stretched=True), flip=True, note=", stretched inputs"),
                *_ratios(
                    by_recipe[:1],
                    measure,
                    lambda networks: article_distance(networks, rows, truth),
                    flip=True,
                    note=", computed from the true targets as in the article",
                ),
            ),
        ),
        Claim(
            "The unconstrained network's units correlate less.",
            tuple(
                Evidence(
                    pair.condition,
                    "absolute correlation over the training rows, constrained minus unconstrained",
                    paired_difference(
                        np.abs(pair.constrained.correlation[pair.both]),
                        np.abs(pair.unconstrained.correlation[pair.both]),
                    ),
                    0.0,
                    pair.budgets_differ,
                )
                for pair in pairs
            ),
        ),
        Claim(
            "Correlated units make training slow (within an arm; an association at best).",
            tuple(_slowness(question, arm, rate) for arm, rate in question.trainings()),
        ),
        Claim(
            "Correlated units make gradients noisy (within an arm; an association at best).",
            tuple(_noisiness(question, arm, rate) for arm, rate in question.trainings()),
        ),
        Claim(
            "The unconstrained network's units look piecewise linear, like ReLU.",
            tuple(
                Evidence(
                    f"{n.label}, {'stretched' if stretched else 'training'} inputs",
                    "share of converged networks both of whose units two lines fit better than a cubic",
                    bent_share(n, rows, stretched),
                    0.5,
                )
                for n in recipes
                if n.arm == "unconstrained"
                for stretched in (False, True)
            ),
        ),
        Claim(
            "A better solution comes after the training error has settled.",
            tuple(
                Evidence(
                    n.label,
                    f"error out of range when the training error was first {equal}, over that at the end",
                    _later(question, n),
                    1.0,
                )
                for n in recipes
            ),
        ),
    ]


def _out_of_range(networks: Networks) -> FloatArray:
    return networks.errors.out_of_range


def _ratios(
    pairs: Sequence[Pair], measure: str, value: Measure, *, flip: bool = False, even: float = 1.0, note: str = ""
) -> tuple[Evidence, ...]:
    found = []
    for pair in pairs:
        over, under = (pair.unconstrained, pair.constrained) if flip else (pair.constrained, pair.unconstrained)
        interval = ratio(value(over), value(under), pair.both)
        found.append(Evidence(pair.condition + note, measure, interval, even, pair.budgets_differ))
    return tuple(found)


def _converged_difference(pair: Pair) -> Evidence:
    unconstrained, constrained = (n.converged.astype(np.float64) for n in (pair.unconstrained, pair.constrained))
    measure = "share of seeds that converge, unconstrained minus constrained"
    return Evidence(pair.condition, measure, paired_difference(unconstrained, constrained), 0.0, pair.budgets_differ)


def _slowness(question: Question, arm: Arm, learning_rate: float) -> Evidence:
    equal_error = question.settings.equal_error
    there = question.at_error(arm, learning_rate, equal_error)
    correlation = rank_correlation_interval(np.abs(there.correlation[there.converged]), there.steps[there.converged])
    measure = f"rank correlation of |correlation| and steps, when the training error is first {equal_error:g}"
    return Evidence(f"{arm}, rate {learning_rate:.3g}", measure, correlation, 0.0)


def _noisiness(question: Question, arm: Arm, learning_rate: float) -> Evidence:
    end = question.after(arm, learning_rate, question.settings.checkpoints[-1])
    noise = rank_correlation_interval(np.abs(end.correlation[end.converged]), end.noise[end.converged])
    measure = "rank correlation of |correlation| and highest over lowest of the last losses"
    return Evidence(f"{arm}, rate {learning_rate:.3g}", measure, noise, 0.0)


def _later(question: Question, end: Networks) -> Interval:
    early = question.at_error(end.arm, end.runs[0].learning_rate, question.settings.equal_error)
    both = early.converged & end.converged & (early.steps < end.steps)
    return ratio(early.errors.out_of_range, end.errors.out_of_range, both)


def bent_share(networks: Networks, rows: PolynomialRows, stretched: bool) -> Interval:
    """Return the share of converged networks both of whose units two lines fit better than a cubic of as many numbers.

    Every tenth row is enough to tell.
    """
    X = (rows.X_stretched if stretched else rows.X)[:, ::10]
    chosen = np.flatnonzero(networks.converged)
    k = 0
    for r in chosen:
        x = X[r]
        units = hidden_outputs(networks.parameters[r : r + 1], x[None])[0]
        k += all(hinge_unexplained(x, unit) < fit(x, unit, 3).unexplained for unit in units)
    return wilson(k, len(chosen))


def article_distance(networks: Networks, rows: PolynomialRows, truth: Sequence[float]) -> FloatArray:
    """Return how far the article's "polynomial of the prediction" is from the truth (Euclidean), (R,)."""
    distances = []
    for p, x, y in zip(networks.parameters, rows.X_stretched, rows.y_stretched, strict=True):
        degrees = [forced_degree(truth)] * (len(p) // 3)
        found = recovered_by_truth(p, x, y, degrees)
        distances.append(_coefficient_distance(found, truth))
    return np.array(distances)


def _coefficient_distance(found: Sequence[float], truth: Sequence[float]) -> float:
    n = max(len(found), len(truth))
    return math.dist([*found, *[0.0] * (n - len(found))], [*truth, *[0.0] * (n - len(truth))])
