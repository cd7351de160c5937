"""A polynomial of one input, learnt by a few sigmoid units: rows, stretched rows, first weights.

The published protocol draws x by NumPy's legacy generator, ``RandomState(seed).randn(n)``, and stretches the very same
draws by 3 for the test; there is no split. Keras' initial weights cannot be redrawn without Keras, but their law can:
He's truncated normal into the hidden units, Glorot's uniform out of them, biases 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from engine.methods.initializers import TRUNCATED_SD

FloatArray = npt.NDArray[np.float64]
Arm = Literal["constrained", "unconstrained"]

STREAM_NOISE = 31
STREAM_FIRST_WEIGHTS = 32
LARGEST_SEED = 2**32 - 1
QUADRATIC = (1.0, 2.0, 3.0)
"""1 + 2 x + 3 x^2."""
CONSTRAINED_BIASES = (0.0, math.log(2.0 - math.sqrt(3.0)))
"""Where the sigmoid's second and third derivative vanish: one unit for the linear piece, one for the quadratic."""
FIXED_BIASES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"sigmoid": CONSTRAINED_BIASES, "tanh": (0.0, CONSTRAINED_BIASES[1] / 2.0), "relu": (0.0, 0.0)}
)
"""The same for other units: tanh(z) is 2 sigmoid(2 z) - 1; relu has no curvature anywhere, and its bend at the bias."""
PUBLISHED_PARAMETERS: MappingProxyType[Arm, tuple[float, ...]] = MappingProxyType(
    {
        "constrained": (0.18998857, 0.39265335, 0.0, -1.316958, -559.892, 434.2152, 189.08543),
        "unconstrained": (-1.0866661, 0.85507196, -3.102202, -2.7769487, 51.564045, 91.12118, -6.4819527),
    }
)
"""Final numbers of the article's two networks: w1, w2, b1, b2, W1, W2, B."""
PUBLISHED_RATES: MappingProxyType[Arm, float] = MappingProxyType(
    {"constrained": 0.01 * math.sqrt(10.0), "unconstrained": 0.1 * math.sqrt(10.0)}
)
PUBLISHED_STEPS: MappingProxyType[Arm, int] = MappingProxyType({"constrained": 5_000_000, "unconstrained": 1_000_000})


@dataclass(frozen=True, slots=True)
class PolynomialRows:
    """Rows of R replicas.

    Parameters
    ----------
    X, y : ndarray (R, n)
        Training inputs, and targets with their noise.
    X_stretched, y_stretched : ndarray (R, n)
        The same draws times the stretch, and the polynomial there, without noise.
    in_range : bool ndarray (R, n)
        Which stretched inputs lie between the smallest and the largest training input.
    """

    X: FloatArray
    y: FloatArray
    X_stretched: FloatArray
    y_stretched: FloatArray
    in_range: npt.NDArray[np.bool_]


def polynomial(coefficients: Sequence[float], X: FloatArray) -> FloatArray:
    """Return the polynomial with these coefficients, constant first, at X."""
    return np.asarray(np.polynomial.polynomial.polyval(X, coefficients), np.float64)


def draw_rows(
    seeds: Sequence[int],
    coefficients: Sequence[float] = QUADRATIC,
    n: int = 10_000,
    noise_sd: float = 0.0,
    stretch: float = 3.0,
) -> PolynomialRows:
    """Draw the rows of each seed; seed 1 without noise gives the published ones.

    Parameters
    ----------
    seeds : sequence of int
        One a replica, 0 to 4294967295.
    coefficients : sequence of float
        Of the polynomial, constant first.
    n : int
        Rows, at least 2.
    noise_sd : float
        Standard deviation of the noise on the training targets.
    stretch : float
        Factor between training and test inputs, above 0.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"seeds: {seed}; give whole numbers from 0 to {LARGEST_SEED}")
    if not coefficients or not np.isfinite(coefficients).all():
        raise ValueError(f"coefficients: {list(coefficients)}; give at least one finite number, the constant first")
    if n < 2:
        raise ValueError(f"n: {n} rows; give at least 2")
    if not 0 <= noise_sd < math.inf:
        raise ValueError(f"noise_sd: {noise_sd!r}; give a standard deviation from 0")
    if not 0 < stretch < math.inf:
        raise ValueError(f"stretch: {stretch!r}; give a factor above 0, such as 3")
    X = np.stack([np.random.RandomState(seed).randn(n) for seed in seeds])
    y = polynomial(coefficients, X)
    if noise_sd:
        y = y + noise_sd * np.stack([np.random.default_rng([seed, STREAM_NOISE]).normal(size=n) for seed in seeds])
    stretched = stretch * X
    in_range = (stretched >= X.min(axis=1, keepdims=True)) & (stretched <= X.max(axis=1, keepdims=True))
    return PolynomialRows(X, y, stretched, polynomial(coefficients, stretched), in_range)


def first_parameters(arm: Arm, seeds: Sequence[int], n_hidden: int = 2, activation: str = "sigmoid") -> FloatArray:
    """Return Keras-like first values, (R, 3 H + 1); both arms of a seed differ in their hidden biases only.

    Parameters
    ----------
    arm : str
        ``"constrained"`` or ``"unconstrained"``.
    seeds : sequence of int
        One a replica.
    n_hidden : int
        Hidden units H; the constrained arm repeats its two biases in turn.
    activation : str
        Name in `FIXED_BIASES`.
    """
    rows = []
    for seed in seeds:
        rng = np.random.default_rng([seed, STREAM_FIRST_WEIGHTS])
        w = rng.normal(size=n_hidden)
        while (far := np.abs(w) > 2.0).any():
            w[far] = rng.normal(size=int(far.sum()))
        w *= math.sqrt(2.0) / TRUNCATED_SD
        limit = math.sqrt(6.0 / (n_hidden + 1))
        W = rng.uniform(-limit, limit, n_hidden)
        b = np.resize(FIXED_BIASES[activation], n_hidden) if arm == "constrained" else np.zeros(n_hidden)
        rows.append(np.concatenate([w, b, W, [0.0]]))
    return np.stack(rows)


def trainable(arm: Arm, n_replicas: int, n_hidden: int = 2) -> npt.NDArray[np.bool_]:
    """Return which parameters train, (R, 3 H + 1): the constrained arm's hidden biases do not."""
    mask = np.ones((n_replicas, 3 * n_hidden + 1), np.bool_)
    mask[:, n_hidden : 2 * n_hidden] = arm == "unconstrained"
    return mask
