"""Formulas that give a column of numbers: a sum, a product, a ratio of others, or a function of one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sweeps.data.table.leak_columns import MOST_NUMBERS, N_FOLDS, LeakColumns, fold_numbers, joined, shown

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Kind = Literal["curve", "sum", "product", "lookup"]

EXACT = 2e-3
"""An error up to this is none: what is left are digits that were not written down."""
MOST_ROUNDED = 0.05
"""A target written with few digits may be missed by what these leave out, up to this error."""
MOST_COLUMNS = 12
"""Columns of a sum that are looked for one by one; longer sums are found from all columns at once."""
MOST_FACTORS = 5
_BEST_PAIRS = 3
_FEWEST_ROWS = 20
_ROWS_A_COLUMN = 8


@dataclass(frozen=True, slots=True)
class Formula:
    """What gives the target.

    Parameters
    ----------
    kind : str
        ``"curve"`` of one column, ``"sum"`` of multiples, ``"product"`` of powers, ``"lookup"`` by a word.
    columns : tuple of str
        Of which.
    weights : tuple of float
        Multiples or powers; the last is the constant, or the factor.
    error : float
        Over folds, in standard deviations of the target.
    """

    kind: Kind
    columns: tuple[str, ...]
    weights: tuple[float, ...]
    error: float

    def text(self, target: str) -> str:
        """Return the formula as a reader would write it."""
        name = shown(target)
        *weights, constant = self.weights or (0.0,)
        if self.kind == "sum" and len(self.columns) <= 6:
            units = all(abs(abs(weight) - 1) < 2e-3 for weight in weights)
            terms = [
                f"{'-' if weight < 0 else '+'} {'' if units else f'{abs(weight):.4g} '}{shown(column)}"
                for column, weight in zip(self.columns, weights, strict=True)
            ]
            terms.sort(key=lambda term: term[0])
            scale = sum(map(abs, weights))
            rest = f" {'-' if constant < 0 else '+'} {abs(constant):.3g}" if abs(constant) > 1e-2 * scale else ""
            return f"{name} = {' '.join(terms).removeprefix('+ ')}{rest}, exactly"
        if self.kind == "sum":
            first = ", ".join(map(shown, self.columns[:3]))
            return f"{name} is a sum of multiples of {len(self.columns)} columns ({first}, ...), exactly"
        if self.kind == "product":
            return f"{name} = {_product_text(self.columns, weights, constant)}, exactly"
        return f"{name} follows from {joined(self.columns)} alone, exactly"


def _product_text(columns: Sequence[str], powers: Sequence[float], factor: float) -> str:
    def factor_text(column: str, power: float) -> str:
        return shown(column) if abs(power - 1) < 0.02 else f"{shown(column)}^{power:.3g}"

    above = [factor_text(c, p) for c, p in zip(columns, powers, strict=True) if p > 0]
    below = [factor_text(c, -p) for c, p in zip(columns, powers, strict=True) if p < 0]
    front = [] if abs(factor - 1) < 2e-3 else [f"{factor:.4g}"]
    text = " * ".join([*front, *above]) or "1"
    return text + "".join(f" / {one}" for one in below)


def exact_limit(y: FloatArray) -> float:
    """Return the error that the digits of the target leave: at least `EXACT`, at most `MOST_ROUNDED`."""
    spread = float(y.std())
    step = next((10.0**-k for k in range(-6, 7) if np.allclose(y * 10.0**k, np.rint(y * 10.0**k), 0, 1e-6)), 0.0)
    return max(EXACT, min(MOST_ROUNDED, 0.5 * step / spread)) if spread > 0 else 0.0


def find_formula(
    columns: LeakColumns, y: FloatArray, *, limit: float | None = None, most_columns: int = MOST_COLUMNS
) -> Formula | None:
    """Return the formula of fewest columns whose error is at most `limit` (default `exact_limit`), or None."""
    if float(np.std(y)) == 0.0:
        return None
    limit = exact_limit(y) if limit is None else limit
    folds = fold_numbers(len(y))
    singles = [one for one in (_single(columns, name, y, folds) for name in columns.names) if one is not None]
    best = min(singles, key=lambda one: one.error, default=None)
    if best is not None and best.error <= limit:
        return best
    rows, names = _complete(columns, y)
    if len(names) < 2 or len(rows) < _FEWEST_ROWS:
        return None
    X, part, own = np.column_stack([columns.numbers[name][rows] for name in names]), y[rows], folds[rows]
    found = _best(_pairs(X, part, own, names), limit)
    if found is None and most_columns > 2:
        longer = [_forward_product(X, part, own, names, limit), _sum(X, part, own, names, limit, most_columns)]
        found = _best([one for one in longer if one is not None], limit)
    return None if found is None else _in_order(found, columns.names)


def _in_order(formula: Formula, names: Sequence[str]) -> Formula:
    """Return the formula with its columns in the table's order."""
    order = sorted(range(len(formula.columns)), key=lambda k: names.index(formula.columns[k]))
    weights = (*(formula.weights[k] for k in order), formula.weights[-1])
    return dataclasses.replace(formula, columns=tuple(formula.columns[k] for k in order), weights=weights)


def _best(formulas: Sequence[Formula], limit: float) -> Formula | None:
    fitting = [one for one in formulas if one.error <= limit]
    # What is as exact in one way as in another is told in the plainer way: a sum before a product.
    return min(fitting, key=lambda one: (len(one.columns), one.kind != "sum", one.error), default=None)


def single_error(columns: LeakColumns, name: str, y: FloatArray, folds: IntArray) -> float:
    """Return the error of the best curve of one column."""
    one = _single(columns, name, y, folds)
    return math.inf if one is None else one.error


def _single(columns: LeakColumns, name: str, y: FloatArray, folds: IntArray) -> Formula | None:
    if name in columns.words:
        codes = columns.words[name]
        return Formula("lookup", (name,), (), _lookup_error(codes, y, folds))
    values = columns.numbers[name]
    known = np.isfinite(values)
    if known.sum() < max(_FEWEST_ROWS, len(y) // 5):
        return None
    x, part, own = values[known], y[known], folds[known]
    if len(np.unique(x)) < 3 or np.ptp(part) == 0:
        return None
    error, weights = _fit(x[:, None], part, own)
    if error <= exact_limit(part):
        return Formula("sum", (name,), weights, error)
    return Formula("curve", (name,), (), min(error, _monotone_error(x, part, own), _between_error(x, part)))


def _lookup_error(codes: IntArray, y: FloatArray, folds: IntArray) -> float:
    predicted = np.zeros(len(y))
    for k in range(N_FOLDS):
        train, part = folds != k, folds == k
        n = np.bincount(codes[train], minlength=codes.max() + 1)
        total = np.bincount(codes[train], weights=y[train], minlength=codes.max() + 1)
        predicted[part] = np.where(n > 0, total / np.maximum(n, 1), y[train].mean())[codes[part]]
    return float(np.sqrt(((predicted - y) ** 2).mean()) / y.std())


def _monotone_error(x: FloatArray, y: FloatArray, folds: IntArray) -> float:
    """Return the error of a rising or falling curve; not fitted where the ranks do not go together."""
    from scipy.stats import rankdata
    from sklearn.isotonic import IsotonicRegression

    if abs(np.corrcoef(rankdata(x), rankdata(y))[0, 1]) < 0.9:
        return math.inf
    predicted = np.zeros(len(y))
    for k in range(N_FOLDS):
        train, part = folds != k, folds == k
        if part.any():
            model = IsotonicRegression(increasing="auto", out_of_bounds="clip").fit(x[train], y[train])
            predicted[part] = model.predict(x[part])
    return float(np.sqrt(((predicted - y) ** 2).mean()) / y.std())


def _between_error(x: FloatArray, y: FloatArray) -> float:
    """Return the error of the straight line between the neighbours of each row, or of the others at the same place."""
    places, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    totals = np.bincount(where, weights=y)
    means = totals / counts
    inner = np.zeros(len(places), dtype=bool)
    line = means.copy()
    if len(places) > 2:
        inner[1:-1] = True
        share = (places[1:-1] - places[:-2]) / (places[2:] - places[:-2])
        line[1:-1] = means[:-2] + share * (means[2:] - means[:-2])
    several = counts[where] > 1
    alone = inner[where] & ~several
    if (several | alone).sum() < len(y) / 2:
        return math.inf
    others = np.where(several, (totals[where] - y) / np.maximum(counts[where] - 1, 1), line[where])
    chosen = several | alone
    return float(np.sqrt(((others - y)[chosen] ** 2).mean()) / y.std())


def _complete(columns: LeakColumns, y: FloatArray) -> tuple[IntArray, list[str]]:
    """Return rows without a missing number, and the columns that leave enough of them, at most `MOST_NUMBERS`."""
    names = sorted(columns.numbers, key=lambda name: (int(np.isnan(columns.numbers[name]).sum()), name))
    kept: list[str] = []
    whole = np.ones(len(y), dtype=bool)
    for name in names:
        more = whole & np.isfinite(columns.numbers[name])
        if more.sum() >= max(_FEWEST_ROWS, 0.6 * len(y)):
            whole, kept = more, [*kept, name]
    rows = np.flatnonzero(whole)
    kept = [name for name in kept if np.ptp(columns.numbers[name][rows]) > 0]
    if len(kept) > MOST_NUMBERS:
        size = {name: abs(float(np.corrcoef(columns.numbers[name][rows], y[rows])[0, 1])) for name in kept}
        kept = sorted(sorted(kept, key=lambda name: -size[name])[:MOST_NUMBERS])
    return rows, kept


def _fit(X: FloatArray, y: FloatArray, folds: IntArray) -> tuple[float, tuple[float, ...]]:
    """Return the error of least squares over folds, and the weights of all rows with the constant last."""
    centre, spread = X.mean(axis=0), X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    Z = np.column_stack([(X - centre) / spread, np.ones(len(X))])
    predicted = np.zeros(len(y))
    for k in range(N_FOLDS):
        train, part = folds != k, folds == k
        predicted[part] = Z[part] @ np.linalg.lstsq(Z[train], y[train], rcond=1e-10)[0]
    found = np.linalg.lstsq(Z, y, rcond=1e-10)[0]
    weights = found[:-1] / spread
    constant = float(found[-1] - weights @ centre)
    return float(np.sqrt(((predicted - y) ** 2).mean()) / y.std()), (*weights.tolist(), constant)


def _pairs(X: FloatArray, y: FloatArray, folds: IntArray, names: Sequence[str]) -> list[Formula]:
    """Return the sums, products and ratios of two columns that go most with the target."""
    n, p = X.shape
    upper = np.triu_indices(p, 1)
    Z, w = _standard(X), _standard(y)
    r, between = Z.T @ w / n, (Z.T @ Z / n)[upper]
    a, b = r[upper[0]], r[upper[1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        fit = (a**2 + b**2 - 2 * a * b * between) / (1 - between**2)
    fit = np.where(np.abs(between) < 1 - 1e-9, fit, -1.0)
    formulas = []
    for k in np.argsort(-fit, kind="stable")[:_BEST_PAIRS]:
        chosen = [int(upper[0][k]), int(upper[1][k])]
        error, weights = _fit(X[:, chosen], y, folds)
        formulas.append(Formula("sum", tuple(names[j] for j in chosen), weights, error))
    scaled = X / np.abs(X).max(axis=0)
    formulas += _pair_products(scaled, X, scaled, y, w, folds, names, 1.0)
    usable = np.flatnonzero((X != 0).all(axis=0))
    if len(usable):
        inverse = 1.0 / X[:, usable]
        inverse /= np.abs(inverse).max(axis=0)
        formulas += _pair_products(scaled, X, inverse, y, w, folds, names, -1.0, usable)
    return formulas


def _standard(values: FloatArray) -> FloatArray:
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def _pair_products(
    A: FloatArray,
    X: FloatArray,
    B: FloatArray,
    y: FloatArray,
    w: FloatArray,
    folds: IntArray,
    names: Sequence[str],
    power: float,
    usable: IntArray | None = None,
) -> list[Formula]:
    """Return a * b (or a / b) of the pairs whose product correlates most with the target, by three matrix products."""
    n = len(y)
    of_b = np.arange(X.shape[1]) if usable is None else usable
    with_y = A.T @ (w[:, None] * B) / n
    mean, square = A.T @ B / n, (A**2).T @ (B**2) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(with_y) / np.sqrt(square - mean**2)
    size = np.where(square - mean**2 > 1e-12 * square, size, -1.0)
    size[of_b[None, :] == np.arange(X.shape[1])[:, None]] = -1.0
    formulas = []
    for k in np.argsort(-size, axis=None, kind="stable")[: 2 * _BEST_PAIRS]:
        i, j = int(k // size.shape[1]), int(of_b[k % size.shape[1]])
        if size.flat[k] < 0:
            break
        product = X[:, i] * X[:, j] if power > 0 else X[:, i] / X[:, j]
        error, (factor, constant) = _fit(product[:, None], y, folds)
        del constant
        formulas.append(Formula("product", (names[i], names[j]), (1.0, power, factor), error))
    return formulas


def _forward_product(
    X: FloatArray, y: FloatArray, folds: IntArray, names: Sequence[str], limit: float
) -> Formula | None:
    """Return the product of powers of the columns that fit the logarithm best one after another."""
    rows = y != 0
    usable = np.flatnonzero((X[rows] != 0).all(axis=0))
    if rows.sum() < max(_FEWEST_ROWS, 0.5 * len(y)) or not len(usable):
        return None
    logs, goal, own = np.log(np.abs(X[rows][:, usable])), np.log(np.abs(y[rows])), folds[rows]
    varied = np.ptp(logs, axis=0) > 0
    logs, usable = logs[:, varied], usable[varied]
    if not len(usable) or np.ptp(goal) == 0:
        return None
    for chosen in _forward(logs, goal, min(MOST_FACTORS, len(goal) // _ROWS_A_COLUMN)):
        if len(chosen) < 2:
            continue
        _, (*powers, _) = _fit(logs[:, chosen], goal, own)
        powers = [_rounded(power) for power in powers]
        if not all(powers):
            continue
        base = np.exp(np.clip(logs[:, chosen] @ powers, -700, 700))
        factor = float(np.median(np.abs(y[rows]) / base))
        error = float(np.sqrt(((factor * base - np.abs(y[rows])) ** 2).mean()) / y.std())
        if error <= limit:
            used = tuple(names[usable[j]] for j in chosen)
            return Formula("product", used, (*powers, factor), error)
    return None


def _rounded(power: float) -> float:
    """Return a power, whole or half where it is close."""
    near = round(2 * power) / 2
    return near if abs(power - near) < 0.02 else power


def _forward(X: FloatArray, y: FloatArray, most: int) -> list[list[int]]:
    """Return the columns that lower the squared error most, one after another: [[3], [3, 1], ...]."""
    Z, rest = _standard(X), _standard(y)
    chosen: list[int] = []
    steps = []
    for _ in range(min(most, Z.shape[1])):
        size = np.linalg.norm(Z, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(size > 1e-6 * math.sqrt(len(y)), np.abs(Z.T @ rest) / size, -1.0)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        if gain[best] <= 0:
            break
        direction = Z[:, best] / size[best]
        rest = rest - direction * (direction @ rest)
        Z = Z - np.outer(direction, direction @ Z)
        chosen = [*chosen, best]
        steps.append(chosen)
    return steps


def _sum(
    X: FloatArray, y: FloatArray, folds: IntArray, names: Sequence[str], limit: float, most: int
) -> Formula | None:
    """Return the sum of multiples of fewest columns, from all columns at once or from a few taken one by one."""
    start = list(range(X.shape[1]))
    if len(y) < 3 * len(start) or _fit(X, y, folds)[0] > limit:
        steps = _forward(X, y, min(most, len(y) // _ROWS_A_COLUMN))
        start = next((chosen for chosen in steps if _fit(X[:, chosen], y, folds)[0] <= limit), [])
    if not start:
        return None
    chosen = _pruned(X, y, start, limit)
    error, weights = _fit(X[:, chosen], y, folds)
    return Formula("sum", tuple(names[j] for j in chosen), weights, error)


def _pruned(X: FloatArray, y: FloatArray, chosen: list[int], limit: float) -> list[int]:
    """Leave out every column without which the rest still fit, those of least weight first."""
    Z, w = _standard(X[:, chosen]), _standard(y)
    products, with_y = Z.T @ Z / len(w), Z.T @ w / len(w)

    def solve(kept: list[int]) -> tuple[FloatArray, float]:
        found = np.linalg.lstsq(products[np.ix_(kept, kept)], with_y[kept], rcond=1e-10)[0]
        return np.asarray(found, np.float64), float(np.sqrt(max(1.0 - float(found @ with_y[kept]), 0.0)))

    kept = list(range(len(chosen)))
    weights, _ = solve(kept)
    for j in np.argsort(np.abs(weights), kind="stable").tolist():
        fewer = [k for k in kept if k != j]
        if fewer and solve(fewer)[1] <= limit:
            kept = fewer
    return [chosen[k] for k in kept]
