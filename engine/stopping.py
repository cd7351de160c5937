"""Early stopping: rules to be given to `engine.training.train` as `on_look`.

Each rule judges every replica by itself and keeps the parameters with which that replica ended, so that what it returns
does not depend on which replicas share the call; training goes on until every replica has ended or diverged.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.names import check_name
from engine.network import Parameters
from engine.training import Look
from engine.validation import check_count, check_number


class _Kept:
    """Parameters and epoch of each replica at the look that was last kept for it."""

    def __init__(self) -> None:
        self.parameters: Parameters | None = None
        self.epochs: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def keep(self, look: Look, replicas: npt.NDArray[np.bool_]) -> None:
        """Remember the state of some replicas."""
        now = look.state.parameters
        if self.parameters is None:
            self.parameters = now.select(np.arange(now.n_replicas))  # a copy
            self.epochs = np.full(now.n_replicas, look.epoch, dtype=np.int64)
            return
        for kept, current in zip(_arrays(self.parameters), _arrays(now), strict=True):
            kept[replicas] = current[replicas]
        self.epochs[replicas] = look.epoch

    def result(self) -> Parameters:
        """Return what was kept."""
        if self.parameters is None:
            raise ValueError("stopping rule: nothing kept yet; give the rule to `train` as `on_look` first")
        return self.parameters


def _arrays(parameters: Parameters) -> list[npt.NDArray[np.floating]]:
    slopes = [] if parameters.slopes is None else [parameters.slopes]
    return [*parameters.weights, *parameters.biases, *slopes]


def _losses(look: Look, split: str) -> npt.NDArray[np.float64]:
    check_name(look.losses, split, "split")
    return look.losses[split]


class Patience:
    """End a replica when its loss has not improved for some looks; keep its best parameters.

    Parameters
    ----------
    split : str
        Which of `evaluate_on` is watched, usually ``"validation"``.
    patience : int
        Looks without improvement that end a replica, at least 1.
    min_delta : float
        What counts as an improvement: a loss below the best so far by more than this.

    References
    ----------
    .. [1] L. Prechelt, "Early stopping: but when?", 1998, the class UP in its simplest form.
    """

    def __init__(self, split: str = "validation", patience: int = 10, min_delta: float = 0.0) -> None:
        check_count(patience, "patience", 1)
        check_number(min_delta, "min_delta", 0)
        self.split, self.patience, self.min_delta = split, patience, min_delta
        self.best_losses: npt.NDArray[np.float64] = np.zeros(0)
        self._kept = _Kept()
        self._waited: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def __call__(self, look: Look) -> bool:
        """Take note of a look; return whether every replica has ended."""
        measured = _losses(look, self.split)
        losses = np.where(np.isfinite(measured), measured, math.inf)
        if self.best_losses.size == 0:
            self.best_losses = np.full(losses.shape, math.inf)
            self._waited = np.zeros(losses.shape, dtype=np.int64)
            self._kept.keep(look, np.ones(losses.shape, dtype=np.bool_))
        running = self._waited < self.patience
        better = running & (losses < self.best_losses - self.min_delta)
        self._kept.keep(look, better)
        self.best_losses = np.where(better, losses, self.best_losses)
        self._waited = np.where(better, 0, self._waited + running)
        self._waited[look.diverged_at >= 0] = self.patience
        return bool((self._waited >= self.patience).all())

    @property
    def best_parameters(self) -> Parameters:
        """Parameters of each replica at its best look."""
        return self._kept.result()

    @property
    def best_epochs(self) -> npt.NDArray[np.int64]:
        """Epoch of each replica's best look, (R,)."""
        return self._kept.epochs


class Plateau:
    """End a replica when its loss has moved by at most epsilon between two looks.

    Parameters
    ----------
    split : str
        Which of `evaluate_on` is watched, usually ``"train"``.
    epsilon : float
        Largest |change| that ends a replica.
    """

    def __init__(self, split: str = "train", epsilon: float = 1e-5) -> None:
        check_number(epsilon, "epsilon", 0)
        self.split, self.epsilon = split, epsilon
        self._last: npt.NDArray[np.float64] | None = None
        self._ended = _Ended()

    def __call__(self, look: Look) -> bool:
        """Take note of a look; return whether every replica has ended."""
        losses = _losses(look, self.split)
        with np.errstate(invalid="ignore"):  # a diverged replica's losses have no difference, and it never rests
            moved = math.inf if self._last is None else np.abs(losses - self._last)
        self._last = losses
        return self._ended.note(look, np.broadcast_to(moved <= self.epsilon, losses.shape))

    @property
    def parameters(self) -> Parameters:
        """Parameters with which each replica ended."""
        return self._ended.kept.result()

    @property
    def ended_at(self) -> npt.NDArray[np.int64]:
        """Epoch at which each replica ended, (R,); -1 where it has not."""
        return self._ended.epochs


class ReachedTarget:
    """End a replica when its losses on all named splits are below a goal.

    Parameters
    ----------
    goal : float
        Loss to stay below.
    splits : tuple of str
        Which of `evaluate_on` must be below it.
    """

    def __init__(self, goal: float, splits: tuple[str, ...] = ("train", "test")) -> None:
        check_number(goal, "goal", -math.inf)
        self.goal, self.splits = goal, splits
        self._ended = _Ended()

    def __call__(self, look: Look) -> bool:
        """Take note of a look; return whether every replica has ended."""
        reached = np.all([_losses(look, split) < self.goal for split in self.splits], axis=0)
        return self._ended.note(look, reached)

    @property
    def parameters(self) -> Parameters:
        """Parameters with which each replica ended."""
        return self._ended.kept.result()

    @property
    def ended_at(self) -> npt.NDArray[np.int64]:
        """Epoch at which each replica ended, (R,); -1 where it has not."""
        return self._ended.epochs


class _Ended:
    """Which replicas have ended, when, and with what."""

    def __init__(self) -> None:
        self.kept = _Kept()
        self.epochs: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def note(self, look: Look, ends: npt.NDArray[np.bool_]) -> bool:
        """End the replicas of `ends` that still run; return whether none is left."""
        if self.epochs.size == 0:
            self.epochs = np.full(ends.shape, -1, dtype=np.int64)
        running = self.epochs < 0
        self.kept.keep(look, running)
        self.epochs[running & ends] = look.epoch
        return bool(((self.epochs >= 0) | (look.diverged_at >= 0)).all())
