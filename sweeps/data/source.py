"""Where a trial's data come from: draws of any kind of dataset, in the one form that trials are trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from analysis.records.events import Stage
from analysis.records.study import Study
from analysis.statistics.ranges import Box
from engine.configuration import TrainingConfig
from engine.methods.losses import LOSSES
from engine.network import FloatArray, NetworkConfig, Parameters
from engine.splits import Split

STREAM_BEYOND = 12
STREAM_WEIGHTS = 13

Losses = dict[str, npt.NDArray[np.float64]]
Configured = tuple[NetworkConfig, TrainingConfig]
Measure = Callable[[NetworkConfig, Parameters], Losses]
"""Gives the losses that count, (R,) by split, of R trained networks."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Data and first weights of R replicas.

    Parameters
    ----------
    seeds : tuple of str
        One a replica; they fix everything here.
    train, test : Split
        What is trained on, and what trials are compared by.
    in_range, out_of_range : Split
        The test points inside the box of the replica's training inputs, and points beyond the range outside of it;
        weight 0 marks those that do not count.
    n_in_range, n_out_of_range : ndarray (R,) of int
        Points that count.
    constant : dict of str to ndarray (R,)
        Loss of the constant predictor (the mean training label) by split; NaN without points.
    floors : dict of str to ndarray (R,), or None
        Loss of the conditional mean on the same points by split, if it is known.
    training_seeds : ndarray (R,) of uint64
        Keys of the engine's streams (order, dropout, noise).
    initialize : callable
        First weights of a network, (R, ...) arrays.
    measure : callable or None
        What trials are measured by; None: the mean of the loss that is trained on, on every split.
    fresh : callable or None
        Gives points drawn anew from the rule behind the data, where there is one to draw from.
    """

    seeds: tuple[str, ...]
    train: Split
    test: Split
    in_range: Split
    out_of_range: Split
    n_in_range: npt.NDArray[np.int64]
    n_out_of_range: npt.NDArray[np.int64]
    constant: Losses
    floors: Losses | None
    training_seeds: npt.NDArray[np.uint64]
    initialize: Callable[[NetworkConfig], Parameters]
    measure: Measure | None = None
    fresh: Callable[[], Split] | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """Every split by name."""
        return {"train": self.train, "test": self.test, "in_range": self.in_range, "out_of_range": self.out_of_range}


class Source(Protocol):
    """A dataset as trials see it."""

    n_inputs: int
    n_outputs: int
    floor: float | None
    """Lowest expected test loss of any predictor, where it is known."""
    loss_name: str
    """What trials are compared by; lower is better."""
    is_finite: bool
    """Whether there is no more than a table of rows: its test rows are for certificates, and looked at once by each."""

    @property
    def goal(self) -> float:
        """What the loss must stay below: training and test loss, or the latter alone where the rows are finite."""

    def search_seeds(self, replicate: int = 0) -> tuple[str, ...]:
        """Return the seeds of a search trial's replicas, the same for every question that has the sweep's seed.

        Parameters
        ----------
        replicate : int
            0 for the draws that all trials share, i for the i-th repetition of a trial.
        """

    def fresh_seeds(self, stage: Stage, block: str, used: Collection[str] = ()) -> tuple[str, ...]:
        """Return the seeds of a look: draws that no search of the sweep's seed and nothing in `used` has.

        Parameters
        ----------
        stage : str
            A finalists' or certificates' stage. The two have none in common; ``"page_*"`` has those of its namesake.
        block : str
            What the draws are taken for (`sweeps.run.looks`): another text, other draws.
        used : collection of str
            Seeds of earlier looks of the study.

        Raises
        ------
        SpecError
            If no draws are left.
        """

    def groups(self, seeds: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """Return the seeds in their order, divided into replicas that can train together."""

    def draws(self, seeds: tuple[str, ...]) -> Draws:
        """Return the draws of one group; each replica's depends on its own seed only."""

    def judge(
        self, seeds: tuple[str, ...], network: NetworkConfig, parameters: Parameters, level: float
    ) -> dict[str, Any] | None:
        """Return what a certificate's networks make of the test rows together, or None where each has its own.

        The test is held at `level`.
        """

    def model_extra(self, seeds: tuple[str, ...]) -> dict[str, Any]:
        """Return, as JSON values, what a certificate's networks need besides themselves to predict new rows."""

    def page_url(self, network: NetworkConfig, training: TrainingConfig, seed: str) -> str | None:
        """Return the address of the Playground page that opens this setting, or None where it cannot be expressed."""

    def finish(self, study: Study, winner: Configured | None) -> None:
        """Keep beside a study with a verdict whatever else its report needs.

        Parameters
        ----------
        study : Study
            With its verdict.
        winner : (NetworkConfig, TrainingConfig) or None
            The winner's setting.
        """


def mean_loss(loss: str, predictions: FloatArray, split: Split) -> npt.NDArray[np.float64]:
    """Return the mean loss of predictions (R, n, 1) over the points of a split that count; NaN without points."""
    losses = LOSSES[loss].value(np.asarray(predictions), split.y)
    if split.weight is None:
        return np.asarray(losses.mean(axis=1), np.float64)
    n = split.weight.sum(axis=1)
    return np.where(n > 0, (losses * split.weight).sum(axis=1) / np.maximum(n, 1), np.nan)


def draws_of_a_rule(
    seeds: tuple[str, ...],
    train: Split,
    test: Split,
    beyond: Split,
    *,
    loss: str,
    truth: Callable[[FloatArray], FloatArray],
    training_seeds: npt.NDArray[np.uint64],
    initialize: Callable[[NetworkConfig], Parameters],
) -> Draws:
    """Return draws of data whose conditional mean is known; what is in range is decided by the training points' box.

    Parameters
    ----------
    seeds : tuple of str
        One a replica.
    train, test, beyond : Split
        Points (R, n, d) with labels (R, n, 1): trained on, compared by, and drawn beyond the range; those of `beyond`
        that lie inside the box count for nothing.
    loss : str
        Name in `engine.methods.losses.LOSSES`.
    truth : callable X -> E[y | X]
        The conditional mean, (R, n, d) -> (R, n, 1).
    training_seeds : ndarray (R,) of uint64
        Keys of the engine's streams.
    initialize : callable
        First weights of a network.
    """
    box = Box.fit(train.X)
    inside, outside = box.contains(test.X), ~box.contains(beyond.X)
    splits = {
        "train": train,
        "test": test,
        "in_range": Split(test.X, test.y, inside.astype(np.float64)),
        "out_of_range": Split(beyond.X, beyond.y, outside.astype(np.float64)),
    }
    constant = train.y.mean(axis=1, keepdims=True)
    return Draws(
        seeds=seeds,
        train=train,
        test=test,
        in_range=splits["in_range"],
        out_of_range=splits["out_of_range"],
        n_in_range=inside.sum(axis=1),
        n_out_of_range=outside.sum(axis=1),
        constant={name: mean_loss(loss, np.broadcast_to(constant, one.y.shape), one) for name, one in splits.items()},
        floors={name: mean_loss(loss, truth(one.X), one) for name, one in splits.items()},
        training_seeds=training_seeds,
        initialize=initialize,
    )


def join_draws(draws: list[Draws]) -> Draws:
    """Put the replicas of several draws side by side, for their records.

    The points are the first draws' alone: those of a thousand replicas take room, and need not be equally many.
    """
    first = draws[0]
    if len(draws) == 1:
        return first
    return dataclasses.replace(
        first,
        seeds=tuple(seed for one in draws for seed in one.seeds),
        n_in_range=np.concatenate([one.n_in_range for one in draws]),
        n_out_of_range=np.concatenate([one.n_out_of_range for one in draws]),
        constant={name: np.concatenate([one.constant[name] for one in draws]) for name in first.constant},
        floors=None
        if first.floors is None
        else {name: np.concatenate([one.floors[name] for one in draws if one.floors]) for name in first.floors},
        training_seeds=np.concatenate([one.training_seeds for one in draws]),
    )


def join_parameters(parameters: list[Parameters]) -> Parameters:
    """Put the replicas of several parameters side by side."""
    slopes = [one.slopes for one in parameters if one.slopes is not None]
    return Parameters(
        [np.concatenate(layers) for layers in zip(*(one.weights for one in parameters), strict=True)],
        [np.concatenate(layers) for layers in zip(*(one.biases for one in parameters), strict=True)],
        np.concatenate(slopes) if slopes else None,
    )
