"""What is measured of a recipe's networks beside their errors: fitted polynomials, output weights, barriers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.polynomial.fits import Fit, aligned, fit, free_fit, hinge_unexplained, loss_on_line, recovered_by_truth
from analysis.polynomial.question import ARMS, FloatArray, Networks, Question
from analysis.statistics.intervals import Interval, clopper_pearson, mean_interval
from engine.polynomial.quadrature import gauss_rule, hidden_outputs, predict
from engine.polynomial.rows import PolynomialRows


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
        found = fit(x, predict(p[None], x[None], networks.activation)[0], forced_degree(truth)).coefficients
        distances.append(_coefficient_distance(found, truth))
    return np.array(distances)


def fit_rows(question: Question, networks: Networks) -> list[FitRow]:
    """Return the fits of both units and of the prediction, on training and on stretched inputs."""
    chosen = np.flatnonzero(networks.converged)
    parameters = networks.parameters[chosen]
    if networks.arm == "unconstrained":
        parameters = aligned(
            parameters, networks.activation
        )  # without fixed biases nothing else tells one unit from the other
    rows = question.rows_of([networks.runs[i] for i in chosen])
    degree = forced_degree(question.settings.coefficients)
    result = []
    for inputs, X in (("training", rows.X), ("stretched", rows.X_stretched)):
        units = (
            hidden_outputs(parameters, X, networks.activation)
            if len(chosen)
            else np.zeros((0, question.settings.n_hidden, 0))
        )
        curves = [(f"unit {k + 1}", units[:, k]) for k in range(units.shape[1])]
        curves.append(("prediction", predict(parameters, X, networks.activation) if len(chosen) else np.zeros((0, 0))))
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
    ends = {n.arm: aligned(n.parameters, n.activation) for n in (constrained, unconstrained)}

    def barrier(label: str, pairs: list[tuple[FloatArray, FloatArray, int]]) -> Barrier:
        lines = [
            loss_on_line(a, b, rules.select(slice(r, r + 1)), n_points, question.settings.activation)
            for a, b, r in pairs
        ]
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


def bent_share(networks: Networks, rows: PolynomialRows, stretched: bool) -> Interval:
    """Return the share of converged networks both of whose units two lines fit better than a cubic of as many numbers.

    Every tenth row is enough to tell.
    """
    X = (rows.X_stretched if stretched else rows.X)[:, ::10]
    chosen = np.flatnonzero(networks.converged)
    k = 0
    for r in chosen:
        x = X[r]
        units = hidden_outputs(networks.parameters[r : r + 1], x[None], networks.activation)[0]
        k += all(hinge_unexplained(x, unit) < fit(x, unit, 3).unexplained for unit in units)
    return clopper_pearson(k, len(chosen))


def article_distance(networks: Networks, rows: PolynomialRows, truth: Sequence[float]) -> FloatArray:
    """Return how far the article's "polynomial of the prediction" is from the truth (Euclidean), (R,)."""
    distances = []
    for p, x, y in zip(networks.parameters, rows.X_stretched, rows.y_stretched, strict=True):
        degrees = [forced_degree(truth)] * (len(p) // 3)
        found = recovered_by_truth(p, x, y, degrees, networks.activation)
        distances.append(_coefficient_distance(found, truth))
    return np.array(distances)


def _coefficient_distance(found: Sequence[float], truth: Sequence[float]) -> float:
    n = max(len(found), len(truth))
    return math.dist([*found, *[0.0] * (n - len(found))], [*truth, *[0.0] * (n - len(truth))])
