"""The generated datasets by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from engine.network import FloatArray
from engine.playground import circle, gauss, reg_gauss, reg_plane, spiral, xor
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


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset of the Playground, with its truth.

    Parameters
    ----------
    name : str
        The page's own name.
    title : str
        What people call it.
    problem : str
        ``"classification"`` (labels +1 and -1) or ``"regression"``.
    n_samples : int
        Points the page draws, training and test together.
    generate, conditional_mean, beyond : callable
        See `Generate`, `ConditionalMean` and `Beyond`.
    """

    name: str
    title: str
    problem: Problem
    n_samples: int
    generate: Generate
    conditional_mean: ConditionalMean
    beyond: Beyond


DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        dataset.name: dataset
        for dataset in (
            Dataset("gauss", "two blobs", "classification", 500, gauss.generate, gauss.conditional_mean, gauss.beyond),
            Dataset("xor", "XOR", "classification", 500, xor.generate, xor.conditional_mean, xor.beyond),
            Dataset("circle", "circle", "classification", 500, circle.generate, circle.conditional_mean, circle.beyond),
            Dataset("spiral", "spiral", "classification", 500, spiral.generate, spiral.conditional_mean, spiral.beyond),
            Dataset(
                "reg-plane",
                "plane",
                "regression",
                1200,
                reg_plane.generate,
                reg_plane.conditional_mean,
                reg_plane.beyond,
            ),
            Dataset(
                "reg-gauss",
                "six cones",
                "regression",
                1200,
                reg_gauss.generate,
                reg_gauss.conditional_mean,
                reg_gauss.beyond,
            ),
        )
    }
)
