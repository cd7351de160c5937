"""The sections of a spec: what each may say."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from analysis.records.events import Scalar
from sweeps.fields import number, numbers, text, whole, wholes
from sweeps.spec.samplers import SAMPLERS

METRICS = ("test_loss",)
UNTIL = ("reached", "converged", "budget")
PRUNERS = ("none", "successive_halving", "hyperband", "racing")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Parameters
    ----------
    metric, below : str, float
        Of a Playground set: training and test loss must stay below `below`; trials are ranked by `metric`.
    words : str
        Of a table: what `sweeps.data.table.metrics.parse_goal` reads, as ``"rmse < 20000"``; empty for a Playground
        set.
    """

    metric: str = ""
    below: float = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """How trials are chosen.

    Parameters
    ----------
    n_trials : int
        Budget of trials for each dataset; of a grid the number of its settings, unless a spec asks for fewer.
    until : str
        ``"reached"``: ask no more once `n_candidates` candidates have been told. ``"converged"``: ask no more once what
        50 more trials may gain is below its own noise (`sweeps.search.stopping`). ``"budget"``: spend the budget.
    n_replicas : int
        Replicas of a trial.
    n_candidates : int
        Candidates that end a search with ``until = "reached"``.
    lag : int
        Trial k is asked when exactly the trials up to k - lag have been told, whatever the number of workers.
    n_startup_trials : int
        Trials from a scrambled Sobol sequence before one of Optuna's samplers takes over.
    sampler : str
        Name in `sweeps.spec.samplers.SAMPLERS`.
    gain : float
        With ``until = "converged"`` a search also ends once 50 more trials gain at most this (at 90 %); 0: only where
        that is below its own noise.
    first : tuple of tuples of (str, value)
        Params of the settings that are asked before the sampler chooses, each whole and within the space.
    """

    n_trials: int = whole(1, 100_000)
    until: str = text(UNTIL)
    n_replicas: int = whole(2, 10_000)
    n_candidates: int = whole(1, 1000)
    lag: int = whole(1, 1000)
    n_startup_trials: int = whole(1, 100_000)
    sampler: str = text(SAMPLERS, "tpe")
    gain: float = number(0.0, default=0.0)
    first: tuple[tuple[tuple[str, Scalar], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class EpochSpec:
    """How long trials train and when they are looked at.

    Parameters
    ----------
    max_epochs : int
        Longest training.
    grid : tuple of int
        Epochs at which losses are measured, ascending, ending with `max_epochs`.
    stop_from : int
        Training may stop early at grid epochs from here on ...
    stop_patience : int
        ... when the lowest mean test loss is this many looks old; 0 means never.
    stop_delta : float
        A replica stays as it is from the first look on at which its training loss has moved by at most this much
        since the look before; 0 means never. A trial ends when all its replicas have.
    counts : str
        Which epoch of a search trial counts: ``"best"``, the look with the lowest mean test loss, or ``"last"``, for
        recipes that name their length.
    """

    max_epochs: int = whole(1, 10_000_000)
    grid: tuple[int, ...] = wholes(1, 10_000_000)
    stop_from: int = whole(0, 10_000_000)
    stop_patience: int = whole(0, 10_000)
    stop_delta: float = number(0.0, default=0.0)
    counts: str = text(("best", "last"), "best")


@dataclass(frozen=True, slots=True)
class PruningSpec:
    """Which trials end at a rung, before the stop rule would end them.

    Parameters
    ----------
    kind : str
        ``"none"``, ``"successive_halving"``, ``"hyperband"`` or ``"racing"``; see `sweeps.search.pruners`.
    min_epochs : int
        The first rung.
    reduction_factor : int
        eta: rungs are at ``min_epochs * eta**i`` epochs, and the best 1 / eta go on (with racing: who is not surely
        worse than the best).
    """

    kind: str = text(PRUNERS, "none")
    min_epochs: int = whole(1, 10_000_000, 1)
    reduction_factor: int = whole(2, 100, 3)


@dataclass(frozen=True, slots=True)
class FinalistSpec:
    """How the best trials are repeated.

    Parameters
    ----------
    n : int
        How many of the best trials.
    n_replicas : int
        Fresh draws of each.
    share : float
        Where draws are fresh, so many of all trials if that is more than `n`: the longer a search has looked at the
        same draws, the less its order says.
    """

    n: int = whole(0, 1000)
    n_replicas: int = whole(2, 50_000)
    share: float = number(0.0, 1.0, 0.0)

    def as_table(self) -> dict[str, float]:
        """Return the plain values that a spec has; a share of 0 goes without saying."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "share" or value}


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """How finalists are certified.

    Parameters
    ----------
    n : int
        At most so many finalists; 0 leaves the stage out.
    n_replicas : int
        Fresh draws, the same for all of them, trained on once.
    level : float
        Level of all certificates together; each is tested at `level` / n.
    """

    n: int = whole(0, 100)
    n_replicas: int = whole(2, 50_000)
    level: float = number(0.0, 0.5, open_low=True)


@dataclass(frozen=True, slots=True)
class AblationSpec:
    """What one change of the winner does.

    Parameters
    ----------
    n_replicas : int
        Fresh draws that the winner and each of its changes are trained on; 0 leaves the stage out.
    """

    n_replicas: int = whole(0, 10_000, 0)


@dataclass(frozen=True, slots=True)
class PageSpec:
    """Settings for the Playground page, snapped from the best trials.

    Parameters
    ----------
    n_best, n_sgd : int
        Search trials to start from: the best overall and the best with SGD. 0 and 0 leave the stage out.
    learning_rates : tuple of float
        Rates tried with trials that used another optimizer, which says nothing about SGD's rate.
    n_finalists : int
        How many are trained on the finalists' draws; the best of them is certified.
    """

    n_best: int = whole(0, 1000)
    n_sgd: int = whole(0, 1000)
    learning_rates: tuple[float, ...] = numbers(0.0, open_low=True)
    n_finalists: int = whole(1, 1000)
