"""Points of a polynomial of degree 1 to 4, x uniform within a range, for networks of any kind.

The polynomials are the published one, 1 + 2 x + 3 x^2, cut and continued: sum_k (k + 1) x^k, shifted and scaled to
mean 0 and variance 1 over the range, so that one learning rate and one loss suit all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from analysis.records.events import Stage
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import STREAM_BEYOND, Draws, draws_of_a_rule
from sweeps.fields import number, read_fields, whole

HALF_RANGE = 2.0
STREAM_POINTS, STREAM_TEST = 72, 73


def standardized(degree: int) -> tuple[float, ...]:
    """Return the coefficients, constant first, of sum_k (k + 1) x^k with mean 0 and variance 1 over the range."""
    raw = np.arange(1.0, degree + 2.0)
    nodes, weights = np.polynomial.legendre.leggauss(degree + 1)  # exact for the square
    values = np.polynomial.polynomial.polyval(HALF_RANGE * nodes, raw)
    mean = float(weights @ values) / 2.0
    spread = float(np.sqrt(weights @ (values - mean) ** 2 / 2.0))
    return tuple(((raw - mean * (np.arange(degree + 1) == 0)) / spread).tolist())


POLYNOMIALS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {f"degree-{degree}": standardized(degree) for degree in (1, 2, 3, 4)}
)


@dataclass(frozen=True, slots=True)
class PolynomialPoints:
    """Points of a polynomial, and points beyond their range.

    Parameters
    ----------
    n_train, n_test : int
        Points that are trained on and tested with.
    noise : float
        Standard deviation of the noise; the polynomial's own is 1.
    stretch : float
        How far beyond the range the out-of-range points reach.
    n_beyond : int
        Points drawn for that; those inside the training box are left out.
    """

    n_train: int = whole(2, 100_000)
    n_test: int = whole(1, 100_000)
    noise: float = number(0.0, 100.0)
    stretch: float = number(1.0, 1000.0, open_low=True)
    n_beyond: int = whole(1, 100_000)

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)

    def without_folders(self) -> PolynomialPoints:
        """Return itself: no file of the user's is named."""
        return self


class PolynomialPointsSource(NumberedSource):
    """Points of a polynomial, each replica its own.

    Parameters
    ----------
    asked : Asked
        What is asked, with the polynomial's name in `POLYNOMIALS`.
    data : PolynomialPoints
    """

    n_inputs = 1
    is_finite = False

    def __init__(self, asked: Asked, data: PolynomialPoints) -> None:
        super().__init__(asked)
        self._data, self._loss = data, asked.loss
        self._coefficients = POLYNOMIALS[asked.name]
        if asked.loss in ("mse", "half_squared_error"):
            self.floor = data.noise**2 * (0.5 if asked.loss == "half_squared_error" else 1.0)

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search's replicas."""
        return tuple(f"draw{k}" for k in self._search_numbers(1, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look's replicas."""
        return tuple(f"draw{k}" for k in self._fresh_numbers(stage, block, {int(seed[4:]) for seed in used}))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float) -> None:  # noqa: ARG002
        """Return None: every replica has test points of its own."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the points of these replicas."""
        numbers, data = [int(seed[4:]) for seed in seeds], self._data
        return draws_of_a_rule(
            seeds,
            self._points(numbers, STREAM_POINTS, data.n_train, 1.0),
            self._points(numbers, STREAM_TEST, data.n_test, 1.0),
            self._points(numbers, STREAM_BEYOND, data.n_beyond, data.stretch),
            loss=self._loss,
            truth=self._truth,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
        )

    def _truth(self, x: FloatArray) -> FloatArray:
        return np.asarray(np.polynomial.polynomial.polyval(x, self._coefficients))

    def _points(self, numbers: list[int], stream: int, n: int, stretch: float) -> Split:
        rngs = [np.random.default_rng([self._asked.seed, stream, k]) for k in numbers]
        x = np.stack([rng.uniform(-stretch * HALF_RANGE, stretch * HALF_RANGE, n) for rng in rngs])
        noise = np.stack([self._data.noise * rng.normal(size=n) for rng in rngs])
        return Split(x[..., None], (self._truth(x) + noise)[..., None])


KIND = Kind(
    name="polynomial_points",
    labels="numbers",
    settings=PolynomialPoints,
    parse=lambda table: read_fields(PolynomialPoints, table),
    open=lambda asked, data, _: PolynomialPointsSource(asked, data),
    names=tuple(POLYNOMIALS),
    test_set="points drawn afresh from the polynomial",
    out_of_range="points of the polynomial beyond the range of a replica's training points, up to `stretch` times it",
    floor="the variance of the noise, halved under half the squared error",
    describe=lambda _: "a polynomial with mean 0 and variance 1 over the range that is trained on.",
)
