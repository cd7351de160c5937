"""What a generated dataset is: one record with everything that the rest of the product asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground.seedrandom import SeedStreams

Problem = Literal["classification", "regression"]


class Generate(Protocol):
    """Draws the page's points of every stream: points (S, n, 2), labels (S, n)."""

    def __call__(self, stream: SeedStreams, n: int, noise: float) -> tuple[FloatArray, FloatArray]: ...  # noqa: D102


class ConditionalMean(Protocol):
    """Returns E[label | x, y] anywhere in the plane, (..., 2) -> (...)."""

    def __call__(self, X: FloatArray, noise: float) -> FloatArray: ...  # noqa: D102


class Beyond(Protocol):
    """Draws points and labels from the dataset continued beyond its range: (n, 2), (n,)."""

    def __call__(  # noqa: D102
        self, rng: np.random.Generator, n: int, noise: float, stretch: float = 3.0
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...


class Floor(Protocol):
    """Returns the lowest expected test loss (half the squared error) of any predictor, at a noise from 0."""

    def __call__(self, noise: float) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of points in the plane, drawn as the Playground draws, with its truth.

    Parameters
    ----------
    name : str
        As specs say it; for the page's own sets the page's name.
    title : str
        What people call it.
    problem : str
        ``"classification"`` (labels +1 and -1) or ``"regression"``.
    n_samples : int
        Points the page draws, training and test together.
    generate, conditional_mean, beyond, floor : callable
        See `Generate`, `ConditionalMean`, `Beyond` and `Floor`.
    on_page : bool
        Whether the Playground page has this set: only then is there an address that opens it.
    """

    name: str
    title: str
    problem: Problem
    n_samples: int
    generate: Generate
    conditional_mean: ConditionalMean
    beyond: Beyond
    floor: Floor
    on_page: bool = False
