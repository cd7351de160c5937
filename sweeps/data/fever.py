"""Well or ill by body temperature: a problem that no line of the temperature solves, and one of its features does.

The temperature T is N(37, 1.5^2) degrees; who is within 1 degree of 37 is well (-1), who is not is ill (+1), and a
share of half the noise is told wrong. The input is T - 37, its distance |T - 37|, or both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.records.events import Stage
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.splits import Split
from sweeps.data.asked import Asked
from sweeps.data.kind import Kind
from sweeps.data.numbered import NumberedSource
from sweeps.data.source import Draws, draws_of_a_rule
from sweeps.fields import number, read_fields, text, whole

STREAM_FEVER = 22
NORMAL, SPREAD, WELL = 37.0, 1.5, 1.0
"""Degrees: the normal temperature, the spread of temperatures, and how far from normal is well."""
STRETCH = 3.0


@dataclass(frozen=True, slots=True)
class FeverData:
    """Patients with a temperature.

    Parameters
    ----------
    n_samples : int
        Patients to train on, and as many to test with.
    noise : float
        Twice the share of wrong labels.
    feature : str
        ``"temperature"``, ``"distance"`` from 37 degrees, or ``"both"``.
    """

    n_samples: int = whole(10, 10_000)
    noise: float = number(0.0, 1.0)
    feature: str = text(("temperature", "distance", "both"))

    def as_table(self) -> dict[str, Any]:
        """Return the plain values that a spec has."""
        return dataclasses.asdict(self)

    def without_folders(self) -> FeverData:
        """Return itself: it names no file."""
        return self


class FeverSource(NumberedSource):
    """Patients drawn afresh for each replica.

    Parameters
    ----------
    asked : Asked
        What is asked.
    data : FeverData
        How many, how noisy, and what is known of them.
    """

    is_finite = False

    def __init__(self, asked: Asked, data: FeverData) -> None:
        super().__init__(asked)
        self._data = data
        self.n_inputs = 2 if data.feature == "both" else 1

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search's replicas."""
        return tuple(f"fever{k}" for k in self._search_numbers(1, replicate))

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look's replicas."""
        return tuple(f"fever{k}" for k in self._fresh_numbers(stage, block, {int(seed[5:]) for seed in used}))

    def judge(self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float) -> None:  # noqa: ARG002
        """Return None: each replica is tested on patients of its own."""
        return

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the patients of these replicas."""
        numbers = [int(seed[5:]) for seed in seeds]
        train, test, beyond = (self._drawn(numbers, part, width) for part, width in enumerate((1.0, 1.0, STRETCH)))
        return draws_of_a_rule(
            seeds,
            train,
            test,
            beyond,
            loss=self._asked.loss,
            truth=self._truth,
            training_seeds=self._keys(seeds),
            initialize=lambda network: self._initialize(numbers, network),
        )

    def _truth(self, X: FloatArray) -> FloatArray:
        return np.asarray((1 - self._data.noise) * np.where(np.abs(X[..., -1:]) > WELL, 1.0, -1.0))

    def _drawn(self, numbers: list[int], part: int, width: float) -> Split:
        n, dtype = self._data.n_samples, self._asked.dtype
        rngs = [np.random.default_rng([self._asked.seed, STREAM_FEVER, part, k]) for k in numbers]
        away = np.stack([rng.normal(0.0, width * SPREAD, (n, 1)) for rng in rngs])
        told_wrong = np.stack([rng.random((n, 1)) < self._data.noise / 2 for rng in rngs])
        ill = np.where(np.abs(away) > WELL, 1.0, -1.0)
        columns = {"temperature": [away], "distance": [np.abs(away)], "both": [away, np.abs(away)]}
        X = np.concatenate(columns[self._data.feature], axis=2)
        return Split(np.asarray(X, dtype), np.asarray(np.where(told_wrong, -ill, ill), dtype))


KIND = Kind(
    name="fever",
    labels="numbers",
    settings=FeverData,
    parse=lambda table: read_fields(FeverData, table),
    open=lambda asked, data, _: FeverSource(asked, data),
    test_set="patients drawn afresh",
    out_of_range="patients of the same rule, temperatures spread three times as far",
    floor="the loss of the rule itself, known for each draw",
    names=("fever",),
)
